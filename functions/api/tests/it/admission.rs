//! Admission over HTTP: one row, one message, and the answers when one of them fails.

use std::time::Duration;

use domain::lifecycle::Stage;
use runtime::queue::Message;
use serde_json::{Value, json};

use crate::support::{Call, NOON, Queue, Stack, get, owner, post};

const COMMANDS: &str = "/v1/owners/{owner}/commands";

fn sync() -> Call {
    post(COMMANDS).body(json!({"type": "sync"}))
}

fn keyed(key: &str) -> Call {
    sync().header("idempotency-key", key)
}

#[tokio::test]
async fn an_accepted_command_has_all_documented_fields() {
    let stack = Stack::start().await;
    let body = json!({"type": "sync", "repository": "octo/app", "origin": "dashboard_refresh"});
    let answer = stack.call(post(COMMANDS).body(body)).await;
    assert_eq!(answer.status, 202);
    let id = answer.body["id"].clone();
    let location = format!("/v1/owners/me/commands/{}", id.as_str().expect("an id"));
    assert_eq!(answer.header("location"), Some(location.as_str()));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("idempotent-replayed"), None);
    assert_eq!(
        answer.body,
        json!({
            "id": id, "owner": "user:auth0|5f7c", "type": "sync", "origin": "dashboard_refresh",
            "repository": "octo/app", "findingId": null, "status": "accepted", "resultCode": null, "effect": null,
            "message": null, "lastError": null, "progress": null, "waitingUntil": null, "attempts": 0,
            "acceptedAt": "2026-11-23T12:00:00.000Z", "startedAt": null, "completedAt": null,
            "updatedAt": "2026-11-23T12:00:00.000Z", "expiresAt": null
        })
    );
    let sent = stack.services.sent();
    let [Message::Command { key, stage }] = &sent[..] else {
        panic!("one message for one command: {sent:?}");
    };
    assert_eq!((&key.owner, *stage), (&owner(), Stage(0)));
    assert_eq!(json!(key.id), id);
}

#[tokio::test]
async fn the_same_key_with_the_same_request_is_the_same_command() {
    let stack = Stack::start().await;
    let first = stack.call(keyed("k-1")).await;
    let again = stack
        .call_at(keyed("k-1"), NOON + Duration::from_secs(60))
        .await;
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(stack.services.sent().len(), 1);
    assert_ne!(stack.call(keyed("k-2")).await.body["id"], first.body["id"]);
    let other_owner = keyed("k-1").claims(json!({"sub": "somebody"}));
    assert_ne!(stack.call(other_owner).await.body["id"], first.body["id"]);
}

#[tokio::test]
async fn the_same_key_with_another_request_is_refused() {
    let stack = Stack::start().await;
    let first = stack.call(keyed("k-1")).await;
    let other = keyed("k-1").body(json!({"type": "sync", "repository": "octo/app"}));
    assert_eq!(
        stack.call(other).await.problem(422),
        "IDEMPOTENCY_KEY_REUSED"
    );
    assert_eq!(
        stack.call(get(COMMANDS)).await.ids("commands"),
        [first.body["id"].as_str().expect("an id")]
    );
    assert_eq!(stack.services.sent().len(), 1);
}

#[tokio::test]
async fn one_of_concurrent_requests_with_one_key_creates_the_command() {
    let stack = Stack::start().await;
    let (a, b, c) = tokio::join!(
        stack.call(keyed("k-1")),
        stack.call(keyed("k-1")),
        stack.call(keyed("k-1"))
    );
    assert_eq!([a.status, b.status, c.status], [202; 3]);
    assert_eq!(a.body["id"], b.body["id"]);
    assert_eq!(b.body["id"], c.body["id"]);
    let replayed = [&a, &b, &c].map(|answer| answer.header("idempotent-replayed").is_some());
    assert_eq!(replayed.iter().filter(|replayed| **replayed).count(), 2);
    assert_eq!(stack.services.sent().len(), 1);
}

#[tokio::test]
async fn a_command_that_cannot_be_queued_fails_and_its_key_readmits_it() {
    let stack = Stack::start().await;
    stack.services.queue(Queue::Refuses);
    let refused = stack.call(keyed("k-1")).await;
    assert_eq!(refused.problem(503), "QUEUE_ADMISSION_FAILED");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let command = &refused.body["command"];
    assert_eq!(command["status"], "failed");
    assert_eq!(command["resultCode"], "QUEUE_ADMISSION_FAILED");
    assert_eq!(command["effect"], "none");
    assert!(command["message"].is_string() && command["expiresAt"].is_string());
    assert_eq!(
        stack.call(get(COMMANDS).query("state=active")).await.body["commands"],
        json!([])
    );

    stack.services.queue(Queue::Takes);
    let readmitted = stack.call(keyed("k-1")).await;
    assert_eq!(readmitted.status, 202);
    assert_eq!(readmitted.header("idempotent-replayed"), None);
    assert_eq!(readmitted.body["id"], command["id"]);
    assert_eq!(
        (&readmitted.body["status"], &readmitted.body["resultCode"]),
        (&json!("accepted"), &Value::Null)
    );
    assert_eq!(stack.services.sent().len(), 1);
}

#[tokio::test]
async fn a_claimed_command_counts_as_queued_even_if_the_send_failed() {
    let stack = Stack::start().await;
    stack.services.queue(Queue::DeliversButFails);
    let answer = stack.call(sync()).await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &json!("running"))
    );
    assert!(answer.header("location").is_some());
}

#[tokio::test]
async fn a_command_that_two_requests_with_one_key_cannot_queue_fails_for_both() {
    let stack = Stack::start().await;
    stack.services.queue(Queue::RefusesWhatHasFailed);
    let answer = stack.call(keyed("k-1")).await;
    assert_eq!(answer.problem(503), "QUEUE_ADMISSION_FAILED");
    let command = &answer.body["command"];
    assert_eq!(
        (&command["status"], &command["resultCode"]),
        (&json!("failed"), &json!("QUEUE_ADMISSION_FAILED"))
    );
}

#[tokio::test]
async fn a_command_that_can_neither_be_queued_nor_failed_is_shown_as_stored() {
    let stack = Stack::start().await;
    stack.services.queue(Queue::RefusesAsTheTableVanishes);
    let answer = stack.call(sync()).await;
    assert_eq!(answer.problem(503), "QUEUE_ADMISSION_FAILED");
    assert_eq!(answer.body["command"]["status"], "accepted");
    let next = stack.call(sync()).await;
    assert_eq!(next.problem(503), "STORE_UNAVAILABLE");
    assert!(
        !next.body.to_string().contains("ResourceNotFound"),
        "no internals: {}",
        next.body
    );
}
