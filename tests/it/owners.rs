//! The owners' rows: saves lose nothing, one caller moves a turn, and marks only advance.

use std::time::Duration;

use domain::{
    command::Actor, finding::RepositoryId, installation::InstallationId, owner::Owner,
    settings::Settings,
};
use futures::future::join_all;
use serde_json::{Value, json};
use store::{
    audit::AuditAction,
    erasure::Erasures,
    owners::{
        DueOwner, Integration, OwnerRecord, Owners, OwnersError, SYNC_EVERY, Saved, next_sync,
    },
    table::{DueKind, Writes},
};
use tests::{Fault, NOON, TestTable, noon, owner};

use crate::{
    analyses::lose_for_good,
    audit::{events, refused_writes},
};

fn enabled() -> Settings {
    Settings {
        enabled: true,
        ..Settings::default()
    }
}

/// Saves at noon, in place of the record that was read.
async fn save(
    owners: &Owners,
    owner: &Owner,
    settings: &Settings,
    seen: &OwnerRecord,
) -> Result<Saved, OwnersError> {
    owners
        .save(owner, settings, seen, Writes::default(), NOON)
        .await
}

/// Enables the owner at noon and returns the scheduled turn.
pub(crate) async fn enable(owners: &Owners, owner: &Owner) -> DueOwner {
    let saved = save(owners, owner, &enabled(), &OwnerRecord::default()).await;
    assert_eq!(
        saved.expect("the table answers"),
        Saved::Saved { version: 1 }
    );
    DueOwner {
        owner: owner.clone(),
        due_at: next_sync(owner, NOON),
    }
}

/// Returns every owner whose turn is due by the end of the next cycle.
pub(crate) async fn due(owners: &Owners) -> Vec<DueOwner> {
    let mut due = Vec::new();
    for shard in 0..DueKind::Schedule.shards() {
        let page = owners.due(shard, 100, None, NOON + SYNC_EVERY * 2).await;
        let (page, _) = page.expect("the table answers");
        due.extend(
            page.into_iter()
                .map(|owner| owner.expect("the row can be read")),
        );
    }
    due
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_saves_lose_nothing() {
    let table = TestTable::create().await;
    let owner = owner();
    let tasks = (1..=8).map(|id| {
        let (owners, owner) = (table.owners(), owner.clone());
        tokio::spawn(async move {
            loop {
                let record = owners.read(&owner).await.expect("the table answers");
                let mut settings = record.settings.clone();
                let chosen = &mut settings.selected_repository_ids;
                assert!(
                    chosen.insert(RepositoryId::new(id)),
                    "saved before, and lost"
                );
                let saved = save(&owners, &owner, &settings, &record).await;
                match saved.expect("the table answers") {
                    Saved::Saved { version } => {
                        assert_eq!(version, record.version + 1);
                        return;
                    }
                    Saved::Conflict => {}
                    Saved::BeingErased => panic!("no erasure was requested"),
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.expect("the task does not panic");
    }
    let record = table
        .owners()
        .read(&owner)
        .await
        .expect("the table answers");
    assert_eq!(record.version, 8);
    assert_eq!(record.settings.selected_repository_ids.len(), 8);
}

#[tokio::test]
async fn a_save_and_a_turn_with_lost_responses_count_once() {
    let table = TestTable::create().await;
    let owner = owner();
    let (proxy, through) = table
        .through(&[("TransactWriteItems", Fault::LoseAnswer)])
        .await;
    let owners = Owners::new(through);
    let turn = enable(&owners, &owner).await;
    proxy.plan("UpdateItem", Fault::LoseAnswer);
    let moved = owners.move_turn(&owner, turn.due_at, noon(60)).await;
    assert!(moved.expect("the table answers"));
    assert_eq!(proxy.count("TransactWriteItems"), 2);
    assert_eq!(proxy.count("UpdateItem"), 2);
}

#[tokio::test]
async fn a_save_retried_in_a_new_transaction_counts_once() {
    let table = TestTable::create().await;
    let owner = owner();
    let (proxy, through) = table.through(&[]).await;
    lose_for_good(&proxy);
    enable(&Owners::new(through), &owner).await;
    let record = table.owners().read(&owner).await;
    assert_eq!(record.expect("the table answers").version, 1, "saved once");
}

#[tokio::test]
async fn a_save_reports_an_erasure_and_only_an_erasure() {
    let table = TestTable::create().await;
    let owners = table.owners();
    let (_, _, refused) = refused_writes(&table).await;
    let owner = owner();
    let unseen = OwnerRecord::default();
    let saved = owners
        .save(&owner, &enabled(), &unseen, refused, NOON)
        .await;
    assert_eq!(
        saved.expect("the table answers"),
        Saved::Conflict,
        "only the side write was refused"
    );
    let begun = Erasures::new(table.table()).begin(&owner, NOON).await;
    begun.expect("the table answers");
    let saved = save(&owners, &owner, &enabled(), &unseen).await;
    assert_eq!(saved.expect("the table answers"), Saved::BeingErased);
    let record = owners.read(&owner).await.expect("the table answers");
    let expected = OwnerRecord {
        being_erased: true,
        ..unseen
    };
    assert_eq!(record, expected, "nothing was saved");
}

#[tokio::test]
async fn reconnecting_replaces_the_integration() {
    let table = TestTable::create().await;
    let owners = table.owners();
    let owner = owner();
    for (installation, can_read_alerts) in [(1, false), (2, true), (2, false)] {
        let installation = InstallationId::new(installation);
        let connected = owners
            .connect(&owner, installation, can_read_alerts, NOON)
            .await;
        connected.expect("the table answers");
        let record = owners.read(&owner).await.expect("the table answers");
        let expected = Integration {
            installation,
            can_read_alerts,
            auth_invalid_at: None,
        };
        assert_eq!(record.integration, Some(expected));
        let marked = owners.mark_auth_invalid(&owner, NOON).await;
        marked.expect("the table answers");
    }
}

/// The owner's connections in the audit, before and after each, newest first.
async fn connections(table: &TestTable, owner: &Owner) -> Vec<[Value; 2]> {
    let events = events(table, owner).await.into_iter();
    let told = events.map(|event| {
        assert_eq!(event.action, AuditAction::Connected);
        assert_eq!(event.actor, Actor::Operator);
        let detail = |name: &str| event.details.get(name).cloned().expect("a detail");
        [detail("before"), detail("after")]
    });
    told.collect()
}

fn connection(installation: u64, can_read_alerts: bool) -> Value {
    json!({"installationId": installation, "canReadAlerts": can_read_alerts})
}

async fn connect(owners: &Owners, owner: &Owner, installation: u64, at: i64) {
    let installation = InstallationId::new(installation);
    let connected = owners.connect(owner, installation, true, noon(at)).await;
    connected.expect("the table answers");
}

#[tokio::test]
async fn a_connection_is_audited_if_it_changes_anything() {
    let table = TestTable::create().await;
    let owners = table.owners();
    let owner = owner();
    let steps = [(1, false), (1, true), (1, true), (2, true)];
    for (at, (installation, can_read_alerts)) in (0..).zip(steps) {
        let installation = InstallationId::new(installation);
        let connected = owners.connect(&owner, installation, can_read_alerts, noon(at));
        connected.await.expect("the table answers");
        let marked = owners.mark_auth_invalid(&owner, noon(at)).await;
        marked.expect("the table answers");
    }
    let expected = [
        [connection(1, true), connection(2, true)],
        [connection(1, false), connection(1, true)],
        [Value::Null, connection(1, false)],
    ];
    assert_eq!(connections(&table, &owner).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_concurrent_connections_is_audited_after_another() {
    let table = TestTable::create().await;
    let owner = owner();
    let tasks = (1..=8).zip(1..).map(|(installation, at)| {
        let (owners, owner) = (table.owners(), owner.clone());
        tokio::spawn(async move { connect(&owners, &owner, installation, at).await })
    });
    for done in join_all(tasks).await {
        done.expect("the task does not panic");
    }
    // Each connection is once what was made, and all but the last are once what was replaced.
    let [mut before, mut after] = [Vec::new(), Vec::new()];
    for [replaced, made] in connections(&table, &owner).await {
        before.push(replaced.to_string());
        after.push(made.to_string());
    }
    let record = table
        .owners()
        .read(&owner)
        .await
        .expect("the table answers");
    let last = record.integration.expect("connected").installation.get();
    after.push("null".to_owned());
    before.push(connection(last, true).to_string());
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!((before.len(), &before), (9, &after));
}

#[tokio::test]
async fn a_connection_with_a_lost_answer_is_audited_once() {
    for faults in [
        &[Fault::LoseAnswer][..],
        &[Fault::LoseAnswer, Fault::Conflict],
    ] {
        let table = TestTable::create().await;
        let owner = owner();
        let faults: Vec<_> = faults
            .iter()
            .map(|fault| ("TransactWriteItems", *fault))
            .collect();
        let (_proxy, through) = table.through(&faults).await;
        connect(&Owners::new(through), &owner, 1, 0).await;
        let expected = [[Value::Null, connection(1, true)]];
        assert_eq!(connections(&table, &owner).await, expected);
    }
}

#[tokio::test]
async fn saving_schedules_the_next_sync_and_disabling_removes_it() {
    let table = TestTable::create().await;
    let owners = table.owners();
    let owner = owner();
    let turn = enable(&owners, &owner).await;
    assert_eq!(due(&owners).await, std::slice::from_ref(&turn));
    let manual = Settings {
        auto_sync: false,
        ..enabled()
    };
    let seen = owners.read(&owner).await.expect("the table answers");
    let saved = save(&owners, &owner, &manual, &seen).await;
    assert_eq!(
        saved.expect("the table answers"),
        Saved::Saved { version: 2 }
    );
    assert_eq!(due(&owners).await, []);
    let moved = owners.move_turn(&owner, turn.due_at, noon(60)).await;
    assert!(!moved.expect("the table answers"));
    assert_eq!(
        due(&owners).await,
        [],
        "moving a removed turn does not restore it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_moves_of_a_turn_one_succeeds() {
    let table = TestTable::create().await;
    let owner = owner();
    let turn = enable(&table.owners(), &owner).await;
    let tasks = (0..16).map(|_| {
        let (owners, turn) = (table.owners(), turn.clone());
        tokio::spawn(async move {
            let moved = owners.move_turn(&turn.owner, turn.due_at, noon(300)).await;
            moved.expect("the table answers")
        })
    });
    let moved = join_all(tasks).await.into_iter();
    let moved = moved.filter(|moved| *moved.as_ref().expect("the task does not panic"));
    assert_eq!(moved.count(), 1);
}

#[tokio::test]
async fn freshness_only_advances_and_a_newer_mark_is_not_cleared() {
    let table = TestTable::create().await;
    let owners = table.owners();
    let owner = owner();
    owners
        .mark_auth_invalid(&owner, NOON)
        .await
        .expect("the table answers");
    let record = owners.read(&owner).await.expect("the table answers");
    assert_eq!(record.integration, None, "a mark creates no integration");

    let connected = owners
        .connect(&owner, InstallationId::new(1), true, NOON)
        .await;
    connected.expect("the table answers");
    for at in [10, 20] {
        owners
            .mark_auth_invalid(&owner, noon(at))
            .await
            .expect("the table answers");
        owners
            .mark_synced(&owner, noon(30 - at))
            .await
            .expect("the table answers");
    }
    owners
        .clear_auth_invalid(&owner, noon(10))
        .await
        .expect("the table answers");
    let record = owners.read(&owner).await.expect("the table answers");
    assert_eq!(record.last_synced_at, Some(noon(20)));
    let integration = record.integration.expect("it is connected");
    assert_eq!(integration.auth_invalid_at, Some(noon(20)));
    assert_eq!(
        integration.refused_until(noon(20)),
        Some(noon(20) + Duration::from_secs(3_600))
    );
    assert_eq!(integration.refused_until(noon(20 + 3_600)), None);
    owners
        .clear_auth_invalid(&owner, noon(20))
        .await
        .expect("the table answers");
    let record = owners.read(&owner).await.expect("the table answers");
    assert_eq!(
        record
            .integration
            .and_then(|integration| integration.auth_invalid_at),
        None
    );
}
