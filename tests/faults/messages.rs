//! Unreadable messages, messages of a newer version, and messages in flight during a deployment.

use runtime::queue::{Message, Unusable, VERSION};
use serde_json::{Value, json};
use tests::{batch, eventually, failures, message};

use crate::scene::Scene;

/// The messages as version 1 writes them, which can be in flight during a deployment.
const COMMAND: &str = include_str!("../fixtures/messages/v1/command.json");
const SCHEDULED_SYNC: &str = include_str!("../fixtures/messages/v1/scheduled-sync.json");
const CALLBACK: &str = include_str!("../fixtures/messages/v1/call-back.json");
const ERASE: &str = include_str!("../fixtures/messages/v1/erase.json");

/// The message with these fields changed or added.
pub(crate) fn with(message: &str, fields: &Value) -> String {
    let mut message: Value = serde_json::from_str(message).expect("it is JSON");
    for (name, value) in fields.as_object().expect("fields") {
        message[name] = value.clone();
    }
    message.to_string()
}

#[tokio::test]
async fn fault_21_unreadable_messages_are_quarantined_and_the_batch_continues() {
    let scene = Scene::set().await;
    let stage = &scene.stack.backstage;
    let owner = scene.ada.owner();
    let (malformed, newer, good) = (
        stage.admit(owner).await,
        stage.admit(owner).await,
        stage.admit(owner).await,
    );
    let bodies = [
        "no JSON".to_owned(),
        with(&message(&malformed, 0), &json!({"stage": "zero"})),
        with(&message(&newer, 0), &json!({"version": VERSION + 1})),
        message(&good, 0),
        r#"{"version":1,"kind":"dance"}"#.to_owned(),
    ];
    let answer = scene
        .stack
        .invoke("sync", &batch("SyncQueue", &bodies))
        .await;
    assert_eq!(
        failures(&answer.expect("the invocation succeeds")),
        ["m2"],
        "only the newer message is redelivered"
    );
    scene.ada.ends_as(good.id, "SYNC_COMPLETED").await;
    let failed = scene.ada.ends_as(malformed.id, "MALFORMED_MESSAGE").await;
    assert_eq!(failed["effect"], "none");
    assert_eq!(scene.ada.command(newer.id).await["status"], "accepted");

    let kept = stage.peek("MalformedQueue").await;
    let mut kept: Vec<_> = kept
        .iter()
        .map(|message| {
            let from = message
                .message_attributes
                .as_ref()
                .and_then(|all| all.get("from"));
            let from = from.and_then(|from| from.string_value.as_deref());
            (message.body.as_deref().expect("a body"), from)
        })
        .collect();
    kept.sort_unstable();
    let mut expected = [0, 1, 4].map(|place| (bodies[place].as_str(), Some("SyncQueue")));
    expected.sort_unstable();
    assert_eq!(kept, expected);

    // An unreadable message through the queue, and the newer one as a dead letter.
    stage.send("SyncQueue", "[]").await;
    stage.send("SyncDeadLetterQueue", &bodies[2]).await;
    let exhausted = scene.ada.ends_as(newer.id, "QUEUE_RETRIES_EXHAUSTED").await;
    assert_eq!(exhausted["effect"], "none");
    eventually("both are quarantined", async || {
        scene.stack.depth("MalformedQueue").await == 5
            && scene.stack.depth("SyncDeadLetterQueue").await == 0
    })
    .await;
    scene.holds().await;
}

#[tokio::test]
async fn fault_21_every_worker_quarantines_unreadable_messages() {
    let scene = Scene::set().await;
    let queues = [
        "ScheduledSyncQueue",
        "DismissQueue",
        "AnalyseQueue",
        "CallbackQueue",
        "EraseQueue",
    ];
    for queue in queues {
        scene.stack.backstage.send(queue, "[]").await;
    }
    eventually("all are quarantined", async || {
        scene.stack.depth("MalformedQueue").await == queues.len() as u64
    })
    .await;
    for queue in queues {
        let acknowledged = async || scene.stack.depth(queue).await == 0;
        eventually("it is acknowledged", acknowledged).await;
    }
    scene.holds().await;
}

#[test]
fn this_version_writes_and_reads_its_message_fixtures() {
    for fixture in [COMMAND, SCHEDULED_SYNC, CALLBACK, ERASE] {
        let message = Message::parse(fixture).expect("it can be read");
        assert_eq!(message.body(), fixture.trim_end());
        let extended = with(fixture, &json!({"priority": "high", "trace": {"id": 7}}));
        assert_eq!(Message::parse(&extended).expect("it can be read"), message);
        let newer = with(fixture, &json!({"version": VERSION + 1}));
        assert!(matches!(
            Message::parse(&newer),
            Err(Unusable::Newer { .. })
        ));
    }
}

#[tokio::test]
async fn fault_33_messages_survive_a_deployment_and_its_rollback() {
    let scene = Scene::set().await;
    let owner = scene.ada.owner().to_string();
    let key = scene.stack.backstage.admit(scene.ada.owner()).await;
    let old = with(
        COMMAND,
        &json!({"owner": owner, "commandId": key.id.to_string()}),
    );
    // After a rollback, the newer version's messages wait for it.
    let newer = with(&old, &json!({"version": VERSION + 1, "shard": 7}));
    let answer = scene
        .stack
        .invoke("sync", &batch("SyncQueue", &[newer]))
        .await;
    assert_eq!(failures(&answer.expect("the invocation succeeds")), ["m0"]);
    assert_eq!(scene.ada.command(key.id).await["status"], "accepted");
    assert_eq!(scene.stack.depth("MalformedQueue").await, 0);

    let extended = with(&old, &json!({"priority": "high"}));
    scene.stack.backstage.send("SyncQueue", &extended).await;
    scene.ada.ends_as(key.id, "SYNC_COMPLETED").await;
    let scheduled = with(SCHEDULED_SYNC, &json!({"owner": owner, "priority": "low"}));
    scene
        .stack
        .backstage
        .send("ScheduledSyncQueue", &scheduled)
        .await;
    eventually("the scheduled sync ends", async || {
        scene.stack.logged("a scheduled sync has ended").len() == 1
    })
    .await;
    scene.holds().await;
}
