//! The analyses' store: a slot is taken exactly while its analysis is in flight, counts and index match the rows, and a
//! callback counts once.

use std::collections::BTreeMap;

use domain::{
    analysis::{
        Analysis, AnalysisOutcome, AnalysisResult, AnalysisStatus, BegunBy, Callback,
        Exploitability, FailureCode, PENDING_FOR, RUNNING_FOR, SuggestedAction,
    },
    command::CommandId,
    finding::{FindingId, FindingStatus, Severity},
    owner::Owner,
    settings::Confidence,
};
use futures::future::join_all;
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use store::{
    analyses::{Analyses, Beginning, Begun, COOLDOWN, OwnerAnalyses, Received},
    findings::{Arrival, FindingFilter, FindingRecord},
    table::Writes,
};
use tests::{Fault, NOON, Proxy, TestTable, finding, noon, owner, repository, unhurried};

use crate::audit::refused_writes;

/// An owner with this many open findings, numbered from 1.
pub(crate) async fn owner_with(table: &TestTable, count: u32) -> (Owner, Vec<FindingId>) {
    let owner = owner();
    table.connect(&owner).await;
    let mut ids = Vec::new();
    for number in 1..=count {
        ids.push(shows(table, &owner, number, FindingStatus::Open, 0).await);
    }
    (owner, ids)
}

/// Stores the finding with this status since that time, as a sync would.
async fn shows(
    table: &TestTable,
    owner: &Owner,
    number: u32,
    status: FindingStatus,
    at: i64,
) -> FindingId {
    let shown = finding(&repository(), number, Severity::High, status, noon(at));
    let (id, repository) = (shown.id, shown.id.repository);
    let findings = table.findings();
    let pace = unhurried();
    let stored = findings.store(owner, repository, vec![shown], (Arrival::New, NOON), &pace);
    assert_eq!(stored.await.expect("the table answers").stale, 0);
    id
}

pub(crate) async fn read(table: &TestTable, owner: &Owner, id: FindingId) -> FindingRecord {
    let read = table.findings().read(owner, id).await;
    read.expect("the table answers").expect("it is there")
}

async fn analysis(table: &TestTable, owner: &Owner, id: FindingId) -> Analysis {
    let record = read(table, owner, id).await;
    record.analysis.expect("it was begun")
}

pub(crate) fn beginning(begun_by: BegunBy) -> Beginning {
    Beginning {
        attempt: CommandId::new(NOON),
        begun_by,
    }
}

async fn begin(analyses: &Analyses, owner: &Owner, seen: &FindingRecord, by: BegunBy) -> Begun {
    let begun = analyses.begin(owner, seen, beginning(by), Writes::default(), NOON);
    begun.await.expect("the table answers")
}

/// Takes a slot.
pub(crate) async fn take(table: &TestTable, owner: &Owner, id: FindingId, by: BegunBy) -> Analysis {
    let seen = read(table, owner, id).await;
    match begin(&table.analyses(), owner, &seen, by).await {
        Begun::Taken(analysis) => *analysis,
        other => panic!("there is a slot: {other:?}"),
    }
}

pub(crate) fn completed(exploitability: Exploitability) -> AnalysisOutcome {
    AnalysisOutcome::Completed(Box::new(AnalysisResult {
        exploitability,
        reasoning: "It is not called.".to_owned(),
        usage_locations: Vec::new(),
        suggested_fix: None,
        suggested_action: SuggestedAction::Monitor,
        confidence: Confidence::High,
        summary: "Not used.".to_owned(),
    }))
}

pub(crate) fn failed() -> AnalysisOutcome {
    AnalysisOutcome::Failed(FailureCode::unspecified())
}

pub(crate) fn callback(session: &str, outcome: AnalysisOutcome) -> Callback {
    Callback {
        session: session.parse().expect("a session"),
        outcome,
    }
}

/// Records that the agent has started a session.
pub(crate) async fn launch(table: &TestTable, owner: &Owner, id: FindingId, session: &str) -> bool {
    let seen = analysis(table, owner, id).await;
    let session = session.parse().expect("a session");
    let analyses = table.analyses();
    let writes = analyses.launched(owner, id, &seen, &session, None, NOON);
    let written = analyses.write(id, "a launch", writes).await;
    written.expect("the table answers")
}

pub(crate) async fn end(
    table: &TestTable,
    owner: &Owner,
    id: FindingId,
    outcome: &AnalysisOutcome,
) -> bool {
    let seen = analysis(table, owner, id).await;
    let analyses = table.analyses();
    let writes = analyses.ended(owner, id, &seen, outcome, NOON);
    let written = analyses.write(id, "an end", writes).await;
    written.expect("the table answers")
}

async fn owner_analyses(table: &TestTable, owner: &Owner) -> OwnerAnalyses {
    let record = table.owners().read(owner).await;
    record.expect("the table answers").analyses
}

/// Every finding of the owner.
async fn records(table: &TestTable, owner: &Owner) -> Vec<FindingRecord> {
    let filter = FindingFilter::default();
    let page = table.findings().list(owner, &filter, 100, None).await;
    page.expect("the table answers").findings
}

/// Adds up the findings' rows.
pub(crate) fn recounted(records: &[FindingRecord]) -> OwnerAnalyses {
    let mut sum = OwnerAnalyses::default();
    for record in records {
        let Some(analysis) = &record.analysis else {
            continue;
        };
        let counts = &mut sum.counts;
        match analysis.status {
            AnalysisStatus::Pending => counts.pending += 1,
            AnalysisStatus::Running => counts.running += 1,
            AnalysisStatus::Completed => counts.completed += 1,
            AnalysisStatus::Failed => counts.failed += 1,
        }
        match analysis.result.as_ref().map(|result| result.exploitability) {
            Some(Exploitability::Exploitable) => counts.exploitable += 1,
            Some(Exploitability::NotExploitable) => counts.not_exploitable += 1,
            Some(Exploitability::Unknown) | None => {}
        }
        if analysis.status.in_flight() {
            sum.in_flight.insert(record.finding.id);
            if analysis.begun_by == BegunBy::Automation {
                sum.automatic.insert(record.finding.id);
            }
        }
    }
    sum
}

/// Checks that slots and counts match the rows, and returns them.
async fn checked(table: &TestTable, owner: &Owner) -> OwnerAnalyses {
    let kept = owner_analyses(table, owner).await;
    let expected = OwnerAnalyses {
        automation_due: kept.automation_due,
        ..recounted(&records(table, owner).await)
    };
    assert_eq!(kept, expected);
    kept
}

/// Returns the findings that wait for automation.
pub(crate) async fn waiting(table: &TestTable, owner: &Owner) -> Vec<FindingId> {
    let mut waiting = Vec::new();
    for severity in Severity::ALL {
        let since = domain::Timestamp::from_millis(0);
        let page = table
            .findings()
            .unanalysed(owner, *severity, since, 100, None)
            .await;
        waiting.extend(page.expect("the table answers").findings);
    }
    waiting.sort_unstable();
    waiting
}

/// The state of an analysis, for short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Never,
    Pending,
    Running,
    Completed,
    Failed,
}

async fn bring(table: &TestTable, owner: &Owner, id: FindingId, to: Before) {
    if to == Before::Never {
        return;
    }
    take(table, owner, id, BegunBy::Automation).await;
    if to != Before::Pending {
        assert!(launch(table, owner, id, "ses-0").await);
    }
    match to {
        Before::Never | Before::Pending | Before::Running => {}
        Before::Completed => {
            let outcome = completed(Exploitability::Exploitable);
            assert!(end(table, owner, id, &outcome).await);
        }
        Before::Failed => assert!(end(table, owner, id, &failed()).await),
    }
}

#[tokio::test]
async fn only_an_open_finding_takes_a_slot() {
    let table = TestTable::create().await;
    for before in [
        Before::Never,
        Before::Pending,
        Before::Running,
        Before::Completed,
        Before::Failed,
    ] {
        for status in FindingStatus::ALL {
            let (owner, ids) = owner_with(&table, 1).await;
            bring(&table, &owner, ids[0], before).await;
            shows(&table, &owner, 1, *status, 60).await;
            let seen = read(&table, &owner, ids[0]).await;
            let kept = checked(&table, &owner).await;
            let begun = begin(&table.analyses(), &owner, &seen, BegunBy::Request).await;
            let name = format!("{status:?}, {before:?}");
            if *status != FindingStatus::Open {
                assert!(matches!(begun, Begun::Changed), "{name}: {begun:?}");
                assert_eq!(read(&table, &owner, ids[0]).await, seen, "{name}");
                assert_eq!(checked(&table, &owner).await, kept, "{name}");
                continue;
            }
            let Begun::Taken(begun) = begun else {
                panic!("{name}: {begun:?}")
            };
            assert_eq!(analysis(&table, &owner, ids[0]).await, *begun, "{name}");
            let in_flight = matches!(before, Before::Pending | Before::Running);
            assert_eq!(begun.restart, in_flight, "{name}");
            assert_eq!(
                begun.replaces.is_some(),
                before == Before::Running,
                "{name}"
            );
            let kept = checked(&table, &owner).await;
            assert_eq!(kept.in_flight.len(), 1, "{name}");
            assert!(
                kept.automatic.is_empty(),
                "a request takes no share of automation: {name}"
            );
        }
    }
}

#[tokio::test]
async fn an_analysis_begins_only_if_the_finding_is_unchanged() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 2).await;
    let never = read(&table, &owner, ids[0]).await;
    bring(&table, &owner, ids[0], Before::Pending).await;
    let pending = read(&table, &owner, ids[0]).await;
    assert!(launch(&table, &owner, ids[0], "ses-1").await);
    let analyses = table.analyses();
    for stale in [never, pending] {
        let begun = begin(&analyses, &owner, &stale, BegunBy::Request).await;
        assert!(matches!(begun, Begun::Changed), "{begun:?}");
    }
    let running = read(&table, &owner, ids[0]).await;
    let kept = callback("ses-1", failed());
    let attempt = analysis(&table, &owner, ids[0]).await.attempt;
    let received = analyses.receive(&owner, ids[0], attempt, &kept, NOON).await;
    assert_eq!(received.expect("the table answers"), Received::Kept);
    let begun = begin(&analyses, &owner, &running, BegunBy::Request).await;
    assert!(matches!(begun, Begun::Changed), "{begun:?}");
    checked(&table, &owner).await;

    // An owner without this finding.
    let (seen, before) = (read(&table, &owner, ids[1]).await, table.count().await);
    let begun = begin(&analyses, &self::owner(), &seen, BegunBy::Request).await;
    assert!(matches!(begun, Begun::Changed), "{begun:?}");
    assert_eq!(table.count().await, before, "no row is created");
}

#[tokio::test]
async fn a_refused_side_write_prevents_the_analysis() {
    let table = TestTable::create().await;
    let (_, _, refused) = refused_writes(&table).await;
    let (owner, ids) = owner_with(&table, 1).await;
    let (seen, before) = (read(&table, &owner, ids[0]).await, table.items().await);
    let made = beginning(BegunBy::Automation);
    let begun = table.analyses();
    let begun = begun.begin(&owner, &seen, made, refused, NOON).await;
    let begun = begun.expect("the table answers");
    assert!(matches!(begun, Begun::Changed), "{begun:?}");
    assert_eq!(table.items().await, before, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_analyses_fill_three_slots_and_automation_at_most_two() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 20).await;
    for (by, expected) in [(BegunBy::Automation, 2), (BegunBy::Request, 1)] {
        let begun = ids.iter().map(|id| {
            let (table, owner, id) = (table.clone(), owner.clone(), *id);
            tokio::spawn(async move {
                let seen = read(&table, &owner, id).await;
                if seen.analysis.is_some() {
                    return 0;
                }
                match begin(&table.analyses(), &owner, &seen, by).await {
                    Begun::Taken(_) => 1,
                    Begun::NoSlot => 0,
                    Begun::Changed => panic!("nobody else starts this one"),
                }
            })
        });
        let begun = join_all(begun).await.into_iter();
        let taken: usize = begun.map(|task| task.expect("it does not panic")).sum();
        assert_eq!(taken, expected, "{by:?}");
    }
    let kept = checked(&table, &owner).await;
    assert_eq!((kept.in_flight.len(), kept.automatic.len()), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_analyses_of_one_finding_start_once() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 1).await;
    let seen = read(&table, &owner, ids[0]).await;
    let begun = (0..20).map(|_| {
        let (analyses, owner, seen) = (table.analyses(), owner.clone(), seen.clone());
        tokio::spawn(async move {
            let begun = begin(&analyses, &owner, &seen, BegunBy::Request).await;
            matches!(begun, Begun::Taken(_))
        })
    });
    let begun = join_all(begun).await.into_iter();
    let taken = begun.filter(|task| *task.as_ref().expect("it does not panic"));
    assert_eq!(taken.count(), 1);
    checked(&table, &owner).await;
}

/// Loses the next transaction's response and turns the client's retry into another transaction, so that DynamoDB does
/// not recognise it.
pub(crate) fn lose_for_good(proxy: &Proxy) {
    proxy.plan("TransactWriteItems", Fault::LoseAnswer);
    proxy.plan("TransactWriteItems", Fault::Conflict);
}

#[tokio::test]
async fn a_write_with_a_lost_response_counts_once() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 1).await;
    let id = ids[0];
    let (proxy, through) = table.through(&[]).await;
    let analyses = Analyses::new(through);
    let session = "ses-1".parse().expect("a session");

    proxy.plan("TransactWriteItems", Fault::LoseAnswer);
    let seen = read(&table, &owner, id).await;
    let begun = begin(&analyses, &owner, &seen, BegunBy::Automation).await;
    assert!(matches!(begun, Begun::Taken(_)), "{begun:?}");
    checked(&table, &owner).await;

    proxy.plan("TransactWriteItems", Fault::LoseAnswer);
    let seen = analysis(&table, &owner, id).await;
    let writes = analyses.launched(&owner, id, &seen, &session, None, NOON);
    let written = analyses.write(id, "a launch", writes).await;
    assert!(written.expect("the table answers"));
    checked(&table, &owner).await;

    proxy.plan("TransactWriteItems", Fault::LoseAnswer);
    let seen = analysis(&table, &owner, id).await;
    let outcome = completed(Exploitability::NotExploitable);
    let writes = analyses.ended(&owner, id, &seen, &outcome, NOON);
    let written = analyses.write(id, "an end", writes).await;
    assert!(written.expect("the table answers"));
    let kept = checked(&table, &owner).await;
    assert_eq!((kept.counts.completed, kept.counts.not_exploitable), (1, 1));
    assert_eq!(proxy.count("TransactWriteItems"), 6);
}

#[tokio::test]
async fn a_retried_start_in_a_new_transaction_takes_no_second_slot() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 1).await;
    let (proxy, through) = table.through(&[]).await;
    lose_for_good(&proxy);
    let seen = read(&table, &owner, ids[0]).await;
    let made = beginning(BegunBy::Request);
    let begun = Analyses::new(through);
    let begun = begun.begin(&owner, &seen, made, Writes::default(), NOON);
    let begun = begun.await.expect("the table answers");
    assert!(matches!(begun, Begun::Changed), "{begun:?}");
    let found = analysis(&table, &owner, ids[0]).await;
    assert_eq!(found.attempt, made.attempt, "a second read shows it");
    checked(&table, &owner).await;
}

#[tokio::test]
async fn each_state_has_its_own_timeout() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 1).await;
    let begun = take(&table, &owner, ids[0], BegunBy::Request).await;
    assert_eq!(begun.due_at, Some(NOON + PENDING_FOR));
    assert!(launch(&table, &owner, ids[0], "ses-1").await);
    let running = analysis(&table, &owner, ids[0]).await;
    assert_eq!(running.due_at, Some(NOON + RUNNING_FOR));
    assert!(end(&table, &owner, ids[0], &failed()).await);
    let ended = analysis(&table, &owner, ids[0]).await;
    assert_eq!((ended.due_at, ended.completed_at), (None, Some(NOON)));
    let due = owner_analyses(&table, &owner).await.automation_due;
    assert_eq!(due, Some(NOON), "a free slot makes automation due");
}

#[tokio::test]
async fn the_first_callback_is_kept_and_a_stale_one_writes_nothing() {
    let table = TestTable::create().await;
    let analyses = table.analyses();
    let first = callback("ses-1", completed(Exploitability::Exploitable));
    let second = callback("ses-1", failed());
    let elsewhere = callback("ses-2", failed());
    for launched in [false, true] {
        let (owner, ids) = owner_with(&table, 1).await;
        let id = ids[0];
        let attempt = take(&table, &owner, id, BegunBy::Request).await.attempt;
        if launched {
            assert!(launch(&table, &owner, id, "ses-1").await);
        }
        let receive = async |owner: &Owner, attempt, callback: &Callback, at| {
            let received = analyses.receive(owner, id, attempt, callback, noon(at));
            received.await.expect("the table answers")
        };
        let stale = async |what: &str, owner: &Owner, attempt, callback: &Callback| {
            let before = table.items().await;
            let received = receive(owner, attempt, callback, 30).await;
            assert_eq!(received, Received::Stale, "{what}, launched: {launched}");
            assert_eq!(table.items().await, before, "{what}, launched: {launched}");
        };
        let another = CommandId::new(NOON);
        stale("another attempt", &owner, another, &first).await;
        stale("another owner", &self::owner(), attempt, &first).await;
        if launched {
            stale("another session", &owner, attempt, &elsewhere).await;
        }
        assert_eq!(receive(&owner, attempt, &first, 0).await, Received::Kept);
        let kept = table.items().await;
        assert_eq!(receive(&owner, attempt, &first, 60).await, Received::Kept);
        assert_eq!(
            table.items().await,
            kept,
            "a repeated callback changes nothing"
        );
        let seen = analysis(&table, &owner, id).await;
        assert_eq!(seen.called_back.as_ref(), Some(&first));
        assert_eq!(seen.due_at, Some(noon(75)));
        stale("a second callback", &owner, attempt, &second).await;
        stale(
            "the same callback of another attempt",
            &owner,
            another,
            &first,
        )
        .await;
        stale("a second session", &owner, attempt, &elsewhere).await;

        let outcome = seen.called_back.expect("it was kept").outcome;
        assert!(end(&table, &owner, id, &outcome).await);
        let ended = analysis(&table, &owner, id).await;
        assert_eq!(ended.cloud_session.as_ref(), Some(&first.session));
        assert_eq!(ended.called_back, None);
        stale("a callback after the end", &owner, attempt, &first).await;
        checked(&table, &owner).await;
    }
}

#[tokio::test]
async fn a_callback_with_a_lost_response_is_kept() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 1).await;
    let attempt = take(&table, &owner, ids[0], BegunBy::Request).await.attempt;
    let (_, through) = table.through(&[("UpdateItem", Fault::LoseAnswer)]).await;
    let kept = callback("ses-1", failed());
    let received = Analyses::new(through)
        .receive(&owner, ids[0], attempt, &kept, NOON)
        .await;
    assert_eq!(received.expect("the table answers"), Received::Kept);
}

#[tokio::test]
async fn a_callback_before_the_launch_is_recorded_is_kept() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 1).await;
    let before = take(&table, &owner, ids[0], BegunBy::Request).await;
    let early = callback("ses-1", failed());
    let analyses = table.analyses();
    let received = analyses.receive(&owner, ids[0], before.attempt, &early, NOON);
    let received = received.await.expect("the table answers");
    assert_eq!(received, Received::Kept);
    let session = &early.session;
    let writes = analyses.launched(&owner, ids[0], &before, session, None, NOON);
    let written = analyses.write(ids[0], "a launch", writes).await;
    assert!(
        !written.expect("the table answers"),
        "the row has changed since the read"
    );
    assert!(launch(&table, &owner, ids[0], "ses-1").await);
    let running = analysis(&table, &owner, ids[0]).await;
    assert_eq!(running.status, AnalysisStatus::Running);
    assert_eq!(
        running.due_at,
        Some(noon(75)),
        "the callback is due for a resend"
    );
    checked(&table, &owner).await;
}

#[tokio::test]
async fn a_deferred_finding_waits_for_automation_again() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 1).await;
    let seen = take(&table, &owner, ids[0], BegunBy::Automation).await;
    assert_eq!(waiting(&table, &owner).await, []);
    let record = read(&table, &owner, ids[0]).await;
    let analyses = table.analyses();
    let writes = analyses.defer(&owner, &record, &seen, &failed(), NOON);
    let written = analyses.write(ids[0], "a deferral", writes).await;
    assert!(written.expect("the table answers"));
    assert_eq!(waiting(&table, &owner).await, ids);
    let due = owner_analyses(&table, &owner).await.automation_due;
    assert_eq!(
        due,
        Some(NOON + COOLDOWN),
        "automation waits for the cooldown"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_concurrent_postponements_one_succeeds() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 1).await;
    let seen = take(&table, &owner, ids[0], BegunBy::Request).await;
    let tasks = (0..2).map(|_| {
        let (analyses, owner, seen, id) = (table.analyses(), owner.clone(), seen.clone(), ids[0]);
        tokio::spawn(async move {
            let postponed = analyses.postpone(&owner, id, &seen, noon(120)).await;
            postponed.expect("the table answers")
        })
    });
    let postponed = join_all(tasks).await.into_iter();
    let through = postponed.filter(|task| *task.as_ref().expect("it does not panic"));
    assert_eq!(through.count(), 1);
    let due = analysis(&table, &owner, ids[0]).await.due_at;
    assert_eq!(due, Some(noon(120)));
}

/// Something that happens to a finding.
#[derive(Clone, Copy, Debug)]
enum Event {
    Asked,
    Automated,
    Launched,
    CalledBack,
    Completed(Exploitability),
    Failed,
    PutOff,
    /// A sync stored this status.
    Shown(FindingStatus),
    /// A dismissal, or a read of the alert, stored this status.
    Changed(FindingStatus),
}

/// The expected state of a finding.
#[derive(Clone, Copy, Debug)]
struct Model {
    status: FindingStatus,
    analysed: bool,
    defer: bool,
}

impl Model {
    const fn waits(self) -> bool {
        matches!(self.status, FindingStatus::Open) && (!self.analysed || self.defer)
    }

    fn becomes(&mut self, status: FindingStatus) {
        self.status = status;
        self.defer &= status == FindingStatus::Open;
    }
}

async fn apply(
    table: &TestTable,
    owner: &Owner,
    id: FindingId,
    event: Event,
    at: i64,
    model: &mut Model,
) {
    let record = read(table, owner, id).await;
    let (analyses, in_flight) = (
        table.analyses(),
        record
            .analysis
            .clone()
            .filter(|analysis| analysis.status.in_flight()),
    );
    match (event, in_flight) {
        (Event::Asked | Event::Automated, in_flight) => {
            let by = match event {
                Event::Asked => BegunBy::Request,
                _ => BegunBy::Automation,
            };
            if by == BegunBy::Automation && in_flight.is_some() {
                return;
            }
            if let Begun::Taken(_) = begin(&analyses, owner, &record, by).await {
                (model.analysed, model.defer) = (true, false);
            }
        }
        (Event::Launched, Some(_)) => _ = launch(table, owner, id, "ses-1").await,
        (Event::CalledBack, Some(seen)) => {
            let callback = callback("ses-1", failed());
            let received = analyses.receive(owner, id, seen.attempt, &callback, NOON);
            let _ = received.await.expect("the table answers");
        }
        (Event::Completed(exploitability), Some(_)) => {
            assert!(end(table, owner, id, &completed(exploitability)).await);
        }
        (Event::Failed, Some(_)) => assert!(end(table, owner, id, &failed()).await),
        (Event::PutOff, Some(seen)) => {
            let writes = analyses.defer(owner, &record, &seen, &failed(), NOON);
            let written = analyses.write(id, "a deferral", writes).await;
            assert!(written.expect("the table answers"));
            model.defer = model.status == FindingStatus::Open;
        }
        (Event::Shown(status), _) => {
            shows(table, owner, id.number.get(), status, at).await;
            model.becomes(status);
        }
        (Event::Changed(status), _) => {
            let number = id.number.get();
            let changed = finding(&repository(), number, Severity::High, status, noon(at));
            let findings = table.findings();
            let writes = findings.change(owner, &record, &changed, None, NOON);
            let written = analyses.write(id, "a change", writes).await;
            assert!(written.expect("the table answers"));
            model.becomes(status);
        }
        (
            Event::Launched
            | Event::CalledBack
            | Event::Completed(_)
            | Event::Failed
            | Event::PutOff,
            None,
        ) => {}
    }
}

#[test]
fn slots_counts_and_index_always_match_the_rows() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let table = runtime.block_on(TestTable::create());
    let mut runner = TestRunner::new(Config {
        cases: 24,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..Config::default()
    });
    let status = || select(FindingStatus::ALL);
    let event = prop_oneof![
        2 => Just(Event::Asked),
        4 => Just(Event::Automated),
        3 => Just(Event::Launched),
        1 => Just(Event::CalledBack),
        2 => select(Exploitability::ALL).prop_map(Event::Completed),
        1 => Just(Event::Failed),
        2 => Just(Event::PutOff),
        3 => status().prop_map(Event::Shown),
        3 => status().prop_map(Event::Changed),
    ];
    let events = vec((0..5_usize, event), 1..30);
    let checked = runner.run(&events, |events| {
        runtime.block_on(async {
            let (owner, ids) = owner_with(&table, 5).await;
            let new = Model {
                status: FindingStatus::Open,
                analysed: false,
                defer: false,
            };
            let mut models: BTreeMap<FindingId, Model> = ids.iter().map(|id| (*id, new)).collect();
            for (at, (which, event)) in (1_i64..).zip(&events) {
                let id = ids[*which];
                let model = models.get_mut(&id).expect("it is one of them");
                apply(&table, &owner, id, *event, at, model).await;
                let kept = checked(&table, &owner).await;
                prop_assert!(kept.in_flight.len() <= 3 && kept.automatic.len() <= 2);
                let waits = models.iter().filter(|(_, model)| model.waits());
                let waits: Vec<FindingId> = waits.map(|(id, _)| *id).collect();
                prop_assert_eq!(waiting(&table, &owner).await, waits, "after {:?}", event);
            }
            Ok(())
        })
    });
    checked.expect("rows, counts and index agree");
}
