//! The repositories' rows: an earlier attempt does not overwrite a later one.

use std::collections::BTreeMap;

use domain::{
    Timestamp,
    finding::{FindingStatus, Repository, RepositoryId, Severity, Source},
    installation::InstallationRepository,
    owner::Owner,
    page::PageCursor,
};
use store::repositories::{
    Checkpoint, Counts, Listing, PassState, Repositories, RepositoryFailure, RepositoryOutcome,
    RepositoryRecord, Watermark, Watermarks,
};
use tests::{NOON, TestTable, noon, owner, repository};
use uuid::Uuid;

async fn attempt(repositories: &Repositories, owner: &Owner, pass: Uuid, now: Timestamp) {
    let listing = Listing {
        listed: Some(InstallationRepository {
            repository: repository(),
            private: true,
            archived: false,
        }),
        id: repository().id,
        attempt: Some(pass),
    };
    let recorded = repositories.record(owner, &[listing], now).await;
    recorded.expect("the table answers");
}

async fn read(repositories: &Repositories, owner: &Owner) -> RepositoryRecord {
    let mut read = repositories.read(owner).await.expect("the table answers");
    read.pop().expect("it was recorded")
}

fn cursor() -> Checkpoint {
    Checkpoint {
        source: Source::Dependabot,
        done: Watermarks::new(),
        next: PageCursor::new("the next page".to_owned()),
        watermark: watermark(),
        complete: false,
        unstorable: true,
    }
}

fn watermarks() -> Watermarks {
    Watermarks::from([(Source::Dependabot, watermark())])
}

fn watermark() -> Watermark {
    Watermark {
        updated_at: Some(noon(-5)),
        seen: BTreeMap::new(),
    }
}

#[tokio::test]
async fn a_pass_begins_pauses_and_finishes() {
    let table = TestTable::create().await;
    let repositories = table.repositories();
    let (owner, pass, id) = (owner(), Uuid::new_v4(), repository().id);
    table.connect(&owner).await;
    let state = async || {
        read(&repositories, &owner)
            .await
            .pass
            .map(|pass| pass.state)
    };

    attempt(&repositories, &owner, pass, NOON).await;
    assert_eq!(state().await, Some(PassState::Begun));
    let paused = repositories.pause(&owner, id, pass, &cursor()).await;
    paused.expect("the table answers");
    assert_eq!(state().await, Some(PassState::Paused(Box::new(cursor()))));
    let outcome = RepositoryOutcome::Succeeded {
        watermarks: watermarks(),
        complete: true,
    };
    let finished = repositories.finish(&owner, id, pass, NOON, &outcome).await;
    finished.expect("the table answers");
    let record = read(&repositories, &owner).await;
    assert_eq!(
        record.pass.map(|pass| pass.state),
        Some(PassState::Finished)
    );
    assert_eq!(
        (record.last_succeeded_at, record.completed_at),
        (Some(NOON), Some(NOON))
    );
    assert_eq!(
        (record.watermarks, record.last_failure),
        (watermarks(), None)
    );
    assert_eq!(
        (record.repository, record.private, record.listed),
        (repository(), true, true)
    );
}

#[tokio::test]
async fn a_failure_keeps_the_earlier_success_and_a_success_clears_the_failure() {
    let table = TestTable::create().await;
    let repositories = table.repositories();
    let (owner, id) = (owner(), repository().id);
    table.connect(&owner).await;
    let outcomes = [
        RepositoryOutcome::Succeeded {
            watermarks: watermarks(),
            complete: true,
        },
        RepositoryOutcome::Failed(RepositoryFailure::SyncFailed),
        RepositoryOutcome::Succeeded {
            watermarks: watermarks(),
            complete: false,
        },
    ];
    let mut seen = Vec::new();
    for (at, outcome) in [0, 10, 20].into_iter().zip(outcomes) {
        let pass = Uuid::new_v4();
        attempt(&repositories, &owner, pass, noon(at)).await;
        let finished = repositories
            .finish(&owner, id, pass, noon(at), &outcome)
            .await;
        finished.expect("the table answers");
        let record = read(&repositories, &owner).await;
        seen.push((
            record.last_succeeded_at,
            record.completed_at,
            record.last_failure,
        ));
    }
    let failed = Some(RepositoryFailure::SyncFailed);
    assert_eq!(
        seen,
        [
            (Some(NOON), Some(NOON), None),
            (Some(NOON), Some(NOON), failed),
            (Some(noon(20)), Some(NOON), None),
        ]
    );
}

#[tokio::test]
async fn a_superseded_attempt_writes_nothing() {
    let table = TestTable::create().await;
    let repositories = table.repositories();
    let (owner, id) = (owner(), repository().id);
    table.connect(&owner).await;
    let (earlier, later) = (Uuid::new_v4(), Uuid::new_v4());
    attempt(&repositories, &owner, earlier, NOON).await;
    attempt(&repositories, &owner, later, noon(10)).await;
    let before = read(&repositories, &owner).await;

    let paused = repositories.pause(&owner, id, earlier, &cursor()).await;
    paused.expect("refused, not failed");
    let outcome = RepositoryOutcome::Failed(RepositoryFailure::SyncFailed);
    let finished = repositories
        .finish(&owner, id, earlier, NOON, &outcome)
        .await;
    finished.expect("refused, not failed");
    assert_eq!(read(&repositories, &owner).await, before);
}

#[tokio::test]
async fn an_outcome_does_not_create_an_unlisted_repository() {
    let table = TestTable::create().await;
    let repositories = table.repositories();
    let (owner, id, pass) = (owner(), repository().id, Uuid::new_v4());
    let paused = repositories.pause(&owner, id, pass, &cursor()).await;
    paused.expect("refused, not failed");
    let outcome = RepositoryOutcome::Failed(RepositoryFailure::SyncFailed);
    let finished = repositories.finish(&owner, id, pass, NOON, &outcome).await;
    finished.expect("refused, not failed");
    assert_eq!(
        repositories.read(&owner).await.expect("the table answers"),
        []
    );
}

/// A repository that the installation lists, or no longer lists.
fn shown(id: u64, private: Option<bool>) -> Listing {
    let id = RepositoryId::new(id);
    let name = format!("octo/app-{}", id.get());
    Listing {
        id,
        listed: private.map(|private| InstallationRepository {
            repository: Repository {
                id,
                name: name.parse().expect("a name"),
            },
            private,
            archived: false,
        }),
        attempt: None,
    }
}

#[tokio::test]
async fn listed_repositories_stay_after_the_installation_drops_them() {
    let table = TestTable::create().await;
    let repositories = table.repositories();
    let owner = owner();
    table.connect(&owner).await;
    let all: Vec<Listing> = (100..300).map(|id| shown(id, Some(id % 2 == 0))).collect();
    let recorded = repositories.record(&owner, &all, NOON).await;
    recorded.expect("the table answers");
    let gone = [shown(100, None), shown(101, None)];
    let recorded = repositories.record(&owner, &gone, noon(60)).await;
    recorded.expect("the table answers");

    let read = repositories.read(&owner).await.expect("the table answers");
    // The first is the one that the owner already had.
    let kept: Vec<_> = read[1..]
        .iter()
        .map(|record| {
            let id = record.repository.id.get();
            assert_eq!(record.repository.name.as_str(), format!("octo/app-{id}"));
            assert_eq!((record.last_attempted_at, &record.pass), (None, &None));
            (id, record.private, record.listed)
        })
        .collect();
    let expected: Vec<_> = (100..300).map(|id| (id, id % 2 == 0, id >= 102)).collect();
    assert_eq!(kept, expected);
}

/// The counts in the order in which people read them.
fn places(counts: &Counts) -> [i64; 7] {
    let [critical, high, medium, low] = counts.open;
    let Counts {
        fixed,
        ignored,
        closed,
        ..
    } = *counts;
    [critical, high, medium, low, fixed, ignored, closed]
}

#[test]
fn each_finding_is_counted_by_severity_and_status() {
    use FindingStatus::{Closed, Fixed, Ignored, Open};
    use Severity::{Critical, High, Low, Medium};
    let kinds = [
        (Critical, Open),
        (High, Open),
        (Medium, Open),
        (Low, Open),
        (High, Fixed),
        (High, Ignored),
        (High, Closed),
    ];
    let mut sum = Counts::default();
    for (place, (severity, status)) in kinds.into_iter().enumerate() {
        let mut counts = Counts::default();
        counts.add(severity, status, 3);
        counts.add(severity, status, -1);
        let mut expected = [0; 7];
        expected[place] = 2;
        assert_eq!(places(&counts), expected, "{severity}, {status}");
        for _ in 0..=place {
            sum.add_all(&counts);
        }
    }
    assert_eq!(places(&sum), [2, 4, 6, 8, 10, 12, 14]);
}
