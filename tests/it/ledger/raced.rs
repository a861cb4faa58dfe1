//! Many tasks make the same move at once: exactly one succeeds, and its write stays.

use std::sync::Arc;

use domain::{
    command::{Command, Progress},
    lifecycle::{Stage, Waits},
    result_code::ResultCode,
};
use futures::future::join_all;
use store::ledger::{Claimed, Ledger, Outcome};
use tests::{Holder, NOON, TestTable, cleaned_up, noon, states};

use super::{candidate, claimed, ending};

const TASKS: usize = 16;
const ROUNDS: usize = 5;

/// Makes the move in every task and returns the rows of those that succeeded.
async fn made<F>(make: impl Fn(usize) -> F) -> Vec<Command>
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let tasks = (0..TASKS).map(|place| tokio::spawn(make(place)));
    let outcomes = join_all(tasks).await.into_iter();
    outcomes
        .filter_map(|outcome| outcome.expect("the task does not panic").made())
        .collect()
}

async fn stored(ledger: &Ledger, row: &Command) -> Command {
    let stored = ledger.read(&row.key, NOON).await;
    stored.expect("the table answers").expect("it is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_claims_one_succeeds() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    for name in ["accepted", "lapsed"].repeat(ROUNDS) {
        let mut all = states(Holder::Another).into_iter();
        let (_, state) = all.find(|(known, _)| *known == name).expect("a state");
        let row = table.seed(state).await;
        let made = made(|_| {
            let (ledger, key) = (ledger.clone(), row.key.clone());
            async move {
                match ledger.claim(&key, Stage(0), noon(30), NOON).await {
                    Ok(Claimed::Held(_, row)) => Outcome::Applied(*row),
                    Ok(Claimed::HeldElsewhere { until }) if until == noon(30) => Outcome::Missing,
                    other => panic!("{other:?}"),
                }
            }
        });
        let made = made.await;
        assert_eq!(made, [stored(&ledger, &row).await], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_endings_one_stands() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    for _ in 0..ROUNDS {
        let (claim, row) = claimed(&table).await;
        let claim = Arc::new(claim);
        // After lease and deadline, three may end it: the late worker, the reconciler, and the dead-letter consumer.
        let late = row.state.deadline;
        let made = made(|place| {
            let (ledger, key, claim) = (ledger.clone(), row.key.clone(), claim.clone());
            let table = table.table();
            async move {
                let code = ResultCode::ALL[place % ResultCode::ALL.len()];
                let exhausted = ResultCode::QueueRetriesExhausted;
                let outcome = match place % 3 {
                    0 => ledger.settle(&claim, ending(code), late).await,
                    1 => cleaned_up(&table, ledger.stall(&key, late).await).await,
                    _ => {
                        let ended = ledger.exhaust(&key, None, Stage(0), exhausted, None, late);
                        cleaned_up(&table, ended.await).await
                    }
                };
                outcome.expect("the table answers")
            }
        });
        let made = made.await;
        assert_eq!(made, [stored(&ledger, &row).await]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_resends_one_succeeds() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    for _ in 0..ROUNDS {
        let row = table.seed(states(Holder::Another).swap_remove(0).1).await;
        let made = made(|_| {
            let (ledger, seen) = (ledger.clone(), candidate(&row));
            async move { ledger.resend(&seen, NOON).await.expect("the table answers") }
        });
        assert_eq!(made.await.len(), 1);
        assert_eq!(stored(&ledger, &row).await.state.resends, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_continuations_one_succeeds() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    for _ in 0..ROUNDS {
        let (claim, row) = claimed(&table).await;
        let claim = Arc::new(claim);
        let made = made(|_| {
            let (ledger, claim) = (ledger.clone(), claim.clone());
            async move {
                let progress = Progress { done: 1, total: 2 };
                let handed_on =
                    ledger.continue_later(&claim, NOON, Waits::No, Some(progress), None, NOON);
                handed_on.await.expect("the table answers")
            }
        });
        assert_eq!(made.await.len(), 1);
        assert_eq!(stored(&ledger, &row).await.state.stage, Stage(1));
    }
}
