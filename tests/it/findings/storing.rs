//! Which findings a page of alerts changes, and which it leaves alone.

use domain::{analysis::BegunBy, command::CommandId, finding::FindingId};
use store::findings::FindingRecord;

use super::*;
use crate::analyses::{failed, owner_with, read, take};

fn shown(status: FindingStatus, severity: Severity, at: i64) -> Finding {
    finding(&repository(), 1, severity, status, noon(at))
}

/// Returns the findings of this severity that wait for automation.
async fn waiting(table: &TestTable, owner: &Owner, severity: Severity) -> Vec<FindingId> {
    let (findings, ever) = (table.findings(), domain::Timestamp::from_millis(0));
    let page = findings.unanalysed(owner, severity, ever, 100, None).await;
    page.expect("the table answers").findings
}

/// A new owner with nothing stored.
async fn connected(table: &TestTable) -> Owner {
    let owner = owner();
    table.connect(&owner).await;
    owner
}

#[tokio::test]
async fn the_later_of_two_versions_in_one_page_wins() {
    let table = TestTable::create().await;
    let findings = table.findings();
    let of = |status, at| shown(status, Severity::Low, at);
    for (page, expected) in [
        (
            [of(FindingStatus::Open, 0), of(FindingStatus::Fixed, 5)],
            FindingStatus::Fixed,
        ),
        (
            [of(FindingStatus::Fixed, 5), of(FindingStatus::Open, 0)],
            FindingStatus::Fixed,
        ),
        (
            [of(FindingStatus::Open, 5), of(FindingStatus::Fixed, 5)],
            FindingStatus::Open,
        ),
    ] {
        let owner = connected(&table).await;
        assert_eq!(store(&findings, &owner, page.to_vec()).await.written, 1);
        assert_eq!(rows(&findings, &owner).await[&1].status, expected);
    }
}

#[tokio::test]
async fn a_differing_finding_is_written_unless_it_is_older() {
    let table = TestTable::create().await;
    let findings = table.findings();
    let owner = connected(&table).await;
    let first = shown(FindingStatus::Open, Severity::Low, 10);
    let mut retitled = first.clone();
    retitled.title = "Another title, with an equal timestamp".to_owned();
    let mut older = first.clone();
    older.source_updated_at = noon(9);
    let stored = |written, unchanged, stale| Stored {
        written,
        unchanged,
        stale,
        unstorable: 0,
    };
    for (page, expected, kept) in [
        (&first, stored(1, 0, 0), &first),
        (&first, stored(0, 1, 0), &first),
        (&retitled, stored(1, 0, 0), &retitled),
        (&older, stored(0, 0, 1), &retitled),
    ] {
        assert_eq!(store(&findings, &owner, vec![page.clone()]).await, expected);
        assert_eq!(&rows(&findings, &owner).await[&1], kept);
    }
}

/// A finding whose row takes this many bytes.
fn large(number: u32, bytes: usize) -> Finding {
    let mut large = finding(
        &repository(),
        number,
        Severity::Low,
        FindingStatus::Open,
        NOON,
    );
    let length = |finding: &Finding| serde_json::to_string(finding).expect("plain data").len();
    let more = bytes - length(&large);
    large.description.push_str(&"x".repeat(more));
    assert_eq!(length(&large), bytes);
    large
}

#[tokio::test]
async fn a_finding_too_large_for_a_row_is_counted_and_skipped() {
    let table = TestTable::create().await;
    let findings = table.findings();
    let owner = connected(&table).await;
    let page = vec![
        large(1, 250_001),
        large(2, 250_000),
        large(3, 400_000),
        large(4, 1_000),
    ];
    let expected = Stored {
        written: 2,
        unstorable: 2,
        ..Stored::default()
    };
    assert_eq!(store(&findings, &owner, page).await, expected);
    let kept: Vec<u32> = rows(&findings, &owner).await.into_keys().collect();
    assert_eq!(kept, [2, 4]);
}

#[tokio::test]
async fn only_its_owner_can_read_a_finding() {
    let table = TestTable::create().await;
    let findings = table.findings();
    let (owner, ids) = owner_with(&table, 1).await;
    let id = ids[0];
    let stranger = connected(&table).await;
    let alone = async |owner: &Owner| {
        let read = findings.read_alone(owner, id).await;
        read.expect("the table answers")
            .map(|record| record.finding)
    };
    let expected = finding(&repository(), 1, Severity::High, FindingStatus::Open, NOON);
    assert_eq!(alone(&owner).await, Some(expected));
    assert_eq!(alone(&stranger).await, None);
    let read = findings.read(&stranger, id).await;
    assert_eq!(read.expect("the table answers"), None);
}

#[tokio::test]
async fn an_open_finding_is_indexed_by_severity_until_analysed() {
    use FindingStatus::{Fixed, Ignored, Open};
    use Severity::{High, Low};
    let table = TestTable::create().await;
    let findings = table.findings();
    let owner = connected(&table).await;
    let id = shown(Open, High, 0).id;
    for (at, status, severity, [high, low]) in [
        (0, Fixed, High, [false, false]),
        (1, Open, High, [true, false]),
        (2, Open, Low, [false, true]),
        (3, Ignored, Low, [false, false]),
        (4, Open, Low, [false, true]),
        (5, Open, High, [true, false]),
    ] {
        let page = vec![shown(status, severity, at)];
        assert_eq!(store(&findings, &owner, page).await.written, 1);
        for (severity, waits) in [(High, high), (Low, low)] {
            let expected = if waits { vec![id] } else { Vec::new() };
            let waiting = waiting(&table, &owner, severity).await;
            assert_eq!(waiting, expected, "{severity}, at {at}");
        }
    }
    take(&table, &owner, id, BegunBy::Request).await;
    for (at, status, severity) in [(6, Open, Low), (7, Ignored, Low), (8, Open, High)] {
        let page = vec![shown(status, severity, at)];
        assert_eq!(store(&findings, &owner, page).await.written, 1);
        for severity in [High, Low] {
            assert_eq!(waiting(&table, &owner, severity).await, [], "at {at}");
        }
    }
}

/// The page was compared before the analysis started, and shows nothing newer.
#[tokio::test]
async fn a_stale_page_does_not_return_a_finding_to_automation() {
    let table = TestTable::create().await;
    let (proxy, through) = table.through(&[]).await;
    let (owner, ids) = owner_with(&table, 1).await;
    let findings = Findings::new(through);
    proxy.freeze("BatchGetItem");
    let same = shown(FindingStatus::Open, Severity::High, 0);
    assert_eq!(store(&findings, &owner, vec![same]).await.unchanged, 1);
    take(&table, &owner, ids[0], BegunBy::Request).await;
    let before = table.items().await;
    let worse = shown(FindingStatus::Open, Severity::Critical, 10);
    let page = vec![worse.clone()];
    let pace = unhurried();
    let stored = findings.store(&owner, repository().id, page, (Arrival::New, NOON), &pace);
    let stored = stored.await;
    assert!(
        matches!(stored, Err(FindingsError::Contended { .. })),
        "{stored:?}"
    );
    assert_eq!(table.items().await, before);
    let stored = store(&table.findings(), &owner, vec![worse]).await;
    assert_eq!(stored.written, 1, "a second read sees it");
    assert_eq!(waiting(&table, &owner, Severity::Critical).await, []);
}

/// An owner with a finding that this command has dismissed.
async fn dismissed(table: &TestTable) -> (Owner, FindingRecord, CommandId) {
    let (owner, ids) = owner_with(table, 1).await;
    let seen = read(table, &owner, ids[0]).await;
    let command = CommandId::new(NOON);
    let ignored = shown(FindingStatus::Ignored, Severity::High, 10);
    let findings = table.findings();
    let writes = findings.change(&owner, &seen, &ignored, Some(command), NOON);
    let written = table.analyses().write(ids[0], "a change", writes).await;
    assert!(written.expect("the table answers"));
    let record = read(table, &owner, ids[0]).await;
    (owner, record, command)
}

#[tokio::test]
async fn the_dismissing_command_is_named_while_the_finding_is_ignored() {
    use FindingStatus::{Closed, Fixed, Ignored, Open};
    let table = TestTable::create().await;
    for status in [Open, Fixed, Ignored, Closed] {
        let (owner, record, command) = dismissed(&table).await;
        assert_eq!(record.credited, Some(command));
        let page = vec![shown(status, Severity::High, 20)];
        assert_eq!(store(&table.findings(), &owner, page).await.written, 1);
        let found = read(&table, &owner, record.finding.id).await;
        assert_eq!(
            found.credited,
            (status == Ignored).then_some(command),
            "{status}"
        );
    }
}

/// Defers an analysis that automation started, as after a refusal by the agent.
async fn defer(table: &TestTable, owner: &Owner, id: FindingId) {
    let record = read(table, owner, id).await;
    let seen = record.analysis.clone().expect("it was begun");
    let analyses = table.analyses();
    let writes = analyses.defer(owner, &record, &seen, &failed(), NOON);
    let written = analyses.write(id, "a deferral", writes).await;
    assert!(written.expect("the table answers"));
}

/// For a deferred finding: a sync that compared it, and a dismissal that read it, while the analysis was in flight,
/// write afterwards.
#[tokio::test]
async fn a_deferred_finding_is_indexed_by_its_current_severity() {
    let table = TestTable::create().await;
    let (proxy, through) = table.through(&[]).await;
    let (owner, ids) = owner_with(&table, 1).await;
    let (id, findings) = (ids[0], Findings::new(through));
    take(&table, &owner, id, BegunBy::Automation).await;
    proxy.freeze("BatchGetItem");
    let same = shown(FindingStatus::Open, Severity::High, 0);
    assert_eq!(store(&findings, &owner, vec![same]).await.unchanged, 1);
    let seen = read(&table, &owner, id).await;
    defer(&table, &owner, id).await;

    let worse = shown(FindingStatus::Open, Severity::Critical, 10);
    let page = vec![worse.clone()];
    let pace = unhurried();
    let stored = findings.store(&owner, repository().id, page, (Arrival::New, NOON), &pace);
    let stored = stored.await;
    assert!(
        matches!(stored, Err(FindingsError::Contended { .. })),
        "{stored:?}"
    );
    let change = async |seen: &FindingRecord| {
        let findings = table.findings();
        let writes = findings.change(&owner, seen, &worse, None, NOON);
        let written = table.analyses().write(id, "a change", writes).await;
        written.expect("the table answers")
    };
    assert!(!change(&seen).await, "it was read before it waited");
    assert_eq!(waiting(&table, &owner, Severity::High).await, ids);

    assert!(change(&read(&table, &owner, id).await).await);
    assert_eq!(waiting(&table, &owner, Severity::High).await, []);
    assert_eq!(waiting(&table, &owner, Severity::Critical).await, ids);
    let milder = shown(FindingStatus::Open, Severity::Low, 20);
    assert_eq!(
        store(&table.findings(), &owner, vec![milder]).await.written,
        1
    );
    assert_eq!(waiting(&table, &owner, Severity::Low).await, ids);
}
