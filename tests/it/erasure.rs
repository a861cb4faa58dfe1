//! Erasing an owner: once a sweep is complete, no work begun before it creates a row.

mod eraser;

use std::time::Duration;

use domain::{
    Timestamp,
    analysis::{Analysis, BegunBy, Exploitability},
    command::{Action, Command, DismissFinding, IdempotencyKey, LastError, Origin},
    finding::{DismissReason, FindingStatus, Severity},
    installation::{InstallationId, InstallationRepository},
    lifecycle::Stage,
    owner::Owner,
    result_code::ResultCode,
    settings::{AutoAnalysis, Settings},
};
use futures::future::join_all;

use store::{
    analyses::{Begun, Received},
    audit::{Audit, AuditAction, AuditEvent, ResourceType},
    erasure::{Erasures, RESUMED_AFTER, Swept},
    findings::{Arrival, FindingRecord},
    ledger::{Admissible, Admission, Claim, Claimed, LedgerError, NewCommand, Outcome, Together},
    owners::{OwnerRecord, OwnersError, Saved, next_sync},
    repositories::{Listing, RepositoriesError},
    table::Writes,
};
use tests::{
    Fault, NOON, TestTable, actor, cleaned_up, finding, noon, owner, repository, sync_of, unhurried,
};
use tokio::time::Instant;

use crate::{
    analyses::{beginning, callback, completed, failed, owner_with, read, take},
    ledger::ending,
};

/// Everything that may be in progress for an owner, as read before the erasure.
struct Underway {
    table: TestTable,
    owner: Owner,
    record: OwnerRecord,
    /// A finding that was never analysed.
    idle: FindingRecord,
    /// A finding whose analysis is in flight.
    analysed: FindingRecord,
    analysis: Analysis,
    claim: Claim,
    command: Command,
}

/// A write that could create a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Save,
    Connect,
    Repositories,
    Findings,
    Change,
    Begin,
    Callback,
    Launched,
    Ended,
    PutOff,
    Postpone,
    Looked,
    Synced,
    AuthInvalid,
    MoveTurn,
    Claim,
    Release,
    Settle,
    SettleWith,
    Stall,
    Exhaust,
}

impl Write {
    const ALL: [Self; 21] = [
        Self::Save,
        Self::Connect,
        Self::Repositories,
        Self::Findings,
        Self::Change,
        Self::Begin,
        Self::Callback,
        Self::Launched,
        Self::Ended,
        Self::PutOff,
        Self::Postpone,
        Self::Looked,
        Self::Synced,
        Self::AuthInvalid,
        Self::MoveTurn,
        Self::Claim,
        Self::Release,
        Self::Settle,
        Self::SettleWith,
        Self::Stall,
        Self::Exhaust,
    ];
}

fn new_command(owner: &Owner) -> NewCommand {
    let finding = finding(&repository(), 1, Severity::High, FindingStatus::Open, NOON);
    NewCommand {
        owner: owner.clone(),
        action: Action::from(DismissFinding {
            finding: finding.id,
            reason: DismissReason::NotUsed,
            comment: None,
        }),
        origin: Origin::Manual,
        actor: actor(),
        key: None,
    }
}

fn automatic() -> Settings {
    Settings {
        enabled: true,
        auto_analysis: AutoAnalysis {
            enabled: true,
            ..AutoAnalysis::default()
        },
        ..Settings::default()
    }
}

impl Underway {
    /// Sets up a new owner with rows of every kind.
    async fn set(table: &TestTable) -> Self {
        let (owner, ids) = owner_with(table, 3).await;
        let owners = table.owners();
        let audit = Audit::new(table.table());
        let seen = owners.read(&owner).await.expect("the table answers");
        let event = AuditEvent::of_save(&owner, 1, AuditAction::Enabled, actor(), NOON);
        let event = audit.record(&owner, &event);
        let saved = owners.save(&owner, &automatic(), &seen, event, NOON).await;
        assert_eq!(
            saved.expect("the table answers"),
            Saved::Saved { version: 1 }
        );
        let analysis = take(table, &owner, ids[1], BegunBy::Automation).await;
        let admitted = table.ledger();
        let keyed = NewCommand {
            key: Some(IdempotencyKey::parse("k-1").expect("a key")),
            ..new_command(&owner)
        };
        let admitted = admitted.admit(keyed, NOON).await;
        let Ok(Admission::Admitted(command, _)) = admitted else {
            panic!("{admitted:?}")
        };
        let claimed = table.ledger();
        let claimed = claimed.claim(&command.key, Stage(0), noon(30), NOON).await;
        let Ok(Claimed::Held(claim, command)) = claimed else {
            panic!("{claimed:?}")
        };
        Self {
            record: owners.read(&owner).await.expect("the table answers"),
            idle: read(table, &owner, ids[0]).await,
            analysed: read(table, &owner, ids[1]).await,
            analysis,
            claim,
            command: *command,
            table: table.clone(),
            owner,
        }
    }

    /// Makes the write as its author would. Returns whether anything was written, as far as the response tells.
    async fn make(&self, write: Write) -> Option<bool> {
        let (table, owner) = (&self.table, &self.owner);
        let (owners, ledger) = (table.owners(), table.ledger());
        let (analyses, findings) = (table.analyses(), table.findings());
        let (idle, analysed) = (self.idle.finding.id, self.analysed.finding.id);
        let written = async |writes| {
            let written = analyses.write(analysed, "a write", writes).await;
            Some(written.expect("the table answers"))
        };
        let made = |outcome: Result<Outcome, LedgerError>| {
            Some(outcome.expect("the table answers").made().is_some())
        };
        match write {
            Write::Save => {
                let none = Writes::default();
                let event = AuditEvent::of_save(owner, 2, AuditAction::Disabled, actor(), NOON);
                let event = Audit::new(table.table()).record(owner, &event).and(none);
                let saved = owners
                    .save(owner, &automatic(), &self.record, event, NOON)
                    .await;
                let saved = saved.expect("the table answers");
                Some(matches!(saved, Saved::Saved { .. }))
            }
            Write::Connect => {
                let installation = InstallationId::new(51_000_001);
                match owners.connect(owner, installation, true, NOON).await {
                    Ok(()) => Some(true),
                    Err(OwnersError::BeingErased) => Some(false),
                    Err(error) => panic!("{error}"),
                }
            }
            Write::Repositories => {
                let repository = repository();
                let listing = Listing {
                    id: repository.id,
                    listed: Some(InstallationRepository {
                        repository,
                        private: true,
                        archived: false,
                    }),
                    attempt: None,
                };
                match table.repositories().record(owner, &[listing], NOON).await {
                    Ok(()) => Some(true),
                    Err(RepositoriesError::NotConnected) => Some(false),
                    Err(error) => panic!("{error}"),
                }
            }
            Write::Findings => {
                let new = finding(&repository(), 9, Severity::Low, FindingStatus::Open, NOON);
                let id = new.id.repository;
                let pace = unhurried();
                let stored = findings.store(owner, id, vec![new], (Arrival::New, NOON), &pace);
                Some(stored.await.is_ok())
            }
            Write::Change => {
                let mut changed = self.idle.finding.clone();
                changed.status = FindingStatus::Ignored;
                let command = Some(self.command.key.id);
                written(findings.change(owner, &self.idle, &changed, command, NOON)).await
            }
            Write::Begin => {
                let made = beginning(BegunBy::Automation);
                let (_, admission) = ledger.admission(&new_command(owner), NOON);
                let begun = analyses
                    .begin(owner, &self.idle, made, admission, NOON)
                    .await;
                let begun = begun.expect("the table answers");
                Some(matches!(begun, Begun::Taken(_)))
            }
            Write::Callback => {
                let kept = callback("ses-1", completed(Exploitability::Exploitable));
                let attempt = self.analysis.attempt;
                let received = analyses
                    .receive(owner, analysed, attempt, &kept, NOON)
                    .await;
                Some(received.expect("the table answers") == Received::Kept)
            }
            Write::Launched => {
                let session = "ses-1".parse().expect("a session");
                let seen = &self.analysis;
                written(analyses.launched(owner, analysed, seen, &session, None, NOON)).await
            }
            Write::Ended => {
                let of = (ResourceType::Finding, analysed);
                let action = AuditAction::AnalysisFailed;
                let event =
                    AuditEvent::of_command(self.analysis.attempt, action, actor(), of, NOON);
                let ended = analyses.ended(owner, analysed, &self.analysis, &failed(), NOON);
                let (_, admission) = ledger.admission(&new_command(owner), NOON);
                let event = Audit::new(table.table()).record(owner, &event);
                written(ended.and(event).and(admission)).await
            }
            Write::PutOff => {
                let (record, seen) = (&self.analysed, &self.analysis);
                written(analyses.defer(owner, record, seen, &failed(), NOON)).await
            }
            Write::Postpone => {
                let seen = &self.analysis;
                let postponed = analyses.postpone(owner, analysed, seen, noon(60)).await;
                Some(postponed.expect("the table answers"))
            }
            Write::Looked => {
                let looked = analyses.looked(owner, NOON).await;
                looked.expect("the table answers");
                None
            }
            Write::Synced => {
                let marked = owners.mark_synced(owner, NOON).await;
                marked.expect("the table answers");
                None
            }
            Write::AuthInvalid => {
                let marked = owners.mark_auth_invalid(owner, NOON).await;
                marked.expect("the table answers");
                None
            }
            Write::MoveTurn => {
                let turn = next_sync(owner, NOON);
                let moved = owners.move_turn(owner, turn, noon(60)).await;
                Some(moved.expect("the table answers"))
            }
            Write::Claim => {
                let key = &self.command.key;
                let claimed = ledger.claim(key, Stage(0), noon(90), noon(31)).await;
                let claimed = claimed.expect("the table answers");
                Some(matches!(claimed, Claimed::Held(..)))
            }
            Write::Release => {
                let error = LastError::Unexpected;
                made(ledger.release(&self.claim, error, NOON).await)
            }
            Write::Settle => {
                let end = ending(ResultCode::FindingDismissed);
                made(ledger.settle(&self.claim, end, NOON).await)
            }
            Write::SettleWith => {
                let id = self.command.key.id;
                let of = (ResourceType::Finding, idle);
                let action = AuditAction::FindingDismissed;
                let event = AuditEvent::of_command(id, action, actor(), of, NOON);
                let event = Audit::new(table.table()).record(owner, &event);
                let (claim, row) = (&self.claim, &self.command);
                let end = ending(ResultCode::FindingDismissed);
                let settled = ledger.settle_with(claim, row, end, event, NOON).await;
                match settled.expect("the table answers") {
                    Together::Command(outcome) => Some(outcome.made().is_some()),
                    Together::Unsettled => Some(false),
                }
            }
            Write::Stall => made(
                cleaned_up(
                    &table.table(),
                    ledger.stall(&self.command.key, noon(9_000)).await,
                )
                .await,
            ),
            Write::Exhaust => {
                let (key, code) = (&self.command.key, ResultCode::QueueRetriesExhausted);
                let exhausted = ledger.exhaust(key, None, Stage(0), code, None, noon(60));
                made(cleaned_up(&table.table(), exhausted.await).await)
            }
        }
    }

    async fn rows(&self) -> usize {
        self.table.count().await
    }
}

/// A deadline that no sweep here reaches.
fn in_time() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

async fn begin(table: &TestTable, owner: &Owner, at: Timestamp) -> Erasures {
    let erasures = Erasures::new(table.table());
    let begun = erasures.begin(owner, at).await;
    assert_eq!(begun.expect("the table answers").completed_at, None);
    erasures
}

async fn sweep(erasures: &Erasures, owner: &Owner) -> u64 {
    match erasures.sweep(owner, in_time()).await {
        Ok(Swept::Everything { deleted }) => deleted,
        other => panic!("there was time: {other:?}"),
    }
}

#[tokio::test]
async fn a_sweep_leaves_the_tombstone_and_other_owners() {
    let table = TestTable::create().await;
    let underway = Underway::set(&table).await;
    let rows = table.count().await as u64;
    let other = Underway::set(&TestTable::create().await).await;
    let others = other.rows().await;
    let erasures = begin(&table, &underway.owner, NOON).await;
    assert_eq!(sweep(&erasures, &underway.owner).await, rows);
    assert_eq!(underway.rows().await, 1, "the tombstone");
    assert_eq!(sweep(&erasures, &underway.owner).await, 0);

    // Another owner's rows are in the same table.
    let (one, two) = (Underway::set(&other.table).await, &other);
    let erasures = begin(&one.table, &one.owner, NOON).await;
    sweep(&erasures, &one.owner).await;
    assert_eq!(two.rows().await, others + 1);
}

#[tokio::test]
async fn work_begun_before_a_sweep_writes_nothing_after_it() {
    for write in Write::ALL {
        let table = TestTable::create().await;
        let underway = Underway::set(&table).await;
        let erasures = begin(&table, &underway.owner, NOON).await;
        sweep(&erasures, &underway.owner).await;
        let tombstone = table.items().await;
        let written = underway.make(write).await;
        assert_ne!(written, Some(true), "{write:?}");
        assert_eq!(table.items().await, tombstone, "{write:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_race_a_sweep_leave_no_row() {
    for round in 0..30 {
        let table = TestTable::create().await;
        let underway = std::sync::Arc::new(Underway::set(&table).await);
        let erasures = begin(&table, &underway.owner, NOON).await;
        let tasks: Vec<_> = Write::ALL
            .into_iter()
            .map(|write| {
                let underway = underway.clone();
                tokio::spawn(async move {
                    for _ in 0..round % 8 {
                        tokio::task::yield_now().await;
                    }
                    underway.make(write).await
                })
            })
            .collect();
        sweep(&erasures, &underway.owner).await;
        for task in join_all(tasks).await {
            let _ = task.expect("it does not panic");
        }
        assert_eq!(table.count().await, 1, "round {round}: one sweep is enough");
    }
}

#[tokio::test]
async fn no_command_may_be_admitted_from_the_tombstone_to_the_end() {
    let table = TestTable::create().await;
    let (owner, _) = owner_with(&table, 1).await;
    let ledger = table.ledger();
    let dismissal = new_command(&owner);
    let answers = async || {
        let dismissal = ledger.admissible(&dismissal).await;
        let sync = ledger.admissible(&sync_of(&owner)).await;
        (
            dismissal.expect("the table answers"),
            sync.expect("the table answers"),
        )
    };
    assert_eq!(answers().await, (Admissible::Yes, Admissible::Yes));
    let (stranger, _) = owner_with(&table, 0).await;
    let unknown = ledger.admissible(&new_command(&stranger)).await;
    assert_eq!(unknown.expect("the table answers"), Admissible::NoFinding);

    let erasures = begin(&table, &owner, NOON).await;
    let refused = (Admissible::BeingErased, Admissible::BeingErased);
    assert_eq!(answers().await, refused);
    sweep(&erasures, &owner).await;
    assert_eq!(answers().await, refused, "until it is completed");
    let completed = erasures.complete(&owner, NOON, noon(30)).await;
    assert!(completed.expect("the table answers"));
    assert_eq!(answers().await, (Admissible::NoFinding, Admissible::Yes));
}

#[tokio::test]
async fn from_its_closing_an_owner_begins_no_analysis_and_records_no_launch() {
    let table = TestTable::create().await;
    let (owner, ids) = owner_with(&table, 2).await;
    let launching = take(&table, &owner, ids[0], BegunBy::Request).await;
    let erasures = begin(&table, &owner, NOON).await;
    let sessions = erasures.close_analyses(&owner).await;
    assert_eq!(
        sessions.expect("the table answers"),
        [],
        "none is known yet"
    );
    let seen = read(&table, &owner, ids[1]).await;
    let analyses = table.analyses();
    let new = beginning(BegunBy::Request);
    let begun = analyses.begin(&owner, &seen, new, Writes::default(), NOON);
    let begun = begun.await.expect("the table answers");
    assert!(matches!(begun, Begun::NoSlot), "{begun:?}");
    let session = "ses-1".parse().expect("an id");
    let launched = analyses.launched(&owner, ids[0], &launching, &session, None, NOON);
    let written = analyses.write(ids[0], "a launch", launched).await;
    assert!(!written.expect("the table answers"));
    assert_eq!(read(&table, &owner, ids[0]).await.analysis, None);
    sweep(&erasures, &owner).await;
    assert_eq!(table.count().await, 1, "the tombstone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_admitted_during_a_sweep_is_deleted_by_the_next() {
    for keyed in [false, true] {
        let table = TestTable::create().await;
        let underway = Underway::set(&table).await;
        let owner = underway.owner.clone();
        let erasures = begin(&table, &owner, NOON).await;
        let ledger = table.ledger();
        let new = NewCommand {
            key: keyed.then(|| IdempotencyKey::parse("k-2").expect("a key")),
            ..new_command(&owner)
        };
        let (_, admitted) = tokio::join!(sweep(&erasures, &owner), ledger.admit(new, NOON));
        assert!(
            matches!(admitted, Ok(Admission::Admitted(..))),
            "{admitted:?}"
        );
        sweep(&erasures, &owner).await;
        assert_eq!(table.count().await, 1, "keyed: {keyed}");
    }
}

#[tokio::test]
async fn unprocessed_deletions_are_retried() {
    let table = TestTable::create().await;
    let (owner, _) = owner_with(&table, 12).await;
    begin(&table, &owner, NOON).await;
    let (proxy, through) = table.through(&[]).await;
    for taken in [1, 0, 3] {
        proxy.plan_about("BatchWriteItem", "finding#", Fault::TakeOnly(taken));
    }
    let began = Instant::now();
    assert_eq!(sweep(&Erasures::new(through), &owner).await, 12 + 3);
    assert_eq!(table.count().await, 1);
    // Of twelve findings DynamoDB deletes one, then of eleven none, then three.
    let left_alone = Duration::from_millis(10) * (11 + 11 + 8);
    assert!(
        began.elapsed() >= left_alone,
        "the backoff grows with what is left"
    );
}

#[tokio::test]
async fn an_interrupted_sweep_resumes() {
    let table = TestTable::create().await;
    let (owner, _) = owner_with(&table, 60).await;
    let erasures = begin(&table, &owner, NOON).await;
    let swept = erasures.sweep(&owner, Instant::now()).await;
    assert_eq!(
        swept.expect("the table answers"),
        Swept::OutOfTime { deleted: 0 }
    );
    let (proxy, through) = table.through(&[]).await;
    // The SDK makes three attempts.
    for _ in 0..3 {
        proxy.plan_about("BatchWriteItem", "finding#", Fault::Fail);
    }
    let interrupted = Erasures::new(through).sweep(&owner, in_time()).await;
    assert!(interrupted.is_err(), "{interrupted:?}");
    assert!(table.count().await > 1);
    sweep(&erasures, &owner).await;
    assert_eq!(table.count().await, 1);
}

#[tokio::test]
async fn an_erasure_begins_once_and_ends_once() {
    let table = TestTable::create().await;
    let owner = owner();
    let (_, through) = table
        .through(&[("TransactWriteItems", Fault::LoseAnswer)])
        .await;
    let erasures = Erasures::new(through);
    let first = erasures
        .begin(&owner, NOON)
        .await
        .expect("the table answers");
    assert_eq!(first.requested_at, NOON);
    let again = erasures
        .begin(&owner, noon(5))
        .await
        .expect("the table answers");
    assert_eq!(again, first, "asking again changes nothing");

    let due = async |at| {
        let due = erasures
            .due(0, 10, None, at)
            .await
            .expect("the table answers");
        due.0
    };
    let first_look = NOON + RESUMED_AFTER;
    assert_eq!(due(noon(10)).await, []);
    let [found] = &due(first_look).await[..] else {
        panic!("the erasure should resume")
    };
    for expected in [true, false] {
        let postponed = erasures.postpone(found, noon(600)).await;
        assert_eq!(postponed.expect("the table answers"), expected);
    }
    assert_eq!(due(first_look).await, []);

    let completed = erasures.complete(&owner, noon(1), noon(30)).await;
    assert!(!completed.expect("the table answers"), "another erasure");
    let completed = erasures.complete(&owner, NOON, noon(30)).await;
    assert!(completed.expect("the table answers"));
    assert_eq!(due(noon(9_000)).await, []);
    let shown = erasures
        .read(&owner, NOON)
        .await
        .expect("the table answers");
    assert_eq!(
        shown.and_then(|erasure| erasure.completed_at),
        Some(noon(30))
    );

    let a_month_later = noon(30 + 30 * 86_400);
    let shown = async |at| erasures.read(&owner, at).await.expect("the table answers");
    assert!(
        shown(a_month_later - Duration::from_millis(1))
            .await
            .is_some()
    );
    assert_eq!(shown(a_month_later).await, None, "the erasure has expired");

    table.connect(&owner).await;
    let second = erasures
        .begin(&owner, noon(60))
        .await
        .expect("the table answers");
    assert_eq!((second.requested_at, second.completed_at), (noon(60), None));
    let late = erasures.complete(&owner, NOON, noon(70)).await;
    assert!(
        !late.expect("the table answers"),
        "the first erasure has ended"
    );
    sweep(&erasures, &owner).await;
    assert_eq!(table.count().await, 1);
}
