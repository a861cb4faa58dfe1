//! Faults between client, API, table and queue that `conformance` does not cover.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::command_id;

use crate::scene::Scene;

fn sync() -> Value {
    json!({"type": "sync"})
}

#[tokio::test]
async fn fault_01_a_request_repeated_with_its_key_returns_the_same_command() {
    let scene = Scene::set().await;
    let fault = json!({"service": "sqs", "operation": "SendMessage", "function": "api",
        "effect": "delay", "delayMs": 800, "times": 1});
    scene.stack.fault(&fault).await;
    let timeout = Duration::from_millis(400);
    let first = scene.ada.post_within(timeout, &sync(), Some("once")).await;
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
async fn fault_05_a_command_that_can_be_neither_sent_nor_failed_is_resent() {
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
