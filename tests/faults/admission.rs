//! Faults between a client, the API, the table and the queue.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{command_id, eventually};

use crate::scene::Scene;

fn sync() -> Value {
    json!({"type": "sync"})
}

/// The one active command of the owner.
async fn active(scene: &Scene) -> Value {
    let listed = scene.ada.get("commands?state=active").await;
    let commands = listed.body["commands"].as_array().expect("a list").clone();
    let [command] = &commands[..] else {
        panic!("{commands:?}");
    };
    command.clone()
}

#[tokio::test]
async fn fault_01_a_request_repeated_with_its_key_is_the_same_command() {
    let scene = Scene::set().await;
    let fault = json!({"service": "sqs", "operation": "SendMessage", "function": "api",
        "effect": "delay", "delayMs": 800, "times": 1});
    scene.stack.fault(&fault).await;
    let patience = Duration::from_millis(400);
    let first = scene.ada.post_within(patience, &sync(), Some("once")).await;
    assert!(first.expect_err("the client gives up").is_timeout());

    let second = scene.ada.post(&sync(), Some("once")).await;
    assert_eq!(second.status, StatusCode::ACCEPTED, "{}", second.body);
    assert_eq!(second.headers["idempotent-replayed"], "true");
    let id = command_id(&second.body);
    let ended = scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    assert_eq!(ended["attempts"], 1);
    assert_eq!(scene.ada.all("commands").await.len(), 1);
    assert_eq!(scene.listings().await, 1);
    scene.holds().await;
}

#[tokio::test]
async fn fault_02_a_command_whose_api_died_before_sending_is_sent_again_or_stalls() {
    let scene = Scene::set().await;
    let fault = json!({"service": "sqs", "operation": "SendMessage", "function": "api",
        "effect": "kill_before"});
    scene.stack.fault(&fault).await;
    let answer = scene.ada.post(&sync(), None).await;
    assert!(answer.status.is_server_error(), "{answer:?}");
    let sent_again = active(&scene).await;
    let key = scene.ada.key(command_id(&sent_again));
    assert_eq!(sent_again["status"], "accepted");

    let early = scene.stack.reconcile().await;
    assert_eq!(
        (&early["resent"], &early["stalled"]),
        (&json!(0), &json!(0))
    );
    scene.stack.backstage.let_pass(&key, &["due_at"]).await;
    assert_eq!(scene.stack.reconcile().await["resent"], 1);
    scene.ada.ends_as(key.id, "SYNC_COMPLETED").await;

    let answer = scene.ada.post(&sync(), None).await;
    assert!(answer.status.is_server_error(), "{answer:?}");
    let key = scene.ada.key(command_id(&active(&scene).await));
    scene
        .stack
        .backstage
        .let_pass(&key, &["due_at", "deadline"])
        .await;
    assert_eq!(scene.stack.reconcile().await["stalled"], 1);
    let stalled = scene.ada.ends_as(key.id, "COMMAND_STALLED").await;
    assert_eq!(stalled["effect"], "none");
    let told = scene
        .stack
        .logged("the command's deadline has passed; it has failed");
    assert_eq!(told[0]["command.type_name"], "sync", "{told:?}");
    assert_eq!(told[0]["previous_status"], "accepted", "{told:?}");
    assert!(told[0]["age_ms"].is_u64() && told[0]["owner"].is_string());
    scene.holds().await;
}

#[tokio::test]
async fn fault_03_a_message_that_is_not_sent_fails_the_command_and_the_key_admits_it_again() {
    let scene = Scene::set().await;
    let fault =
        json!({"service": "sqs", "operation": "SendMessage", "function": "api", "effect": "error"});
    scene.stack.fault(&fault).await;
    let refused = scene.ada.post(&sync(), Some("again")).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.body["code"], "QUEUE_ADMISSION_FAILED");
    let failed = &refused.body["command"];
    assert_eq!(failed["resultCode"], "QUEUE_ADMISSION_FAILED", "{failed}");
    assert_eq!(
        (&failed["status"], &failed["effect"]),
        (&json!("failed"), &json!("none"))
    );
    let id = command_id(failed);
    assert_eq!(&scene.ada.command(id).await, failed);
    assert_eq!(scene.listings().await, 0);

    scene.stack.heal().await;
    scene.ada.readmits(id);
    let again = scene.ada.post(&sync(), Some("again")).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.body);
    assert_eq!(command_id(&again.body), id);
    scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    assert_eq!(scene.listings().await, 1);
    scene.holds().await;
}

#[tokio::test]
async fn fault_04_a_message_whose_answer_is_lost_leads_to_one_outcome() {
    let scene = Scene::set().await;
    let lost = json!({"service": "sqs", "operation": "SendMessage", "function": "api", "effect": "drop_response"});
    // The compensation comes first: the workers cannot claim.
    let held_up = json!({"service": "dynamodb", "operation": "UpdateItem", "function": "sync", "contains": "started_at",
        "effect": "error"});
    scene.stack.fault(&held_up).await;
    scene.stack.fault(&lost).await;
    let refused = scene.ada.post(&sync(), None).await;
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        refused.body
    );
    let id = command_id(&refused.body["command"]);
    scene.ada.ends_as(id, "QUEUE_ADMISSION_FAILED").await;
    scene.stack.heal().await;
    eventually("the stored messages are acknowledged", async || {
        scene.stack.depth("SyncQueue").await == 0
    })
    .await;
    assert_eq!(scene.listings().await, 0);

    // A worker comes first: the compensation is held up.
    let slow = json!({"service": "dynamodb", "operation": "UpdateItem", "function": "api",
        "effect": "delay", "delayMs": 700});
    scene.stack.fault(&slow).await;
    scene.stack.fault(&lost).await;
    let accepted = scene.ada.post(&sync(), None).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
    scene
        .ada
        .ends_as(command_id(&accepted.body), "SYNC_COMPLETED")
        .await;
    assert_eq!(scene.listings().await, 1);
    scene.holds().await;
}

#[tokio::test]
async fn fault_05_a_command_that_can_neither_be_sent_nor_failed_is_sent_again() {
    let scene = Scene::set().await;
    for (service, operation) in [("sqs", "SendMessage"), ("dynamodb", "UpdateItem")] {
        let fault = json!({"service": service, "operation": operation, "function": "api", "effect": "error"});
        scene.stack.fault(&fault).await;
    }
    let refused = scene.ada.post(&sync(), None).await;
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        refused.body
    );
    let command = &refused.body["command"];
    assert_eq!(command["status"], "accepted", "{command}");
    let key = scene.ada.key(command_id(command));

    scene.stack.heal().await;
    scene.stack.backstage.let_pass(&key, &["due_at"]).await;
    assert_eq!(scene.stack.reconcile().await["resent"], 1);
    scene.ada.ends_as(key.id, "SYNC_COMPLETED").await;
    scene.holds().await;
}

#[tokio::test]
async fn fault_07_an_admission_whose_answer_is_lost_is_recognised() {
    let scene = Scene::set().await;
    for (operation, key) in [("PutItem", None), ("TransactWriteItems", Some("mine"))] {
        let fault = json!({"service": "dynamodb", "operation": operation, "function": "api",
            "effect": "drop_response", "times": 1});
        scene.stack.fault(&fault).await;
        scene.stack.forget_calls().await;
        let answer = scene.ada.post(&sync(), key).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        assert!(!answer.headers.contains_key("idempotent-replayed"));
        let calls = scene.stack.calls().await["functions"]["api"].clone();
        assert_eq!(calls["dynamodb"][operation]["requests"], 2, "{calls}");
        assert_eq!(calls["sqs"]["SendMessage"]["requests"], 1, "{calls}");
        scene
            .ada
            .ends_as(command_id(&answer.body), "SYNC_COMPLETED")
            .await;
    }
    assert_eq!(scene.ada.all("commands").await.len(), 2);
    scene.holds().await;
}
