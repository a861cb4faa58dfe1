//! The findings' store: it writes only what changed, overwrites nothing newer, and keeps the counts equal to the rows.

mod listing;
mod storing;

use std::collections::BTreeMap;

use domain::{
    finding::{Finding, FindingStatus, Severity},
    owner::Owner,
};
use futures::future::join_all;
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use store::{
    findings::{Arrival, FindingFilter, Findings, FindingsError, Stored},
    repositories::Counts,
};
use tests::{Fault, NOON, TestTable, finding, noon, owner, repository, unhurried};

/// Returns every finding of the owner, by alert number.
async fn rows(findings: &Findings, owner: &Owner) -> BTreeMap<u32, Finding> {
    let (mut rows, mut after) = (BTreeMap::new(), None);
    loop {
        let filter = FindingFilter::default();
        let page = findings.list(owner, &filter, 100, after.as_ref()).await;
        let page = page.expect("the table answers");
        for record in page.findings {
            let number = record.finding.id.number.get();
            assert!(
                rows.insert(number, record.finding).is_none(),
                "listed twice"
            );
        }
        after = page.next;
        if after.is_none() {
            return rows;
        }
    }
}

fn counted<'a>(rows: impl IntoIterator<Item = &'a Finding>) -> Counts {
    let mut counts = Counts::default();
    for row in rows {
        counts.add(row.severity, row.status, 1);
    }
    counts
}

async fn counts(table: &TestTable, owner: &Owner) -> Counts {
    let read = table
        .repositories()
        .read(owner)
        .await
        .expect("the table answers");
    read[0].counts
}

fn some(place: u32) -> Finding {
    let severities = Severity::ALL;
    let statuses = FindingStatus::ALL;
    let severity = severities[place as usize % severities.len()];
    let status = statuses[place as usize / 3 % statuses.len()];
    finding(
        &repository(),
        place + 1,
        severity,
        status,
        noon(i64::from(place)),
    )
}

async fn store(findings: &Findings, owner: &Owner, page: Vec<Finding>) -> Stored {
    let stored = findings
        .store(
            owner,
            repository().id,
            page,
            (Arrival::New, NOON),
            &unhurried(),
        )
        .await;
    stored.expect("the table answers")
}

#[tokio::test]
async fn storing_the_same_317_alerts_again_writes_nothing() {
    let table = TestTable::create().await;
    let (proxy, through) = table.through(&[]).await;
    let findings = Findings::new(through);
    let owner = owner();
    table.connect(&owner).await;
    let alerts: Vec<Finding> = (0..317).map(some).collect();

    let mut written = 0;
    for page in alerts.chunks(100) {
        written += store(&findings, &owner, page.to_vec()).await.written;
    }
    assert_eq!(written, 317);
    let rows = rows(&findings, &owner).await;
    assert!(rows.values().eq(&alerts));
    assert_eq!(counts(&table, &owner).await, counted(&alerts));

    let before = proxy.count("TransactWriteItems");
    for page in alerts.chunks(100) {
        let again = store(&findings, &owner, page.to_vec()).await;
        assert_eq!(
            again,
            Stored {
                unchanged: page.len(),
                ..Stored::default()
            }
        );
    }
    assert_eq!(proxy.count("TransactWriteItems"), before);
}

#[tokio::test]
async fn a_page_older_than_a_dismissal_does_not_undo_it() {
    let table = TestTable::create().await;
    let findings = table.findings();
    let owner = owner();
    table.connect(&owner).await;
    let of = |status, at| finding(&repository(), 1, Severity::High, status, noon(at));
    let _ = store(&findings, &owner, vec![of(FindingStatus::Open, 0)]).await;
    let _ = store(&findings, &owner, vec![of(FindingStatus::Ignored, 20)]).await;
    let late = store(&findings, &owner, vec![of(FindingStatus::Open, 10)]).await;
    assert_eq!(
        late,
        Stored {
            stale: 1,
            ..Stored::default()
        }
    );
    assert_eq!(
        rows(&findings, &owner).await[&1].status,
        FindingStatus::Ignored
    );
    assert_eq!(
        counts(&table, &owner).await,
        Counts {
            ignored: 1,
            ..Counts::default()
        }
    );
}

#[tokio::test]
async fn storing_with_a_lost_response_counts_once() {
    let table = TestTable::create().await;
    let owner = owner();
    table.connect(&owner).await;
    let (proxy, through) = table
        .through(&[("TransactWriteItems", Fault::LoseAnswer)])
        .await;
    let alerts: Vec<Finding> = (0..5).map(some).collect();
    let _ = store(&Findings::new(through), &owner, alerts.clone()).await;
    assert_eq!(counts(&table, &owner).await, counted(&alerts));
    assert_eq!(proxy.count("TransactWriteItems"), 2);
}

/// What one task stores, page after page: alert numbers with their versions.
type Pages = Vec<Vec<(u32, u8)>>;

/// An alert in a version. A later version has a later update time.
fn version(number: u32, version: u8) -> Finding {
    let status = FindingStatus::ALL[(number as usize + version as usize) % 4];
    let severity = Severity::ALL[number as usize % 4];
    finding(
        &repository(),
        number,
        severity,
        status,
        noon(version.into()),
    )
}

/// Stores the pages and retries after conflicts, which the store declares safe.
async fn keep_storing(findings: Findings, owner: Owner, pages: Pages) {
    for page in pages {
        let page: Vec<Finding> = page
            .iter()
            .map(|(number, v)| version(*number, *v))
            .collect();
        let mut tries = 0;
        loop {
            match findings
                .store(
                    &owner,
                    repository().id,
                    page.clone(),
                    (Arrival::New, NOON),
                    &unhurried(),
                )
                .await
            {
                Ok(_) => break,
                Err(FindingsError::Contended { .. } | FindingsError::Unwritten { .. })
                    if tries < 20 =>
                {
                    tries += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn the_counts_match_the_rows_after_concurrent_stores() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let table = runtime.block_on(TestTable::create());
    let mut runner = TestRunner::new(Config {
        cases: 12,
        failure_persistence: None,
        max_shrink_iters: 20,
        ..Config::default()
    });
    let page = vec((1..8_u32, select(vec![0_u8, 1, 2, 3, 4])), 1..6);
    let tasks = vec(vec(page, 1..4), 2..5);
    let checked = runner.run(&tasks, |tasks: Vec<Pages>| {
        runtime.block_on(async {
            let owner = owner();
            table.connect(&owner).await;
            let mut newest: BTreeMap<u32, u8> = BTreeMap::new();
            for (number, v) in tasks.iter().flatten().flatten() {
                let known = newest.entry(*number).or_default();
                *known = (*known).max(*v);
            }
            let running = tasks
                .into_iter()
                .map(|pages| tokio::spawn(keep_storing(table.findings(), owner.clone(), pages)));
            for task in join_all(running).await {
                task.expect("the task does not panic");
            }
            let rows = rows(&table.findings(), &owner).await;
            let expected: BTreeMap<u32, Finding> = newest
                .iter()
                .map(|(number, v)| (*number, version(*number, *v)))
                .collect();
            prop_assert_eq!(counts(&table, &owner).await, counted(rows.values()));
            prop_assert_eq!(rows, expected);
            Ok(())
        })
    });
    checked.expect("no interleaving loses or reverts a write");
}
