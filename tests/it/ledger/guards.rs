//! DynamoDB must decide as the lifecycle does: over random rows and moves, the condition expression permits exactly
//! what the guard does, and leaves exactly the row that the changes make.

use std::cell::Cell;

use domain::{
    Timestamp,
    command::{Command, LastError, Progress},
    lifecycle::{CommandState, IndexSnapshot, Lease, Move, Stage, Status, Token, Waits},
    result_code::ResultCode,
};
use proptest::{
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use store::{
    ledger::{Candidate, Claim, Claimed, Ledger, Outcome},
    table::Table,
};
use tests::{NOON, TIMEOUTS, TestTable, cleaned_up, command, noon};

use super::{claimed, ending, holder};

const CASES: u32 = 1_500;
const OTHERS: Token = Token(0xa07e4);
const PROGRESS: Progress = Progress { done: 1, total: 2 };

/// A call of the ledger. All calls use the same claim; the row may or may not show it.
#[derive(Clone, Copy, Debug)]
enum Call {
    FailAdmission(Token),
    Resend {
        resends: u32,
        queued_at: Timestamp,
        deadline: Timestamp,
    },
    Claim(Stage, Timestamp),
    Report,
    Continue(Timestamp, Waits),
    Release,
    Settle(ResultCode),
    Exhaust {
        with_claim: bool,
        stage: Stage,
    },
    Stall,
}

/// Few distinct moments, so that they often coincide.
fn a_time() -> impl Strategy<Value = Timestamp> {
    select(vec![-200, -75, -1, 0, 1, 200]).prop_map(noon)
}

fn a_stage() -> impl Strategy<Value = Stage> {
    (0..2_u32).prop_map(Stage)
}

fn a_standing(mine: Token) -> impl Strategy<Value = CommandState> {
    let lease =
        (select(vec![mine, OTHERS]), a_time()).prop_map(|(token, until)| Lease { token, until });
    (
        // Most moves start from the first two.
        select([&Status::ALL[..], &Status::ALL[..2], &Status::ALL[1..2]].concat()),
        any::<bool>(),
        select(vec![Token(1), Token(2)]),
        0..3_u32,
        a_stage(),
        option::weighted(0.8, lease),
        option::of(a_time()),
        0..3_u32,
        option::of(a_time()),
        a_time(),
        option::weighted(0.8, a_time()),
    )
        .prop_map(
            |(
                status,
                never_queued,
                admission,
                attempt,
                stage,
                lease,
                queued_at,
                resends,
                waiting_until,
                deadline,
                due,
            )| CommandState {
                status,
                never_queued,
                admission,
                attempt,
                stage,
                lease,
                queued_at,
                resends,
                waiting_until,
                deadline,
                due,
            },
        )
}

fn a_call() -> impl Strategy<Value = Call> {
    prop_oneof![
        select(vec![Token(1), Token(2)]).prop_map(Call::FailAdmission),
        (0..3_u32, a_time(), a_time()).prop_map(|(resends, queued_at, deadline)| Call::Resend {
            resends,
            queued_at,
            deadline
        }),
        (a_stage(), a_time()).prop_map(|(stage, until)| Call::Claim(stage, until)),
        Just(Call::Report),
        (a_time(), select(vec![Waits::No, Waits::UntilThen]))
            .prop_map(|(at, waits)| Call::Continue(at, waits)),
        Just(Call::Release),
        select(ResultCode::ALL).prop_map(Call::Settle),
        (any::<bool>(), a_stage())
            .prop_map(|(with_claim, stage)| Call::Exhaust { with_claim, stage }),
        Just(Call::Stall),
    ]
}

impl Call {
    /// The move that the ledger must make. It chooses the token of a claim itself.
    fn as_move(self, mine: Lease, claimed: Token, now: Timestamp) -> Move {
        let holder = mine.token;
        match self {
            Self::FailAdmission(admission) => Move::FailAdmission { admission },
            Self::Resend {
                resends,
                queued_at,
                deadline,
            } => Move::Resend {
                resends,
                queued_at,
                deadline,
                now,
            },
            Self::Claim(stage, until) => Move::Claim {
                lease: Lease {
                    token: claimed,
                    until,
                },
                stage,
                now,
            },
            Self::Report => Move::Heartbeat { lease: mine, now },
            Self::Continue(at, waits) => Move::Continue {
                holder,
                stage: Stage(0),
                at,
                waits,
                now,
            },
            Self::Release => Move::Release { holder, now },
            Self::Settle(code) => Move::Settle {
                holder,
                terminal: code.terminal(),
            },
            Self::Exhaust { with_claim, stage } => Move::Exhaust {
                holder: with_claim.then_some(holder),
                stage,
                now,
            },
            Self::Stall => Move::Stall { now },
        }
    }

    async fn make(
        self,
        table: &Table,
        ledger: &Ledger,
        claim: &Claim,
        row: &Command,
        now: Timestamp,
    ) -> Outcome {
        let key = &row.key;
        let outcome = match self {
            Self::FailAdmission(admission) => ledger.fail_admission(key, admission, now).await,
            Self::Resend {
                resends,
                queued_at,
                deadline,
            } => {
                let candidate = Candidate {
                    key: key.clone(),
                    status: row.status(),
                    seen: IndexSnapshot {
                        queued_at: Some(queued_at),
                        resends,
                        deadline,
                    },
                };
                ledger.resend(&candidate, now).await
            }
            Self::Claim(stage, until) => {
                let claimed = ledger.claim(key, stage, until, now).await;
                claimed.map(|claimed| match claimed {
                    Claimed::Held(_, row) => Outcome::Applied(*row),
                    Claimed::Missing => Outcome::Missing,
                    Claimed::HeldElsewhere { .. }
                    | Claimed::Waiting { .. }
                    | Claimed::Ended(_)
                    | Claimed::Superseded(_) => Outcome::Refused(row.clone()),
                })
            }
            Self::Report => ledger.heartbeat(claim, PROGRESS, now).await,
            Self::Continue(at, waits) => {
                ledger
                    .continue_later(claim, at, waits, Some(PROGRESS), None, now)
                    .await
            }
            Self::Release => ledger.release(claim, LastError::OutOfTime, now).await,
            Self::Settle(code) => ledger.settle(claim, ending(code), now).await,
            Self::Exhaust { with_claim, stage } => {
                let code = ResultCode::QueueRetriesExhausted;
                let claim = with_claim.then_some(claim);
                let exhausted = ledger.exhaust(key, claim, stage, code, None, now);
                cleaned_up(table, exhausted.await).await
            }
            Self::Stall => cleaned_up(table, ledger.stall(key, now).await).await,
        };
        outcome.expect("the table answers")
    }
}

#[test]
fn dynamodb_decides_each_move_as_the_lifecycle_does() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let (table, claim, first) = runtime.block_on(async {
        let table = TestTable::create().await;
        let (claim, first) = claimed(&table).await;
        (table, claim, first)
    });
    let mine = Lease {
        token: holder(&first),
        until: claim.until(),
    };
    let ledger = table.ledger();
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    let cases = (a_standing(mine.token), a_call(), a_time());
    let (made, refused) = (Cell::new(0), Cell::new(0));
    let checked = runner.run(&cases, |(state, call, now)| {
        runtime.block_on(async {
            let row = Command {
                key: first.key.clone(),
                ..command(first.key.owner.clone(), state.clone())
            };
            table.put_command(&row).await;
            let outcome = call.make(&table.table(), &ledger, &claim, &row, now).await;
            let stored = ledger
                .read(&row.key, NOON)
                .await
                .expect("the table answers");
            let stored = stored.expect("it has not expired");

            let claimed = stored.state.lease.map_or(OTHERS, |lease| lease.token);
            let expected = call.as_move(mine, claimed, now);
            if expected.guard().holds(&state) {
                let mut after = state.clone();
                for change in expected.changes(&TIMEOUTS) {
                    change.make(&mut after);
                }
                prop_assert!(
                    matches!(outcome, Outcome::Applied(_)),
                    "refused: {outcome:?}"
                );
                prop_assert_eq!(&stored.state, &after);
                prop_assert_eq!(stored.ended.is_some(), after.status.is_terminal());
                made.set(made.get() + 1);
            } else {
                prop_assert!(matches!(outcome, Outcome::Refused(_)), "made: {outcome:?}");
                prop_assert_eq!(&stored, &row);
                refused.set(refused.get() + 1);
            }
            Ok(())
        })
    });
    checked.expect("the database and the lifecycle agree");
    let (made, refused) = (made.get(), refused.get());
    assert!(
        made > CASES / 10 && refused > CASES / 10,
        "{made} made, {refused} refused"
    );
}
