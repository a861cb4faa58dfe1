//! Progress and error that a worker records stay on the row until it records newer ones.

use domain::{
    command::{Command, LastError, Progress},
    lifecycle::Waits,
    result_code::{Effect, ResultCode},
};
use store::ledger::{Ending, Outcome};
use tests::{NOON, TestTable, cleaned_up, noon};

use super::{claimed, ending};

const HALF: Progress = Progress { done: 2, total: 4 };
const MORE: Progress = Progress { done: 3, total: 4 };

/// Returns the row's progress and error.
async fn said(table: &TestTable, row: &Command) -> (Option<Progress>, Option<String>) {
    let stored = table.ledger().read(&row.key, NOON).await;
    let stored = stored.expect("the table answers").expect("it is there");
    (stored.progress, stored.last_error)
}

fn is_made(outcome: Outcome) {
    assert!(outcome.made().is_some(), "the lease is live");
}

#[tokio::test]
async fn progress_and_error_stay_on_the_row() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let (claim, row) = claimed(&table).await;
    is_made(
        ledger
            .heartbeat(&claim, HALF, NOON)
            .await
            .expect("it answers"),
    );
    assert_eq!(said(&table, &row).await, (Some(HALF), None));

    let limited = LastError::RateLimited(noon(90));
    let handed_on = ledger.continue_later(
        &claim,
        noon(90),
        Waits::UntilThen,
        Some(MORE),
        Some(limited),
        NOON,
    );
    is_made(handed_on.await.expect("it answers"));
    let expected = (Some(MORE), Some(limited.to_string()));
    assert_eq!(said(&table, &row).await, expected);

    let (claim, row) = claimed(&table).await;
    let released = ledger.release(&claim, LastError::OutOfTime, NOON).await;
    is_made(released.expect("it answers"));
    let expected = (None, Some(LastError::OutOfTime.to_string()));
    assert_eq!(said(&table, &row).await, expected);
}

#[tokio::test]
async fn the_worker_that_ends_a_command_sets_its_last_error() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let failed = Ending {
        code: ResultCode::SyncPartialFailure,
        effect: Effect::Applied,
        last_error: Some(LastError::GithubStatus(502)),
        progress: Some(MORE),
    };
    let word = LastError::GithubStatus(502).to_string();
    for (ending, error, progress) in [
        (failed, Some(word), MORE),
        (ending(ResultCode::SyncCompleted), None, HALF),
    ] {
        let (claim, row) = claimed(&table).await;
        is_made(
            ledger
                .heartbeat(&claim, HALF, NOON)
                .await
                .expect("it answers"),
        );
        let settled = ledger.settle(&claim, ending, NOON).await;
        is_made(settled.expect("it answers"));
        assert_eq!(said(&table, &row).await, (Some(progress), error));
    }

    let (claim, row) = claimed(&table).await;
    let (stage, code) = (row.state.stage, ResultCode::QueueRetriesExhausted);
    let unreachable = Some(LastError::GithubUnreachable);
    let exhausted = ledger.exhaust(&row.key, Some(&claim), stage, code, unreachable, NOON);
    let exhausted = cleaned_up(&table.table(), exhausted.await).await;
    is_made(exhausted.expect("it answers"));
    let expected = Some(LastError::GithubUnreachable.to_string());
    assert_eq!(said(&table, &row).await, (None, expected));
}
