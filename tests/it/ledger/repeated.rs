//! A write's response is lost and the SDK repeats the write: the ledger recognises its own work.

use domain::{
    command::{LastError, Progress},
    lifecycle::{CommandState, Stage, Waits},
    result_code::ResultCode,
};
use store::ledger::{Claimed, Ledger, Outcome};
use tests::{Fault, Holder, NOON, Proxy, TIMEOUTS, TestTable, cleaned_up, noon, states};

use super::{candidate, claimed, ending};

const PROGRESS: Progress = Progress { done: 1, total: 2 };

struct Lossy {
    table: TestTable,
    proxy: Proxy,
    ledger: Ledger,
}

impl Lossy {
    async fn create() -> Self {
        let table = TestTable::create().await;
        let (proxy, through) = table.through(&[]).await;
        let ledger = Ledger::new(through, TIMEOUTS);
        Self {
            table,
            proxy,
            ledger,
        }
    }

    /// Loses the response of the next write.
    fn lose_next(&self) {
        self.proxy.plan("UpdateItem", Fault::LoseAnswer);
    }

    /// Checks that the move was written once and requested twice, and returns the row's state.
    async fn already_applied(&self, outcome: Outcome) -> CommandState {
        let Outcome::AlreadyApplied(found) = outcome else {
            panic!("{outcome:?}");
        };
        let stored = self.table.ledger().read(&found.key, NOON).await;
        assert_eq!(stored.expect("the table answers").as_ref(), Some(&found));
        assert_eq!(self.proxy.count("UpdateItem"), 2);
        found.state
    }
}

fn state(name: &str) -> CommandState {
    let mut all = states(Holder::Another).into_iter();
    let named = all.find(|(known, _)| *known == name);
    named.expect("a state of this name").1
}

#[tokio::test]
async fn a_claim_with_a_lost_response_counts_once() {
    let lossy = Lossy::create().await;
    let row = lossy.table.seed(state("lapsed")).await;
    lossy.lose_next();
    let claimed = lossy.ledger.claim(&row.key, Stage(0), noon(30), NOON).await;
    let Ok(Claimed::Held(claim, written)) = claimed else {
        panic!("{claimed:?}");
    };
    assert_eq!(written.state.attempt, row.state.attempt + 1, "claimed once");
    assert_eq!(lossy.proxy.count("UpdateItem"), 2);
    let settled = lossy
        .ledger
        .settle(&claim, ending(ResultCode::SyncCompleted), NOON)
        .await;
    assert!(
        matches!(settled, Ok(Outcome::Applied(_))),
        "the claim is valid: {settled:?}"
    );
}

#[tokio::test]
async fn a_settlement_with_a_lost_response_counts_once() {
    let lossy = Lossy::create().await;
    let (claim, _) = claimed(&lossy.table).await;
    lossy.lose_next();
    let settled = lossy
        .ledger
        .settle(&claim, ending(ResultCode::SyncCompleted), NOON)
        .await;
    let state = lossy
        .already_applied(settled.expect("the table answers"))
        .await;
    assert!(state.status.is_terminal());
}

#[tokio::test]
async fn a_continuation_with_a_lost_response_counts_once() {
    let lossy = Lossy::create().await;
    let (claim, row) = claimed(&lossy.table).await;
    lossy.lose_next();
    let handed_on = lossy
        .ledger
        .continue_later(
            &claim,
            noon(20),
            Waits::UntilThen,
            Some(PROGRESS),
            None,
            NOON,
        )
        .await;
    let state = lossy
        .already_applied(handed_on.expect("the table answers"))
        .await;
    assert_eq!(state.stage, Stage(row.state.stage.0 + 1));
}

#[tokio::test]
async fn a_resend_with_a_lost_response_counts_once() {
    let lossy = Lossy::create().await;
    let row = lossy.table.seed(state("accepted")).await;
    lossy.lose_next();
    let resent = lossy.ledger.resend(&candidate(&row), NOON).await;
    let state = lossy
        .already_applied(resent.expect("the table answers"))
        .await;
    assert_eq!(state.resends, 1);
}

#[tokio::test]
async fn every_other_ending_with_a_lost_response_counts_once() {
    for move_ in ["fail admission", "exhaust", "stall"] {
        let lossy = Lossy::create().await;
        let row = lossy.table.seed(state("accepted, past its deadline")).await;
        lossy.lose_next();
        let (key, admission) = (&row.key, row.state.admission);
        let code = ResultCode::QueueRetriesExhausted;
        let ended = match move_ {
            "fail admission" => lossy.ledger.fail_admission(key, admission, NOON).await,
            "exhaust" => {
                let exhausted = lossy.ledger.exhaust(key, None, Stage(0), code, None, NOON);
                cleaned_up(&lossy.table.table(), exhausted.await).await
            }
            _ => {
                let stalled = lossy.ledger.stall(key, NOON).await;
                cleaned_up(&lossy.table.table(), stalled).await
            }
        };
        let state = lossy
            .already_applied(ended.expect("the table answers"))
            .await;
        assert!(state.status.is_terminal(), "{move_}");
    }
}

/// A repetition of these moves changes nothing and passes their guards, so they need no token.
#[tokio::test]
async fn a_heartbeat_and_a_release_are_idempotent() {
    let lossy = Lossy::create().await;
    let (claim, _) = claimed(&lossy.table).await;
    lossy.lose_next();
    let reported = lossy.ledger.heartbeat(&claim, PROGRESS, NOON).await;
    let Ok(Outcome::Applied(row)) = reported else {
        panic!("{reported:?}");
    };
    assert_eq!(row.progress, Some(PROGRESS));
    lossy.lose_next();
    let released = lossy
        .ledger
        .release(&claim, LastError::OutOfTime, NOON)
        .await;
    let Ok(Outcome::Applied(row)) = released else {
        panic!("{released:?}");
    };
    assert_eq!(row.state.lease.map(|lease| lease.until), Some(NOON));
    assert_eq!(lossy.proxy.count("UpdateItem"), 4);
}

/// The first write never arrived, so the retry is the first to reach the row. A foreign write in between is not ours.
#[tokio::test]
async fn a_foreign_write_is_not_mistaken_for_our_own() {
    let lossy = Lossy::create().await;
    let (claim, row) = claimed(&lossy.table).await;
    let settled = lossy
        .table
        .ledger()
        .settle(&claim, ending(ResultCode::ConfigDisabled), NOON)
        .await;
    assert!(matches!(settled, Ok(Outcome::Applied(_))));
    lossy.proxy.plan("UpdateItem", Fault::Fail);
    let settled = lossy
        .ledger
        .settle(&claim, ending(ResultCode::SyncCompleted), NOON)
        .await;
    let Ok(Outcome::Refused(found)) = settled else {
        panic!("{settled:?}");
    };
    assert_eq!(found.key, row.key);
    assert_eq!(
        found.ended.map(|ended| ended.code),
        Some(ResultCode::ConfigDisabled)
    );
}
