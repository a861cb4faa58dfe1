//! The audit events: one for each effect, in the same transaction.

use domain::{
    analysis::BegunBy,
    command::CommandId,
    finding::{FindingId, FindingStatus},
    lifecycle::Status,
    owner::Owner,
    result_code::{Effect, ResultCode},
};
use store::{
    analyses::Analyses,
    audit::{Audit, AuditAction, AuditEvent, ResourceType},
    ledger::{Ledger, Outcome, Together},
    table::Writes,
};
use tests::{Fault, NOON, Proxy, TIMEOUTS, TestTable, actor, noon, owner};

use crate::{
    analyses::{failed, owner_with, read, take},
    ledger::{claimed, ending},
};

const CODE: ResultCode = ResultCode::SyncCompleted;

fn event(command: CommandId, action: AuditAction, at: i64) -> AuditEvent {
    let of = (ResourceType::Finding, "dependabot-7-1");
    AuditEvent::of_command(command, action, actor(), of, noon(at))
}

pub(crate) async fn events(table: &TestTable, owner: &Owner) -> Vec<AuditEvent> {
    let page = Audit::new(table.table()).list(owner, 100, None).await;
    page.expect("the table answers").events
}

fn commanded(together: Together) -> Outcome {
    match together {
        Together::Command(outcome) => *outcome,
        Together::Unsettled => panic!("nothing is written beside it"),
    }
}

#[tokio::test]
async fn pages_run_from_the_newest_event_and_show_each_once() {
    let table = TestTable::create().await;
    let audit = Audit::new(table.table());
    let owner = owner();
    let mut expected = Vec::new();
    for (place, at) in [5, 5, 5, 0, 60, 7, 9].into_iter().enumerate() {
        let (claim, row) = claimed(&table).await;
        let mut event = event(row.key.id, AuditAction::FindingDismissed, at);
        event = event.with("place", place);
        let record = audit.record(&owner, &event);
        let settled = table.ledger();
        let settled = settled.settle_with(&claim, &row, ending(CODE), record, NOON);
        let settled = settled.await.expect("the table answers");
        assert!(matches!(commanded(settled), Outcome::Applied(_)));
        expected.push(event);
    }
    expected.sort_by_key(|event| std::cmp::Reverse((event.occurred_at, event.id)));
    for limit in [1, 2, 3, 7, 100] {
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = audit.list(&owner, limit, after.as_ref()).await;
            let page = page.expect("the table answers");
            assert!(page.events.len() <= limit);
            found.extend(page.events);
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{limit} a page");
        assert_eq!(pages, expected.len().div_ceil(limit), "{limit} a page");
    }
    assert_eq!(
        events(&table, &self::owner()).await,
        [],
        "another owner's events are not shown"
    );
}

/// DynamoDB returns at most a megabyte at once, whatever the limit.
#[tokio::test]
async fn a_page_cut_short_by_dynamodb_is_not_the_last() {
    let table = TestTable::create().await;
    let audit = Audit::new(table.table());
    let owner = owner();
    let mut expected = Vec::new();
    for at in [3, 2, 1, 0] {
        let event = event(CommandId::new(NOON), AuditAction::FindingDismissed, at);
        let event = event.with("as much as a row holds", "x".repeat(390_000));
        let record = audit.record(&owner, &event);
        let written = table.analyses();
        let written = written.write("dependabot-7-1".parse().expect("an id"), "an event", record);
        assert!(written.await.expect("the table answers"));
        expected.push(event);
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = audit.list(&owner, 100, after.as_ref()).await;
        let page = page.expect("the table answers");
        found.extend(page.events);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
}

/// Ends a command with an event beside it, through a proxy with this fault.
async fn settled_through(
    table: &TestTable,
    faults: &[Fault],
) -> (Proxy, Outcome, Owner, CommandId) {
    let (claim, row) = claimed(table).await;
    let owner = row.key.owner.clone();
    let faults: Vec<_> = faults
        .iter()
        .map(|fault| ("TransactWriteItems", *fault))
        .collect();
    let (proxy, through) = table.through(&faults).await;
    let event = event(row.key.id, AuditAction::SyncCompleted, 0);
    let record = Audit::new(through.clone()).record(&owner, &event);
    let ledger = Ledger::new(through, TIMEOUTS);
    let settled = ledger
        .settle_with(&claim, &row, ending(CODE), record, NOON)
        .await;
    let settled = commanded(settled.expect("the table answers"));
    (proxy, settled, owner, row.key.id)
}

#[tokio::test]
async fn an_effect_with_a_lost_response_leaves_one_event() {
    let table = TestTable::create().await;
    let (proxy, settled, owner, _) = settled_through(&table, &[Fault::LoseAnswer]).await;
    assert!(settled.made().is_some());
    assert_eq!(events(&table, &owner).await.len(), 1);
    assert_eq!(proxy.count("TransactWriteItems"), 2);
}

#[tokio::test]
async fn an_effect_retried_in_a_new_transaction_counts_once() {
    let table = TestTable::create().await;
    let faults = [Fault::LoseAnswer, Fault::Conflict];
    let (proxy, settled, owner, id) = settled_through(&table, &faults).await;
    let Outcome::AlreadyApplied(row) = settled else {
        panic!("its own token is on the row: {settled:?}")
    };
    assert_eq!((row.key.id, row.status()), (id, Status::Succeeded));
    assert_eq!(events(&table, &owner).await.len(), 1);
    assert_eq!(proxy.count("TransactWriteItems"), 3);
}

/// Ends an analysis that has already ended, so every transaction with these writes is refused.
pub(crate) async fn refused_writes(table: &TestTable) -> (Owner, FindingId, Writes) {
    let (owner, ids) = owner_with(table, 1).await;
    let seen = take(table, &owner, ids[0], BegunBy::Request).await;
    let analyses: Analyses = table.analyses();
    let end = || analyses.ended(&owner, ids[0], &seen, &failed(), NOON);
    let ended = analyses.write(ids[0], "an end", end()).await;
    assert!(ended.expect("the table answers"));
    let again = end();
    (owner, ids[0], again)
}

#[tokio::test]
async fn a_refused_side_write_keeps_the_command_running() {
    let table = TestTable::create().await;
    let (_, _, refused) = refused_writes(&table).await;
    let (claim, row) = claimed(&table).await;
    let before = table.items().await;
    let event = event(row.key.id, AuditAction::AnalysisFailed, 0);
    let record = Audit::new(table.table()).record(&row.key.owner, &event);
    for beside in [refused.clone().and(record.clone()), record.and(refused)] {
        let settled = table.ledger();
        let settled = settled.settle_with(&claim, &row, ending(CODE), beside, NOON);
        let settled = settled.await.expect("the table answers");
        assert!(matches!(settled, Together::Unsettled), "{settled:?}");
        assert_eq!(table.items().await, before, "and nothing was written");
    }
    let settled = table.ledger().settle(&claim, ending(CODE), NOON).await;
    let settled = settled.expect("the table answers");
    assert!(
        matches!(settled, Outcome::Applied(_)),
        "the lease is still valid"
    );
}

#[tokio::test]
async fn a_command_that_cannot_end_writes_nothing_beside_it() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 1).await;
    let audit = Audit::new(table.table());
    for how in ["taken over", "ended", "gone"] {
        let (claim, row) = claimed(&table).await;
        let ledger = table.ledger();
        match how {
            "taken over" => {
                let stage = row.state.stage;
                let claimed = ledger.claim(&row.key, stage, noon(90), noon(31)).await;
                let _ = claimed.expect("the table answers");
            }
            "ended" => {
                let ended = ledger.settle(&claim, ending(ResultCode::CommandStalled), NOON);
                let _ = ended.await.expect("the table answers");
            }
            _ => {}
        }
        let (claim, row) = match how {
            "gone" => claimed(&TestTable::create().await).await,
            _ => (claim, row),
        };
        let seen = read(&table, &owner, ids[0]).await;
        let mut changed = seen.finding.clone();
        changed.status = FindingStatus::Ignored;
        let change = table
            .findings()
            .change(&owner, &seen, &changed, Some(row.key.id), NOON);
        let event = event(row.key.id, AuditAction::FindingDismissed, 0);
        let beside = change.and(audit.record(&owner, &event));
        let before = table.items().await;
        let settled = ledger
            .settle_with(&claim, &row, ending(CODE), beside, noon(32))
            .await;
        let settled = commanded(settled.expect("the table answers"));
        if how == "gone" {
            assert!(matches!(settled, Outcome::Missing), "{settled:?}");
        } else {
            assert!(matches!(settled, Outcome::Refused(_)), "{how}: {settled:?}");
        }
        assert_eq!(table.items().await, before, "{how}");
    }
}

#[tokio::test]
async fn a_settlement_returns_the_stored_row() {
    let table = TestTable::create().await;
    let (claim, row) = claimed(&table).await;
    let event = event(row.key.id, AuditAction::SyncCompleted, 0);
    let record = Audit::new(table.table()).record(&row.key.owner, &event);
    let settled = table.ledger();
    let settled = settled.settle_with(&claim, &row, ending(CODE), record, NOON);
    let settled = commanded(settled.await.expect("the table answers"));
    let stored = table.ledger().read(&row.key, NOON).await;
    let stored = stored.expect("the table answers").expect("it is there");
    assert_eq!(settled.made(), Some(stored.clone()));
    assert_eq!(
        stored.ended.map(|ended| ended.effect),
        Some(Effect::Applied)
    );
}
