//! DynamoDB throttles, or reports a transaction on the row: the ledger retries a few times, then returns an error, and
//! leaves nothing half-done.

use domain::{command::IdempotencyKey, lifecycle::Stage};
use store::{
    findings::{Arrival, Findings},
    ledger::{Admission, Claimed, Ledger, LedgerError, NewCommand},
};
use tests::{
    Fault, Holder, NOON, TIMEOUTS, TestTable, finding, noon, owner, repository, states, sync_of,
    unhurried,
};

/// More faults than the ledger retries.
const TOO_OFTEN: usize = 12;

#[tokio::test]
async fn a_throttled_claim_is_retried() {
    for fault in [Fault::Throttle, Fault::Conflict] {
        let table = TestTable::create().await;
        let (proxy, through) = table.through(&[("UpdateItem", fault); 2]).await;
        let ledger = Ledger::new(through, TIMEOUTS);
        let row = table.seed(states(Holder::Another).swap_remove(0).1).await;
        let claimed = ledger.claim(&row.key, Stage(0), noon(30), NOON).await;
        assert!(
            matches!(claimed, Ok(Claimed::Held(..))),
            "{fault:?}: {claimed:?}"
        );
        assert_eq!(proxy.count("UpdateItem"), 3, "{fault:?}");
    }
}

#[tokio::test]
async fn claim_retries_are_limited() {
    for fault in [Fault::Throttle, Fault::Conflict] {
        let table = TestTable::create().await;
        let (_, through) = table.through(&[("UpdateItem", fault); TOO_OFTEN]).await;
        let ledger = Ledger::new(through, TIMEOUTS);
        let row = table.seed(states(Holder::Another).swap_remove(0).1).await;
        let claimed = ledger.claim(&row.key, Stage(0), noon(30), NOON).await;
        assert!(
            matches!(claimed, Err(LedgerError::Unwritten { .. })),
            "{fault:?}: {claimed:?}"
        );
        let stored = table.ledger().read(&row.key, NOON).await;
        assert_eq!(stored.expect("the table answers"), Some(row), "{fault:?}");
    }
}

#[tokio::test]
async fn a_throttled_keyed_admission_is_atomic() {
    for (times, admitted) in [(2, true), (TOO_OFTEN, false)] {
        for fault in [Fault::Throttle, Fault::Conflict] {
            let table = TestTable::create().await;
            let faults = vec![("TransactWriteItems", fault); times];
            let (_, through) = table.through(&faults).await;
            let new = NewCommand {
                key: Some(IdempotencyKey::parse("a-request").expect("a key")),
                ..sync_of(&owner())
            };
            let answer = Ledger::new(through, TIMEOUTS).admit(new, NOON).await;
            let told_to_send = matches!(answer, Ok(Admission::Admitted(..)));
            assert_eq!(told_to_send, admitted, "{fault:?}: {answer:?}");
            assert_eq!(
                table.count().await,
                if admitted { 2 } else { 0 },
                "{fault:?}"
            );
        }
    }
}

#[tokio::test]
async fn storing_findings_is_retried_after_a_conflict_or_throttling() {
    use domain::finding::{FindingStatus, Severity};

    for fault in [Fault::Conflict, Fault::Throttle] {
        let table = TestTable::create().await;
        let (proxy, through) = table.through(&[("TransactWriteItems", fault); 2]).await;
        let page = vec![finding(
            &repository(),
            1,
            Severity::High,
            FindingStatus::Open,
            NOON,
        )];
        let owner = owner();
        table.connect(&owner).await;
        let stored = Findings::new(through)
            .store(
                &owner,
                repository().id,
                page,
                (Arrival::New, NOON),
                &unhurried(),
            )
            .await;
        let stored = stored.expect("the table answers");
        assert_eq!(stored.written, 1, "{fault:?}");
        assert_eq!(proxy.count("TransactWriteItems"), 3, "{fault:?}");
    }
}
