//! Faults of DynamoDB and SQS that the AWS client or the functions must handle.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::owner::{Owner, UserId};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{Caller, Fault, Proxy, TestQueues, command_id, embedded, eventually};

use crate::{
    oracle,
    scene::{PYGOAT, Scene},
};

/// The shard of the `due` index with an owner's next scheduled sync.
async fn shard(scene: &Scene, owner: &Owner) -> AttributeValue {
    let settings = scene
        .stack
        .backstage
        .item(&format!("owner#{owner}"), "settings")
        .await;
    settings.expect("it is enabled")["due_shard"].clone()
}

/// Owners whose scheduled syncs the reconciler dispatches in one batch.
async fn of_one_shard(scene: &Scene, count: usize) -> Vec<Caller> {
    let wanted = shard(scene, scene.ada.owner()).await;
    let mut callers = vec![scene.ada.clone()];
    for number in 0..1_000 {
        let subject = format!("bob-{number}");
        let owner = Owner::User(UserId::parse(&subject).expect("valid"));
        scene.stack.backstage.enable(&owner, &[PYGOAT.0]).await;
        if shard(scene, &owner).await == wanted {
            callers.push(scene.another(&subject).await);
        }
        if callers.len() == count {
            return callers;
        }
    }
    panic!("too few owners of one shard");
}

#[tokio::test]
async fn fault_06_only_the_refused_messages_of_a_batch_are_sent_again() {
    let queues = TestQueues::create().await;
    let scene = Scene::with(&["--sqs", queues.proxy.url()], &[PYGOAT.0]).await;
    let callers = of_one_shard(&scene, 3).await;
    for caller in &callers {
        scene.stack.backstage.schedule_due(caller.owner()).await;
    }
    queues.proxy.plan("SendMessageBatch", Fault::TakeOnly(1));
    let report = scene.stack.reconcile().await;
    let counted = (&report["dispatched"], &report["refused"]);
    assert_eq!(counted, (&json!(3), &json!(0)), "{report}");
    let sent = queues.proxy.requests("SendMessageBatch");
    let bodies = |request: &Value| -> Vec<String> {
        let entries = request["Entries"].as_array().expect("entries").iter();
        entries
            .map(|entry| entry["MessageBody"].to_string())
            .collect()
    };
    let [first, second] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(
        bodies(second),
        bodies(first)[1..],
        "exactly the refused entries"
    );
    eventually("every scheduled sync ends", async || {
        scene.stack.logged("a scheduled sync has ended").len() == 3
    })
    .await;
    let callers: Vec<_> = callers.iter().collect();
    oracle::check(&scene.stack, &callers).await;
}

#[tokio::test]
async fn fault_25_unprocessed_keys_are_requested_again_not_reported_absent() {
    let proxy = Proxy::to(&embedded().await).await;
    let scene = Scene::with(&["--dynamodb", proxy.url()], &[PYGOAT.0]).await;
    for taken in [0, 3, 1] {
        proxy.plan_about("BatchGetItem", "finding#", Fault::TakeOnly(taken));
    }
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = scene.ada.sync().await;
        scene.ada.ends_as(id, "SYNC_COMPLETED").await;
        ids.push(id.to_string());
    }
    for taken in [0, 1] {
        proxy.plan_about("BatchGetItem", "command#", Fault::TakeOnly(taken));
    }
    let before = proxy.count("BatchGetItem");
    let polled = scene
        .ada
        .get(&format!("commands?ids={}", ids.join(",")))
        .await;
    assert_eq!(polled.status, StatusCode::OK, "{}", polled.body);
    let commands = polled.body["commands"].as_array().expect("a list");
    let found: Vec<String> = commands
        .iter()
        .map(|view| command_id(view).to_string())
        .collect();
    assert_eq!(found, ids);
    assert_eq!(proxy.count("BatchGetItem") - before, 3);
    scene.holds().await;
}

#[tokio::test]
async fn fault_26_an_expired_command_is_absent_and_its_key_is_free() {
    let scene = Scene::set().await;
    let sync = json!({"type": "sync"});
    let first = scene.ada.post(&sync, Some("again")).await;
    let first = command_id(&first.body);
    scene.ada.ends_as(first, "SYNC_COMPLETED").await;
    for prefix in ["command#", "key#"] {
        scene.stack.backstage.expire(prefix).await;
    }
    let rows = scene.stack.backstage.items("command#").await;
    let gone = scene.ada.get(&format!("commands/{first}")).await;
    assert_eq!(
        (rows.len(), gone.status),
        (1, StatusCode::NOT_FOUND),
        "stored, but not shown"
    );
    let listed = scene.ada.get(&format!("commands?ids={first}")).await;
    assert_eq!(listed.body["commands"], json!([]));
    assert_eq!(scene.ada.all("commands").await, [Value::Null; 0]);

    let second = scene.ada.post(&sync, Some("again")).await;
    assert_eq!(second.status, StatusCode::ACCEPTED, "{}", second.body);
    assert!(!second.headers.contains_key("idempotent-replayed"));
    let id = command_id(&second.body);
    assert_ne!(id, first);
    scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    scene.holds().await;
}
