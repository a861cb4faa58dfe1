//! Each move from each state: made where the specification says so, and refused elsewhere without a change to the row.

use std::time::Duration;

use domain::{
    command::{Command, LastError, Progress},
    lifecycle::{Stage, Status, Token, Waits},
    result_code::{Effect, ResultCode},
};
use store::ledger::{Claim, Claimed, Ledger, LedgerError, Outcome};
use tests::{Holder, NOON, RETENTION, TestTable, cleaned_up, command, key, noon, owner, states};

use super::{candidate, claimed, ending, holder};

const PROGRESS: Progress = Progress { done: 1, total: 2 };
const LATER: Stage = Stage(9);

/// The row's lease is the worker's own.
const MINE: bool = true;
/// The row's lease is another worker's.
const ANOTHERS: bool = false;

/// Returns the states from which the move is made. From all others the row must come back unchanged.
async fn made_from(
    mine: bool,
    make: impl AsyncFn(&Ledger, &Claim, &Command) -> Result<Outcome, LedgerError>,
) -> Vec<&'static str> {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let mut made = Vec::new();
    for place in 0..states(Holder::Another).len() {
        let (claim, claimed) = claimed(&table).await;
        let whose = if mine {
            Holder::Is(holder(&claimed))
        } else {
            Holder::Another
        };
        let (name, state) = states(whose).swap_remove(place);
        let row = Command {
            key: claimed.key.clone(),
            ..command(claimed.key.owner, state)
        };
        table.put_command(&row).await;
        let outcome = make(&ledger, &claim, &row).await;
        let stored = ledger.read(&row.key, NOON).await;
        let stored = stored
            .expect("the table answers")
            .expect("it has not expired");
        match outcome.expect("the table answers") {
            Outcome::Applied(written) => {
                assert_eq!(written, stored, "{name}");
                assert_eq!(written.updated_at, NOON, "{name}");
                made.push(name);
            }
            Outcome::Refused(found) => assert_eq!((&found, &stored), (&row, &row), "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    made
}

const ACCEPTED: [&str; 2] = ["accepted", "accepted, past its deadline"];
const LIVE: [&str; 2] = ["running", "running, past its deadline"];
const LAPSED: [&str; 2] = ["lapsed", "lapsed, past its deadline"];
const HANDED_ON: [&str; 2] = ["handed on", "waiting"];

#[tokio::test]
async fn only_the_current_admission_can_fail_and_only_while_accepted() {
    let own = made_from(MINE, async |ledger, _, row| {
        ledger
            .fail_admission(&row.key, row.state.admission, NOON)
            .await
    });
    assert_eq!(own.await, ACCEPTED);
    let earlier = made_from(MINE, async |ledger, _, row| {
        ledger.fail_admission(&row.key, Token(1), NOON).await
    });
    assert_eq!(earlier.await, [""; 0]);
}

#[tokio::test]
async fn a_command_without_a_live_lease_can_be_claimed() {
    let taken = async |stage: Option<Stage>| {
        made_from(ANOTHERS, async |ledger, _, row| {
            let stage = stage.unwrap_or(row.state.stage);
            let claimed = ledger.claim(&row.key, stage, noon(30), NOON).await?;
            Ok(match claimed {
                Claimed::Held(claim, written) => {
                    assert_eq!((claim.key(), claim.until()), (&row.key, noon(30)));
                    Outcome::Applied(*written)
                }
                Claimed::HeldElsewhere { until } => {
                    assert_eq!(row.state.lease.map(|lease| lease.until), Some(until));
                    Outcome::Refused(row.clone())
                }
                Claimed::Waiting { until } => {
                    assert_eq!(row.state.waiting_until, Some(until));
                    Outcome::Refused(row.clone())
                }
                Claimed::Ended(found) => {
                    assert!(found.status().is_terminal());
                    Outcome::Refused(*found)
                }
                Claimed::Superseded(found) => {
                    assert_eq!(stage, LATER);
                    Outcome::Refused(*found)
                }
                Claimed::Missing => Outcome::Missing,
            })
        })
        .await
    };
    assert_eq!(
        taken(None).await,
        [&ACCEPTED[..], &LAPSED, &HANDED_ON[..1]].concat()
    );
    assert_eq!(taken(Some(LATER)).await, [""; 0]);
}

#[tokio::test]
async fn only_the_lease_holder_renews_releases_and_settles() {
    let report = async |ledger: &Ledger, claim: &Claim, _: &Command| {
        ledger.heartbeat(claim, PROGRESS, NOON).await
    };
    let release = async |ledger: &Ledger, claim: &Claim, _: &Command| {
        ledger.release(claim, LastError::OutOfTime, NOON).await
    };
    let settle = async |ledger: &Ledger, claim: &Claim, _: &Command| {
        ledger
            .settle(claim, ending(ResultCode::SyncCompleted), NOON)
            .await
    };
    let running = [LIVE, LAPSED, HANDED_ON].concat();
    assert_eq!(made_from(MINE, report).await, running);
    assert_eq!(made_from(MINE, release).await, running);
    assert_eq!(made_from(MINE, settle).await, running);
    assert_eq!(made_from(ANOTHERS, report).await, [""; 0]);
    assert_eq!(made_from(ANOTHERS, release).await, [""; 0]);
    assert_eq!(made_from(ANOTHERS, settle).await, [""; 0]);
}

#[tokio::test]
async fn the_lease_holder_continues_once() {
    let hand_on = async |ledger: &Ledger, claim: &Claim, _: &Command| {
        let at = noon(20);
        let waits = Waits::UntilThen;
        ledger
            .continue_later(claim, at, waits, Some(PROGRESS), None, NOON)
            .await
    };
    assert_eq!(made_from(MINE, hand_on).await, [LIVE, LAPSED].concat());
    assert_eq!(made_from(ANOTHERS, hand_on).await, [""; 0]);
}

#[tokio::test]
async fn a_command_is_exhausted_unless_another_worker_has_its_lease() {
    let spare = TestTable::create().await.table();
    let exhaust = async |mine: bool, with_claim: bool, stage: Option<Stage>| {
        made_from(mine, async |ledger, claim, row| {
            let claim = with_claim.then_some(claim);
            let stage = stage.unwrap_or(row.state.stage);
            let code = ResultCode::QueueRetriesExhausted;
            let exhausted = ledger.exhaust(&row.key, claim, stage, code, None, NOON);
            cleaned_up(&spare, exhausted.await).await
        })
        .await
    };
    let unheld = [ACCEPTED, LAPSED, HANDED_ON].concat();
    assert_eq!(
        exhaust(ANOTHERS, false, None).await,
        unheld,
        "a dead letter"
    );
    assert_eq!(
        exhaust(ANOTHERS, true, None).await,
        unheld,
        "a worker that lost its lease"
    );
    assert_eq!(
        exhaust(MINE, true, None).await,
        [ACCEPTED, LIVE, LAPSED, HANDED_ON].concat(),
        "the holder on the last delivery"
    );
    assert_eq!(
        exhaust(ANOTHERS, false, Some(LATER)).await,
        [""; 0],
        "another message"
    );
}

#[tokio::test]
async fn a_command_stalls_past_its_deadline_unless_its_lease_is_live() {
    let spare = TestTable::create().await.table();
    let stalled = made_from(ANOTHERS, async |ledger, _, row| {
        cleaned_up(&spare, ledger.stall(&row.key, NOON).await).await
    });
    assert_eq!(stalled.await, [ACCEPTED[1], LAPSED[1]]);
}

#[tokio::test]
async fn an_unclaimed_due_message_is_resent_once() {
    let resent = async |already: u32, earlier: Duration| {
        made_from(ANOTHERS, async |ledger, _, row| {
            let mut candidate = candidate(row);
            candidate.seen.resends += already;
            candidate.seen.queued_at = candidate.seen.queued_at.map(|at| at - earlier);
            ledger.resend(&candidate, NOON).await
        })
        .await
    };
    let now = Duration::ZERO;
    let sent = [&ACCEPTED[..], &HANDED_ON[..1]].concat();
    assert_eq!(resent(0, now).await, sent);
    assert_eq!(
        resent(1, now).await,
        [""; 0],
        "another reconciler was faster"
    );
    let earlier = Duration::from_secs(75);
    assert_eq!(resent(0, earlier).await, [""; 0], "another message is due");
}

#[tokio::test]
async fn an_ending_reports_what_is_known_of_the_effect() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    for (name, state) in states(Holder::Another) {
        let row = table.seed(state).await;
        let code = ResultCode::QueueRetriesExhausted;
        let stage = row.state.stage;
        let exhausted = ledger.exhaust(&row.key, None, stage, code, None, NOON);
        let exhausted = cleaned_up(&table.table(), exhausted.await).await;
        let Some(written) = exhausted.expect("the table answers").made() else {
            continue;
        };
        let effect = match row.status() {
            Status::Accepted => Effect::None,
            _ => Effect::Unknown,
        };
        let ended = written.ended.expect("it has ended");
        assert_eq!((ended.code, ended.effect), (code, effect), "{name}");
        assert_eq!(
            (ended.completed_at, ended.expires_at),
            (NOON, NOON + RETENTION),
            "{name}"
        );
        assert_eq!(written.state.due, None, "{name}");
    }
    for &code in ResultCode::ALL {
        let (claim, row) = claimed(&table).await;
        let settled = ledger.settle(&claim, ending(code), NOON).await;
        let written = settled
            .expect("the table answers")
            .made()
            .expect("the lease is live");
        assert_eq!(written.status(), code.terminal().into());
        assert_eq!(written.ended.map(|ended| ended.code), Some(code));
        let active = ledger.active(&row.key.owner, 10, None, NOON).await;
        let active = active.expect("the table answers").commands;
        assert!(active.is_empty(), "{code}");
    }
}

#[tokio::test]
async fn no_move_creates_a_row() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let (claim, row) = claimed(&table).await;
    let gone = Command {
        key: key(owner()),
        ..row.clone()
    };
    let (stage, code) = (Stage(0), ResultCode::MalformedMessage);
    let exhausted = ledger.exhaust(&gone.key, Some(&claim), stage, code, None, NOON);
    let outcomes = [
        ledger.fail_admission(&gone.key, Token(1), NOON).await,
        ledger.resend(&candidate(&gone), NOON).await,
        cleaned_up(&table.table(), exhausted.await).await,
        cleaned_up(&table.table(), ledger.stall(&gone.key, NOON).await).await,
    ];
    for outcome in outcomes {
        assert!(matches!(outcome, Ok(Outcome::Missing)), "{outcome:?}");
    }
    let claimed = ledger.claim(&gone.key, Stage(0), noon(30), NOON).await;
    assert!(matches!(claimed, Ok(Claimed::Missing)), "{claimed:?}");
    assert_eq!(table.count().await, 1, "only the row that was claimed");
}

#[tokio::test]
async fn a_move_on_an_erased_or_expired_command_reports_it_missing() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    for mut row in states(Holder::Another)
        .into_iter()
        .filter(|(_, state)| state.status.is_terminal())
        .map(|(_, state)| command(owner(), state))
    {
        let (claim, claimed) = claimed(&table).await;
        row.key = claimed.key;
        if let Some(ended) = &mut row.ended {
            ended.expires_at = NOON;
        }
        table.put_command(&row).await;
        let (stage, code) = (Stage(0), ResultCode::MalformedMessage);
        let exhausted = ledger.exhaust(&row.key, None, stage, code, None, NOON);
        let outcomes = [
            ledger
                .fail_admission(&row.key, row.state.admission, NOON)
                .await,
            ledger.resend(&candidate(&row), NOON).await,
            ledger.heartbeat(&claim, PROGRESS, NOON).await,
            ledger.release(&claim, LastError::OutOfTime, NOON).await,
            ledger
                .settle(&claim, ending(ResultCode::SyncCompleted), NOON)
                .await,
            ledger
                .continue_later(&claim, NOON, Waits::No, Some(PROGRESS), None, NOON)
                .await,
            cleaned_up(&table.table(), exhausted.await).await,
            cleaned_up(&table.table(), ledger.stall(&row.key, NOON).await).await,
        ];
        for outcome in outcomes {
            assert!(matches!(outcome, Ok(Outcome::Missing)), "{outcome:?}");
        }
        let claimed = ledger.claim(&row.key, Stage(0), noon(30), NOON).await;
        assert!(matches!(claimed, Ok(Claimed::Missing)), "{claimed:?}");
    }
}
