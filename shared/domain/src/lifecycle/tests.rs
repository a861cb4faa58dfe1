//! An exhaustive search up to a bound: from the admission, every move is tried at every tick with every token that a
//! writer could know, and each resulting row is checked.

use std::{
    collections::{HashSet, VecDeque},
    sync::LazyLock,
};

use super::*;

const NOON: Timestamp = Timestamp::from_millis(1_795_435_200_000);
const TIMEOUTS: Timeouts = Timeouts {
    accepted: Duration::from_secs(200),
    running: Duration::from_secs(300),
    retention: Duration::from_secs(1_000),
};
/// One step of the clock.
const TICK: Duration = Duration::from_secs(60);
/// How long a lease lasts.
const CLAIM: Duration = Duration::from_secs(90);
const TICKS: u32 = 6;
const ATTEMPTS: u32 = 2;
const STAGES: u32 = 1;

/// The token of this attempt's lease.
fn claim_token(attempt: u32) -> Token {
    Token(1_000 + u128::from(attempt))
}

/// Every move that any writer could try on this row now: workers of this and of earlier claims, late messages,
/// reconcilers with a stale view, repeated requests.
fn tries(row: &CommandState, now: Timestamp) -> Vec<Move> {
    let mut tries = vec![
        Move::FailAdmission {
            admission: Token(0),
        },
        Move::FailAdmission {
            admission: Token(1),
        },
        Move::Readmit {
            admission: Token(1),
            now,
        },
        Move::Stall { now },
    ];
    for resends in 0..=RESEND_AFTER.len() as u32 {
        tries.push(Move::Resend {
            resends,
            queued_at: row.queued_at.unwrap_or(NOON),
            deadline: row.deadline,
            now,
        });
    }
    for stage in (0..=STAGES).map(Stage) {
        let lease = Lease {
            token: claim_token(row.attempt + 1),
            until: now + CLAIM,
        };
        tries.push(Move::Claim { lease, stage, now });
        tries.push(Move::Exhaust {
            holder: None,
            stage,
            now,
        });
    }
    for token in (1..=row.attempt).map(claim_token) {
        let lease = Lease {
            token,
            until: now + CLAIM,
        };
        tries.push(Move::Heartbeat { lease, now });
        tries.push(Move::Release { holder: token, now });
        for terminal in [Terminal::Succeeded, Terminal::Failed, Terminal::NoOp] {
            tries.push(Move::Settle {
                holder: token,
                terminal,
            });
        }
        for stage in (0..=STAGES).map(Stage) {
            tries.push(Move::Exhaust {
                holder: Some(token),
                stage,
                now,
            });
            for waits in [Waits::No, Waits::UntilThen] {
                tries.push(Move::Continue {
                    holder: token,
                    stage,
                    at: now + TICK,
                    waits,
                    now,
                });
            }
        }
    }
    tries
}

fn after(made: &Move, row: &CommandState) -> CommandState {
    let mut row = row.clone();
    for change in made.changes(&TIMEOUTS) {
        change.make(&mut row);
    }
    row
}

/// The row before, the move, the row after, and when.
type Step = (CommandState, Move, CommandState, Timestamp);

/// Every step within the bounds.
static STEPS: LazyLock<Vec<Step>> = LazyLock::new(|| {
    let mut steps = Vec::new();
    let first = (admitted(Token(0), NOON, &TIMEOUTS), 0);
    let mut known = HashSet::from([first.clone()]);
    let mut left = VecDeque::from([first]);
    while let Some((row, tick)) = left.pop_front() {
        let now = NOON + TICK * tick;
        let mut next = vec![(row.clone(), tick + 1)];
        for made in tries(&row, now) {
            if made.guard().holds(&row) {
                let after = after(&made, &row);
                next.push((after.clone(), tick));
                steps.push((row.clone(), made, after, now));
            }
        }
        for step in next {
            let (row, tick) = &step;
            let within = *tick <= TICKS && row.attempt <= ATTEMPTS && row.stage.0 <= STAGES;
            if within && known.insert(step.clone()) {
                left.push_back(step);
            }
        }
    }
    assert!(known.len() > 1_000, "only {} rows", known.len());
    steps
});

fn every_step(visit: impl Fn(&CommandState, &Move, &CommandState, Timestamp)) {
    for (before, made, after, now) in STEPS.iter() {
        visit(before, made, after, *now);
    }
}

#[test]
fn statuses_are_read_as_they_are_written() {
    for status in Status::ALL {
        assert_eq!(Status::parse(status.as_str()), Some(status));
    }
    assert_eq!(Status::parse("queued"), None);
}

#[test]
fn only_a_readmission_leaves_a_terminal_status() {
    every_step(|before, made, after, _| {
        if before.status.is_terminal() {
            assert!(
                matches!(made, Move::Readmit { .. }),
                "{made:?} on {before:?}"
            );
            assert!(before.never_queued && before.attempt == 0, "{before:?}");
            assert_eq!(after.status, Status::Accepted);
        }
        assert!(
            !after.never_queued || matches!(made, Move::FailAdmission { .. }),
            "{made:?} made {after:?}"
        );
    });
}

#[test]
fn ends_as_names_the_terminal_status_that_a_move_sets() {
    every_step(|_, made, after, _| {
        let ended = Some(after.status).filter(|status| status.is_terminal());
        assert_eq!(made.ends_as().map(Status::from), ended, "{made:?}");
    });
}

#[test]
fn a_live_lease_fences_every_other_writer() {
    every_step(|before, made, after, now| {
        let Some(lease) = before.lease.filter(|lease| lease.until > now) else {
            return;
        };
        if before.status != Status::Running {
            return;
        }
        let holder = match *made {
            Move::Heartbeat { lease, .. } => Some(lease.token),
            Move::Continue { holder, .. }
            | Move::Release { holder, .. }
            | Move::Settle { holder, .. } => Some(holder),
            Move::Exhaust { holder, .. } => holder,
            Move::FailAdmission { .. }
            | Move::Readmit { .. }
            | Move::Resend { .. }
            | Move::Claim { .. }
            | Move::Stall { .. } => None,
        };
        assert_eq!(holder, Some(lease.token), "{made:?} on {before:?}");
        assert_eq!(after.lease.map(|lease| lease.token), holder, "{made:?}");
    });
}

#[test]
fn only_a_claim_counts_an_attempt_and_only_a_continuation_a_stage() {
    every_step(|before, made, after, _| {
        let counted = u32::from(matches!(made, Move::Claim { .. }));
        assert_eq!(after.attempt, before.attempt + counted, "{made:?}");
        let moved = u32::from(matches!(made, Move::Continue { .. }));
        assert_eq!(after.stage.0, before.stage.0 + moved, "{made:?}");
    });
}

#[test]
fn exactly_the_commands_that_have_not_ended_are_due() {
    every_step(|_, made, after, now| {
        assert_eq!(
            after.due.is_none(),
            after.status.is_terminal(),
            "{made:?} made {after:?}"
        );
        if let Some(due) = after.due {
            assert!(
                due <= after.deadline,
                "{made:?} would be looked at too late: {after:?}"
            );
            assert!(
                after.deadline > now || matches!(made, Move::Resend { .. } | Move::Release { .. })
            );
        } else {
            assert_eq!(
                (after.queued_at, after.waiting_until),
                (None, None),
                "{made:?}"
            );
        }
    });
}

/// Each message starts with no re-sends; a claim ends them.
#[test]
fn re_sends_are_counted_per_message_until_it_is_claimed() {
    every_step(|before, made, after, _| {
        match made {
            Move::Resend { .. } => {
                assert_eq!(after.resends, before.resends + 1);
                assert!(before.queued_at.is_some());
            }
            Move::Claim { .. } => assert_eq!(after.queued_at, None),
            Move::Readmit { .. } | Move::Continue { .. } => {
                assert!(after.resends == 0 && after.queued_at.is_some());
            }
            _ => assert_eq!(after.resends, before.resends),
        }
        assert!(
            after.status == Status::Running
                || after.stage == Stage(0)
                || after.status.is_terminal()
        );
    });
}

/// DynamoDB applies a write, the answer is lost, and the AWS SDK sends the same write again.
#[test]
fn a_repeated_write_is_refused_or_changes_nothing() {
    every_step(|_, made, after, _| {
        if made.guard().holds(after) {
            assert_eq!(
                &super::tests::after(made, after),
                after,
                "{made:?} counts twice"
            );
        }
    });
}

#[test]
fn every_command_can_stall_once_deadline_and_lease_are_over() {
    every_step(|_, _, after, _| {
        let over = after
            .lease
            .map_or(after.deadline, |lease| lease.until.max(after.deadline));
        let stall = Move::Stall { now: over };
        assert_eq!(
            stall.guard().holds(after),
            !after.status.is_terminal(),
            "{after:?}"
        );
    });
}

#[test]
fn every_move_has_its_own_name() {
    let row = CommandState {
        attempt: 1,
        ..admitted(Token(0), NOON, &TIMEOUTS)
    };
    let names: HashSet<&str> = tries(&row, NOON).iter().map(Move::name).collect();
    assert_eq!(names.len(), 10);
}

#[test]
fn each_term_holds_exactly_where_its_name_says() {
    let at = |seconds: i64| Timestamp::from_millis(NOON.as_millis() + seconds * 1_000);
    let token = claim_token(1);
    let row = CommandState {
        status: Status::Running,
        never_queued: false,
        lease: Some(Lease {
            token,
            until: at(90),
        }),
        stage: Stage(1),
        resends: 1,
        queued_at: Some(at(1)),
        waiting_until: Some(at(50)),
        deadline: at(300),
        due: Some(at(70)),
        ..admitted(Token(7), NOON, &TIMEOUTS)
    };
    for (term, holds) in [
        (Term::StatusIs(Status::Running), true),
        (Term::StatusIs(Status::Accepted), false),
        (Term::NeverQueued, false),
        (Term::AdmissionIs(Token(7)), true),
        (Term::AdmissionIs(Token(8)), false),
        (Term::LeasedTo(token), true),
        (Term::LeasedTo(claim_token(2)), false),
        (Term::LeaseExpired(at(89)), false),
        (Term::LeaseExpired(at(90)), true),
        (Term::LeaseExpired(at(91)), true),
        (Term::StageIs(Stage(1)), true),
        (Term::StageIs(Stage(0)), false),
        (Term::WaitOver(at(49)), false),
        (Term::WaitOver(at(50)), true),
        (Term::WaitOver(at(51)), true),
        (Term::QueuedSince(at(1)), true),
        (Term::QueuedSince(at(2)), false),
        (Term::ResendsAre(1), true),
        (Term::ResendsAre(0), false),
        (Term::DueBy(at(69)), false),
        (Term::DueBy(at(70)), true),
        (Term::DueBy(at(71)), true),
        (Term::DeadlinePassed(at(299)), false),
        (Term::DeadlinePassed(at(300)), true),
        (Term::DeadlinePassed(at(301)), true),
    ] {
        assert_eq!(term.holds(&row), holds, "{term:?}");
    }
    let bare = CommandState {
        never_queued: true,
        lease: None,
        queued_at: None,
        waiting_until: None,
        due: None,
        ..row
    };
    for (term, holds) in [
        (Term::NeverQueued, true),
        (Term::LeasedTo(token), false),
        (Term::LeaseExpired(at(1_000)), false),
        (Term::WaitOver(at(0)), true),
        (Term::QueuedSince(at(1)), false),
        (Term::DueBy(at(1_000)), false),
    ] {
        assert_eq!(term.holds(&bare), holds, "{term:?}");
    }
}

#[test]
fn an_admitted_command_is_due_for_two_re_sends_then_at_its_deadline() {
    let timeouts = Timeouts {
        accepted: Duration::from_secs(300),
        ..TIMEOUTS
    };
    let mut row = admitted(Token(0), NOON, &timeouts);
    assert_eq!(row.deadline, NOON + Duration::from_secs(300));
    let mut looks = vec![row.due.expect("an admitted command is due")];
    for resends in 0..2 {
        let (queued_at, deadline) = (NOON, row.deadline);
        let now = looks[looks.len() - 1];
        let resend = Move::Resend {
            resends,
            queued_at,
            deadline,
            now,
        };
        assert!(resend.guard().holds(&row), "{row:?}");
        for change in resend.changes(&timeouts) {
            change.make(&mut row);
        }
        looks.push(row.due.expect("a re-sent command is due"));
    }
    let seconds = [75, 180, 300].map(Duration::from_secs);
    assert_eq!(looks, seconds.map(|after| NOON + after));
    // A deadline before the re-sends replaces them.
    let short = Timeouts {
        accepted: Duration::from_secs(60),
        ..TIMEOUTS
    };
    let row = admitted(Token(0), NOON, &short);
    assert_eq!(row.due, Some(NOON + Duration::from_secs(60)));
}
