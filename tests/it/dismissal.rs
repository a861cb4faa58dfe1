//! A finding's change after a dismissal: guarded by the state that was read, naming one command, and never overwriting
//! newer state.

use domain::{
    command::CommandId,
    finding::{Finding, FindingStatus, Severity},
    owner::Owner,
};
use store::{
    findings::{Arrival, FindingRecord},
    repositories::Counts,
};
use tests::{NOON, TestTable, finding, noon, repository, unhurried};

use crate::analyses::{owner_with, read, waiting};

fn shown(status: FindingStatus, at: i64) -> Finding {
    finding(&repository(), 1, Severity::High, status, noon(at))
}

/// Makes the change and returns whether the guard permitted it.
async fn change(
    table: &TestTable,
    owner: &Owner,
    seen: &FindingRecord,
    changed: &Finding,
    by: Option<CommandId>,
) -> bool {
    let writes = table.findings().change(owner, seen, changed, by, noon(60));
    let written = table.analyses().write(changed.id, "a change", writes).await;
    written.expect("the table answers")
}

async fn counts(table: &TestTable, owner: &Owner) -> Counts {
    let read = table.repositories().read(owner).await;
    read.expect("the table answers")[0].counts
}

fn counted(status: FindingStatus) -> Counts {
    let mut counts = Counts::default();
    counts.add(Severity::High, status, 1);
    counts
}

#[tokio::test]
async fn a_finding_changes_only_if_it_is_unchanged_since_the_read() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 1).await;
    let seen = read(&table, &owner, ids[0]).await;
    let ignored = shown(FindingStatus::Ignored, 20);
    let synced = shown(FindingStatus::Open, 10);
    let stored = table.findings();
    let pace = unhurried();
    let stored = stored.store(
        &owner,
        repository().id,
        vec![synced],
        (Arrival::New, NOON),
        &pace,
    );
    assert_eq!(stored.await.expect("the table answers").written, 1);
    let command = CommandId::new(NOON);
    let items = table.items().await;
    assert!(!change(&table, &owner, &seen, &ignored, Some(command)).await);
    assert_eq!(table.items().await, items);

    let seen = read(&table, &owner, ids[0]).await;
    assert!(change(&table, &owner, &seen, &ignored, Some(command)).await);
    let found = read(&table, &owner, ids[0]).await;
    assert_eq!((&found.finding, found.credited), (&ignored, Some(command)));
    assert_eq!(
        counts(&table, &owner).await,
        counted(FindingStatus::Ignored)
    );
}

#[tokio::test]
async fn of_two_commands_that_dismiss_a_finding_the_row_names_one() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 1).await;
    let seen = read(&table, &owner, ids[0]).await;
    let ignored = shown(FindingStatus::Ignored, 20);
    let [first, second] = [(); 2].map(|()| CommandId::new(NOON));
    let (one, two) = tokio::join!(
        change(&table, &owner, &seen, &ignored, Some(first)),
        change(&table, &owner, &seen, &ignored, Some(second))
    );
    assert_ne!(one, two);
    let named = if one { first } else { second };
    let found = read(&table, &owner, ids[0]).await;
    assert_eq!(found.credited, Some(named));
    assert!(!change(&table, &owner, &found, &ignored, Some(second)).await);
    assert!(!change(&table, &owner, &found, &ignored, Some(first)).await);
    assert_eq!(
        counts(&table, &owner).await,
        counted(FindingStatus::Ignored)
    );

    // A reopened finding can be dismissed again.
    let reopened = shown(FindingStatus::Open, 30);
    let stored = table.findings();
    let pace = unhurried();
    let stored = stored.store(
        &owner,
        repository().id,
        vec![reopened],
        (Arrival::New, NOON),
        &pace,
    );
    assert_eq!(stored.await.expect("the table answers").written, 1);
    let seen = read(&table, &owner, ids[0]).await;
    assert_eq!(seen.credited, None);
    let ignored = shown(FindingStatus::Ignored, 40);
    assert!(change(&table, &owner, &seen, &ignored, Some(second)).await);
    assert_eq!(
        counts(&table, &owner).await,
        counted(FindingStatus::Ignored)
    );
}

#[tokio::test]
async fn a_dismissal_already_stored_by_a_sync_is_still_named() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 1).await;
    let ignored = shown(FindingStatus::Ignored, 20);
    let stored = table.findings();
    let page = vec![ignored.clone()];
    let pace = unhurried();
    let stored = stored.store(&owner, repository().id, page, (Arrival::New, NOON), &pace);
    assert_eq!(stored.await.expect("the table answers").written, 1);
    let seen = read(&table, &owner, ids[0]).await;
    let command = CommandId::new(NOON);
    assert!(change(&table, &owner, &seen, &ignored, Some(command)).await);
    let found = read(&table, &owner, ids[0]).await;
    assert_eq!((found.finding, found.credited), (ignored, Some(command)));
    assert_eq!(
        counts(&table, &owner).await,
        counted(FindingStatus::Ignored)
    );
}

#[tokio::test]
async fn an_older_github_state_does_not_undo_a_newer_one() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 1).await;
    // A command dismisses at 20; somebody reopens at 30, and a sync stores that before the command does.
    let reopened = shown(FindingStatus::Open, 30);
    let stored = table.findings();
    let page = vec![reopened.clone()];
    let pace = unhurried();
    let stored = stored.store(&owner, repository().id, page, (Arrival::New, NOON), &pace);
    assert_eq!(stored.await.expect("the table answers").written, 1);
    let seen = read(&table, &owner, ids[0]).await;
    let ignored = shown(FindingStatus::Ignored, 20);
    let command = Some(CommandId::new(NOON));
    let findings = table.findings();
    let change = findings.change(&owner, &seen, &ignored, command, NOON);
    assert!(change.is_empty());
    let withdrawn = shown(FindingStatus::Closed, 20);
    let change = findings.change(&owner, &seen, &withdrawn, None, NOON);
    assert!(!change.is_empty(), "a withdrawn alert is always a change");
}

#[tokio::test]
async fn a_change_with_an_equal_timestamp_is_written() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 1).await;
    let seen = read(&table, &owner, ids[0]).await;
    let findings = table.findings();
    let same = findings.change(&owner, &seen, &seen.finding, None, NOON);
    assert!(same.is_empty());
    assert_eq!(waiting(&table, &owner).await, ids);

    // Somebody else has dismissed it: no command is named, and automation skips it.
    let ignored = shown(FindingStatus::Ignored, 0);
    assert!(change(&table, &owner, &seen, &ignored, None).await);
    let seen = read(&table, &owner, ids[0]).await;
    assert_eq!((&seen.finding, seen.credited), (&ignored, None));
    assert_eq!(waiting(&table, &owner).await, []);
    let reopened = shown(FindingStatus::Open, 0);
    assert!(change(&table, &owner, &seen, &reopened, None).await);
    assert_eq!(counts(&table, &owner).await, counted(FindingStatus::Open));
    assert_eq!(waiting(&table, &owner).await, ids);
}
