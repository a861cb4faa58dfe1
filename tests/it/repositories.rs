//! The repositories' rows: a later attempt is not overwritten by an earlier one.

use std::collections::BTreeMap;

use security_agent::{
    Timestamp,
    github::InstallationRepository,
    owner::Owner,
    repositories::{
        Cursor, Listing, PassState, Repositories, RepositoryFailure, RepositoryOutcome,
        RepositoryRecord, Watermark,
    },
};
use serde_json::json;
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

fn cursor() -> Cursor {
    let url = "https://api.github.com/repositories/7/dependabot/alerts?after=x";
    let next = json!({ "repository": 7, "url": url, "trail": [1] });
    Cursor {
        next: serde_json::from_value(next).expect("a page"),
        watermark: watermark(),
        complete: false,
        unstorable: true,
    }
}

fn watermark() -> Watermark {
    Watermark {
        updated_at: Some(noon(-5)),
        seen: BTreeMap::new(),
    }
}

#[tokio::test]
async fn a_pass_is_begun_paused_and_finished() {
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
        watermark: watermark(),
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
        (record.watermark, record.last_failure),
        (Some(watermark()), None)
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
            watermark: watermark(),
            complete: true,
        },
        RepositoryOutcome::Failed(RepositoryFailure::SyncFailed),
        RepositoryOutcome::Succeeded {
            watermark: watermark(),
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
async fn an_attempt_that_was_overtaken_says_nothing_more() {
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
async fn a_repository_that_nobody_listed_is_not_made_by_its_outcome() {
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
