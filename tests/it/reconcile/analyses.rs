//! Due analyses: a callback is resent, a silent analysis fails. And owners for whom automation is due.

use domain::{
    analysis::{Analysis, AnalysisStatus, BegunBy, FailureCode, PENDING_FOR, RUNNING_FOR},
    finding::FindingId,
    owner::Owner,
    settings::{AutoAnalysis, MinSeverity, Settings},
};
use store::{analyses::Received, owners::Saved, table::Writes};

use super::*;
use crate::analyses::{callback, end, failed, launch, owner_with, read, take, waiting};

/// When an analysis begun at noon has been pending too long.
fn pending_too_long() -> Timestamp {
    NOON + PENDING_FOR
}

/// When an analysis running since noon has run too long.
fn running_too_long() -> Timestamp {
    NOON + RUNNING_FOR
}

async fn analysis(scene: &Scene, owner: &Owner, finding: FindingId) -> Analysis {
    let record = read(&scene.table, owner, finding).await;
    record.analysis.expect("it was begun")
}

/// Counts an owner's taken slots.
async fn slots(scene: &Scene, owner: &Owner) -> usize {
    let record = scene.table.owners().read(owner).await;
    record.expect("the table answers").analyses.in_flight.len()
}

/// The agent calls back at noon.
async fn called_back(scene: &Scene, owner: &Owner, finding: FindingId) -> Message {
    let attempt = analysis(scene, owner, finding).await.attempt;
    let told = callback("ses-1", failed());
    let analyses = scene.table.analyses();
    let received = analyses.receive(owner, finding, attempt, &told, NOON).await;
    assert_eq!(received.expect("the table answers"), Received::Kept);
    Message::Callback {
        owner: owner.clone(),
        finding,
        attempt,
    }
}

/// What a run counted of analyses. Freeing a slot makes automation due, in the same run or the next.
fn counted(report: &Report) -> [u32; 5] {
    let Report {
        lost,
        sent_on,
        unsent,
        raced,
        errors,
        ..
    } = *report;
    [lost, sent_on, unsent, raced, errors]
}

#[tokio::test]
async fn a_silent_analysis_fails_and_a_callback_is_resent_once() {
    let scene = Scene::set(pending_too_long).await;
    let (owner, ids) = owner_with(&scene.table, 3).await;
    let [asked, automatic, heard_of] = ids[..] else {
        panic!("three findings");
    };
    take(&scene.table, &owner, asked, BegunBy::Request).await;
    take(&scene.table, &owner, automatic, BegunBy::Automation).await;
    take(&scene.table, &owner, heard_of, BegunBy::Request).await;
    let message = called_back(&scene, &owner, heard_of).await;
    scene.proxy.freeze("Query");
    assert_eq!(counted(&scene.run().await), [2, 1, 0, 0, 0]);
    for finding in [asked, automatic] {
        let lost = analysis(&scene, &owner, finding).await;
        let code = Some(FailureCode::run_lost());
        assert_eq!((lost.status, lost.failure), (AnalysisStatus::Failed, code));
    }
    // It never started, so automation retries it.
    assert_eq!(waiting(&scene.table, &owner).await, [automatic]);
    assert_eq!(slots(&scene, &owner).await, 1);
    let kept = analysis(&scene, &owner, heard_of).await;
    let next_look = pending_too_long() + Duration::from_secs(120);
    assert_eq!(
        (kept.status, kept.due_at),
        (AnalysisStatus::Pending, Some(next_look))
    );
    assert_eq!(scene.queues.bodies(&scene.sync).await, [message.body()]);

    // The index keeps showing all three as they were.
    let rows = scene.table.items().await;
    assert_eq!(counted(&scene.run().await), [0, 0, 0, 3, 0]);
    assert_eq!(scene.table.items().await, rows);
}

#[tokio::test]
async fn an_analysis_that_ran_too_long_fails_for_good() {
    let scene = Scene::set(running_too_long).await;
    let (owner, ids) = owner_with(&scene.table, 2).await;
    for (finding, begun_by) in ids.iter().zip([BegunBy::Request, BegunBy::Automation]) {
        take(&scene.table, &owner, *finding, begun_by).await;
        assert!(launch(&scene.table, &owner, *finding, "ses-1").await);
    }
    assert_eq!(counted(&scene.run().await), [2, 0, 0, 0, 0]);
    assert_eq!(waiting(&scene.table, &owner).await, [], "it is not retried");
    assert_eq!(slots(&scene, &owner).await, 0);
}

/// A run with rows read before another run: the guards of its writes decide.
#[tokio::test]
async fn a_run_with_stale_rows_changes_and_sends_nothing() {
    let scene = Scene::set(pending_too_long).await;
    let (owner, ids) = owner_with(&scene.table, 2).await;
    for finding in &ids {
        take(&scene.table, &owner, *finding, BegunBy::Request).await;
    }
    called_back(&scene, &owner, ids[1]).await;
    scene.proxy.freeze("Query");
    scene.proxy.freeze("GetItem");
    assert_eq!(counted(&scene.run().await), [1, 1, 0, 0, 0]);
    let rows = scene.table.items().await;
    assert_eq!(counted(&scene.run().await), [0, 0, 0, 2, 0]);
    assert_eq!(scene.table.items().await, rows);
    assert_eq!(scene.queues.bodies(&scene.sync).await.len(), 1);
}

#[tokio::test]
async fn a_callback_that_cannot_be_resent_is_retried_and_counted() {
    let scene = Scene::set(pending_too_long).await;
    let (owner, ids) = owner_with(&scene.table, 3).await;
    for finding in &ids {
        take(&scene.table, &owner, *finding, BegunBy::Request).await;
    }
    let [unread, unwritten, unsent] = ids[..] else {
        panic!("three findings");
    };
    called_back(&scene, &owner, unsent).await;
    // The SDK makes three attempts.
    for _ in 0..3 {
        let proxy = &scene.proxy;
        proxy.plan_about("GetItem", &in_key(unread), Fault::Fail);
        proxy.plan_about("TransactWriteItems", &in_key(unwritten), Fault::Fail);
        scene.queues.proxy.plan("SendMessage", Fault::Fail);
    }
    assert_eq!(counted(&scene.run().await), [0, 0, 1, 0, 2]);
    let kept = analysis(&scene, &owner, unsent).await;
    let next_look = pending_too_long() + Duration::from_secs(120);
    assert_eq!(kept.due_at, Some(next_look));
    assert_eq!(counted(&scene.run().await), [2, 0, 0, 0, 0]);
}

/// The end of the sort key of a finding's row.
fn in_key(finding: FindingId) -> String {
    format!("#{:010}", finding.number.get())
}

#[tokio::test]
async fn automation_runs_after_a_slot_is_freed() {
    let scene = Scene::set(|| NOON).await;
    let (owner, ids) = owner_with(&scene.table, 4).await;
    let owners = scene.table.owners();
    let settings = Settings {
        enabled: true,
        auto_sync: false,
        auto_analysis: AutoAnalysis {
            enabled: true,
            min_severity: MinSeverity::All,
            include_existing: true,
        },
        ..Settings::default()
    };
    let seen = owners.read(&owner).await.expect("the table answers");
    let saved = owners.save(&owner, &settings, &seen, Writes::default(), NOON);
    assert!(matches!(saved.await, Ok(Saved::Saved { .. })));
    take(&scene.table, &owner, ids[0], BegunBy::Request).await;
    assert!(end(&scene.table, &owner, ids[0], &failed()).await);
    for _ in 0..3 {
        let key = format!("finding#{owner}");
        scene.proxy.plan_about("Query", &key, Fault::Fail);
    }
    let failed = scene.run().await;
    assert_eq!((failed.automated, failed.errors), (0, 1), "{failed:?}");
    let report = scene.run().await;
    assert_eq!((report.automated, report.errors), (2, 0), "{report:?}");
    assert_eq!(slots(&scene, &owner).await, 2);
    assert_eq!(scene.run().await, Report::default());
}
