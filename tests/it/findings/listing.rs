//! Lists and counts of findings: every match once, in order, with no needless reads.

use domain::installation::InstallationRepository;
use domain::{
    analysis::BegunBy,
    finding::{FindingId, Repository, RepositoryId},
    settings::SlaDays,
};
use std::time::Duration;
use store::{
    findings::{AnalysisFilter, FindingPosition, Overdue},
    repositories::Listing,
};

use super::*;
use crate::analyses::{completed, end, failed, launch, take};

const FEW: RepositoryId = RepositoryId::new(3);
const MANY: RepositoryId = RepositoryId::new(7);

/// A finding as a list shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listed {
    severity: Severity,
    status: FindingStatus,
    id: FindingId,
    analysis: AnalysisFilter,
}

/// Sets up an owner with three findings of every severity and status in two repositories; four of the most severe are
/// analysed.
async fn stored(table: &TestTable) -> (Owner, Vec<Listed>) {
    let owner = owner();
    table.connect(&owner).await;
    let other = Repository {
        id: FEW,
        name: "octo/other".parse().expect("a name"),
    };
    let listing = Listing {
        id: FEW,
        listed: Some(InstallationRepository {
            repository: other.clone(),
            private: true,
            archived: false,
        }),
        attempt: None,
    };
    let recorded = table.repositories().record(&owner, &[listing], NOON).await;
    recorded.expect("the table answers");
    // Stored in an order that no list uses.
    let mut number = 0;
    for repository in [repository(), other] {
        let mut page = Vec::new();
        for status in FindingStatus::ALL {
            for severity in Severity::ALL.iter().rev() {
                for _ in 0..if repository.id == MANY { 2 } else { 1 } {
                    number += 1;
                    page.push(finding(&repository, number, *severity, *status, NOON));
                }
            }
        }
        let findings = table.findings();
        let pace = unhurried();
        let stored = findings.store(&owner, repository.id, page, (Arrival::New, NOON), &pace);
        assert_eq!(stored.await.expect("the table answers").stale, 0);
    }
    let open = |severity| FindingFilter {
        severity: Some(severity),
        status: Some(FindingStatus::Open),
        ..FindingFilter::default()
    };
    let mut worst = Vec::new();
    for severity in [Severity::Critical, Severity::High] {
        let page = table
            .findings()
            .list(&owner, &open(severity), 100, None)
            .await;
        let page = page.expect("the table answers").findings;
        worst.extend(page.into_iter().map(|record| record.finding.id));
    }
    for id in &worst[..2] {
        take(table, &owner, *id, BegunBy::Request).await;
        assert!(launch(table, &owner, *id, "ses-1").await);
    }
    let result = completed(domain::analysis::Exploitability::Unknown);
    assert!(end(table, &owner, worst[0], &result).await);
    assert!(end(table, &owner, worst[1], &failed()).await);
    take(table, &owner, worst[3], BegunBy::Request).await;
    take(table, &owner, worst[4], BegunBy::Request).await;
    assert!(launch(table, &owner, worst[4], "ses-2").await);

    let all = everything(table, &owner).await;
    assert_eq!(all.len(), 48);
    (owner, all)
}

/// Returns every finding, read from its row, in list order.
async fn everything(table: &TestTable, owner: &Owner) -> Vec<Listed> {
    let mut all = Vec::new();
    for item in table.items().await {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
        let Some(finding) = text("finding") else {
            continue;
        };
        let finding: Finding = serde_json::from_str(finding).expect("a finding");
        let analysis = text("analysis_status").map_or("none", String::as_str);
        all.push(Listed {
            severity: finding.severity,
            status: finding.status,
            id: finding.id,
            analysis: analysis.parse().expect("a state"),
        });
    }
    assert!(!all.is_empty(), "{owner} has findings");
    let place = |status| match status {
        FindingStatus::Open => 0,
        FindingStatus::Ignored => 1,
        FindingStatus::Fixed => 2,
        FindingStatus::Closed => 3,
    };
    all.sort_by(|one, two| {
        let worst_first = two.severity.cmp(&one.severity);
        worst_first
            .then(place(one.status).cmp(&place(two.status)))
            .then(one.id.cmp(&two.id))
    });
    all
}

/// Returns what a list shows, page by page.
async fn pages(
    findings: &Findings,
    owner: &Owner,
    filter: &FindingFilter,
    limit: usize,
) -> Vec<Vec<FindingId>> {
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = findings.list(owner, filter, limit, after.as_ref()).await;
        let page = page.expect("the table answers");
        let ids = page.findings.iter().map(|record| record.finding.id);
        pages.push(ids.collect());
        let Some(next) = page.next else {
            return pages;
        };
        // Clients receive the position as text.
        after = FindingPosition::parse(next.as_str());
        assert_eq!(after, Some(next));
    }
}

fn filters() -> Vec<FindingFilter> {
    let of = |severity, status, repository, analysis| FindingFilter {
        status,
        severity,
        repository,
        analysis,
    };
    let (high, open, fixed) = (
        Some(Severity::High),
        Some(FindingStatus::Open),
        Some(FindingStatus::Fixed),
    );
    let mut filters = vec![
        of(None, None, None, None),
        of(high, None, None, None),
        of(None, open, None, None),
        of(None, fixed, None, None),
        of(high, fixed, None, None),
        of(None, None, Some(FEW), None),
        of(None, None, Some(MANY), None),
        of(high, None, Some(MANY), None),
        of(None, open, Some(MANY), None),
        of(high, open, Some(FEW), None),
        of(None, None, Some(RepositoryId::new(1)), None),
        of(None, open, None, Some(AnalysisFilter::None)),
        of(high, None, None, Some(AnalysisFilter::Pending)),
    ];
    filters.extend(
        AnalysisFilter::ALL
            .iter()
            .map(|state| of(None, None, None, Some(*state))),
    );
    filters
}

fn matches(filter: &FindingFilter, listed: &Listed) -> bool {
    filter.status.is_none_or(|status| status == listed.status)
        && filter
            .severity
            .is_none_or(|severity| severity == listed.severity)
        && filter
            .repository
            .is_none_or(|id| id == listed.id.repository)
        && filter.analysis.is_none_or(|state| state == listed.analysis)
}

#[tokio::test]
async fn every_list_shows_each_match_once_and_in_order() {
    let table = TestTable::create().await;
    let (owner, all) = stored(&table).await;
    let findings = table.findings();
    for filter in filters() {
        let matching = all.iter().filter(|listed| matches(&filter, listed));
        let expected: Vec<FindingId> = matching.map(|listed| listed.id).collect();
        for limit in [1, 3, 4, 100] {
            if limit == 1 && expected.len() > 12 {
                continue;
            }
            let pages = pages(&findings, &owner, &filter, limit).await;
            let chunks = expected.chunks(limit).map(<[_]>::to_vec);
            let mut chunks: Vec<Vec<FindingId>> = chunks.collect();
            if chunks.is_empty() {
                chunks.push(Vec::new());
            }
            assert_eq!(pages, chunks, "{filter:?}, {limit} a page");
        }
    }
}

#[tokio::test]
async fn a_page_reads_one_item_more_than_it_shows() {
    let table = TestTable::create().await;
    let (owner, _) = stored(&table).await;
    let (proxy, through) = table.through(&[]).await;
    let findings = Findings::new(through);
    let open = FindingFilter {
        status: Some(FindingStatus::Open),
        ..FindingFilter::default()
    };
    // Three of each severity are open.
    for (limit, asked) in [(2, &[3][..]), (3, &[4, 1]), (4, &[5, 2]), (6, &[7, 4, 1])] {
        let before = proxy.count("Query");
        let page = findings.list(&owner, &open, limit, None).await;
        assert_eq!(page.expect("the table answers").findings.len(), limit);
        let queries = proxy.requests("Query").split_off(before);
        let limits: Vec<i64> = queries
            .iter()
            .filter_map(|query| query["Limit"].as_i64())
            .collect();
        assert_eq!(limits, asked, "{limit} a page");
    }
}

#[tokio::test]
async fn a_finding_is_due_soon_for_a_week_and_then_overdue() {
    let table = TestTable::create().await;
    let owner = owner();
    table.connect(&owner).await;
    let sla = SlaDays {
        critical: 15,
        low: 90,
        ..SlaDays::default()
    };
    let day = Duration::from_secs(86_400);
    let moment = Duration::from_millis(1);
    let mut page = Vec::new();
    for (severity, days) in [
        (Severity::Critical, 15),
        (Severity::High, 30),
        (Severity::Low, 90),
    ] {
        // Due now, if first detected then.
        let due = NOON - day * days;
        for (status, first_detected_at) in [
            (FindingStatus::Open, due - day * 9),
            (FindingStatus::Open, due),
            (FindingStatus::Open, due + moment),
            (FindingStatus::Open, due + day * 7),
            (FindingStatus::Open, due + day * 7 + moment),
            (FindingStatus::Ignored, due),
            (FindingStatus::Fixed, due + day),
        ] {
            let number = u32::try_from(page.len()).expect("a few") + 1;
            let mut finding = finding(&repository(), number, severity, status, NOON);
            finding.first_detected_at = first_detected_at;
            page.push(finding);
        }
    }
    assert_eq!(store(&table.findings(), &owner, page).await.written, 21);
    let counted = table.findings().overdue(&owner, &sla, NOON).await;
    let expected = Overdue {
        overdue: 3 * 2,
        due_soon: 3 * 2,
    };
    assert_eq!(counted.expect("the table answers"), expected);
}
