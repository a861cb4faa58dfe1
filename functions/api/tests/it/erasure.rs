//! Erasing an owner over HTTP: durable once acknowledged, idempotent, and visible.

use std::time::Duration;

use runtime::queue::Message;
use serde_json::{Value, json};

use crate::support::{Call, NOON, Queue, Stack, get, owner, post, put};

const OWNER: &str = "/v1/owners/{owner}";
const COMMANDS: &str = "/v1/owners/{owner}/commands";
const ERASURE: &str = "/v1/owners/{owner}/erasure";

fn delete() -> Call {
    Call::new("DELETE", OWNER).query("confirm=user:auth0%7C5f7c")
}

fn running() -> Value {
    json!({
        "owner": "user:auth0|5f7c", "status": "running", "requestedAt": "2026-11-23T12:00:00.000Z",
        "completedAt": null,
    })
}

#[tokio::test]
async fn an_erasure_is_acknowledged_queued_and_shown_and_is_idempotent() {
    let stack = Stack::connected().await;
    let answer = stack.call(delete()).await;
    assert_eq!((answer.status, &answer.body), (202, &running()));
    assert_eq!(answer.header("location"), Some("/v1/owners/me/erasure"));
    assert_eq!(answer.header("retry-after"), Some("5"));
    let message = Message::Erase {
        owner: owner(),
        requested_at: NOON,
    };
    let expected = ("erase".to_owned(), message);
    assert_eq!(stack.services.sent_to(), std::slice::from_ref(&expected));

    let later = NOON + Duration::from_secs(30);
    let again = stack.call_at(delete(), later).await;
    assert_eq!((again.status, &again.body), (202, &running()));
    let shown = stack.call(get(ERASURE)).await;
    assert_eq!((shown.status, &shown.body), (200, &running()));
    let repeated = [expected.clone(), expected];
    assert_eq!(
        stack.services.sent_to(),
        repeated,
        "one erasure, however often"
    );

    for version in ["*", "0", "7"] {
        let save = put("/v1/owners/{owner}/config").header("if-match", version);
        let save = stack.call(save.body(json!({"autoSync": false}))).await;
        assert_eq!(save.problem(409), "OWNER_BEING_ERASED", "{version}");
    }

    let done = stack.app.erasures.complete(&owner(), NOON, later).await;
    assert!(done.expect("the table answers"));
    let shown = stack.call(get(ERASURE)).await;
    assert_eq!(shown.body["status"], "completed");
    assert_eq!(shown.body["completedAt"], "2026-11-23T12:00:30.000Z");
    let anew = stack.call_at(delete(), later).await;
    assert_eq!(anew.body["status"], "running");
    assert_eq!(anew.body["requestedAt"], "2026-11-23T12:00:30.000Z");
}

#[tokio::test]
async fn from_the_202_to_the_end_no_command_is_admitted_not_even_again() {
    let stack = Stack::connected().await;
    let sync = || post(COMMANDS).body(json!({"type": "sync"}));
    let keyed = || sync().header("idempotency-key", "before");
    let before = stack.call(keyed()).await;
    assert_eq!(before.status, 202);
    assert_eq!(stack.call(delete()).await.status, 202);
    let sent = stack.services.sent();
    let dismissal =
        json!({"type": "dismiss_finding", "findingId": "dependabot-7-1", "reason": "inaccurate"});
    for command in [sync(), keyed(), post(COMMANDS).body(dismissal)] {
        let answer = stack.call(command).await;
        assert_eq!(answer.problem(409), "OWNER_BEING_ERASED");
    }
    assert_eq!(stack.services.sent(), sent);

    let done = stack.app.erasures.complete(&owner(), NOON, NOON).await;
    assert!(done.expect("the table answers"));
    assert_eq!(
        stack.call(sync()).await.status,
        202,
        "the owner begins anew"
    );
}

#[tokio::test]
async fn an_erasure_survives_the_loss_of_its_message() {
    let stack = Stack::start().await;
    stack.services.queue(Queue::Refuses);
    let answer = stack.call(delete()).await;
    assert_eq!((answer.status, &answer.body), (202, &running()));
    assert_eq!(stack.services.sent(), []);
    assert_eq!(stack.call(get(ERASURE)).await.body, running());
}

#[tokio::test]
async fn only_a_personal_owner_can_be_erased_and_only_by_its_user() {
    let stack = Stack::start().await;
    let org = "6f1d1d3e-7a52-4c3b-9a55-0d0f3c1f7a10";
    let organisation = delete()
        .claims(json!({"sub": "auth0|5f7c", "orgs": [org]}))
        .owner(&format!("org:{org}"))
        .query(&format!("confirm=org:{org}"));
    assert_eq!(stack.call(organisation).await.problem(405), "NOT_ERASABLE");
    let foreign = delete().owner("user:somebody");
    assert_eq!(stack.call(foreign).await.problem(404), "NOT_FOUND");
    assert_eq!(stack.call(get(ERASURE)).await.problem(404), "NOT_FOUND");
    let theirs = get(ERASURE).claims(json!({"sub": "somebody"}));
    assert_eq!(stack.call(theirs).await.problem(404), "NOT_FOUND");
    assert_eq!(stack.services.sent(), []);
}

#[tokio::test]
async fn without_the_exact_confirmation_nothing_is_erased() {
    let stack = Stack::connected().await;
    for query in [
        "",
        "confirm=",
        "confirm=me",
        "confirm=true",
        "confirm=auth0%7C5f7c",
        "confirm=user:auth0%7C5f7d",
        "confirm=USER:auth0%7C5f7c",
        "confirm=user:auth0%7C5f7c%20",
        "confirm=user:auth0%7C5f7c&confirm=user:auth0%7C5f7c",
        "Confirm=user:auth0%7C5f7c",
    ] {
        let answer = stack.call(delete().query(query)).await;
        assert!(answer.invalid().contains(&"/query/confirm"), "{query}");
    }
    let unknown = delete().query("confirm=user:auth0%7C5f7c&force=1");
    assert_eq!(stack.call(unknown).await.invalid(), ["/query/force"]);
    assert_eq!(stack.call(get(ERASURE)).await.problem(404), "NOT_FOUND");
    assert_eq!(stack.services.sent(), []);
    let named = stack.call(delete().owner("user:auth0|5f7c")).await;
    assert_eq!((named.status, &named.body), (202, &running()));
}

#[tokio::test]
async fn an_erasure_needs_a_sign_in_of_the_last_ten_minutes() {
    let stack = Stack::connected().await;
    let at = |auth_time: Value| {
        let claims = json!({"sub": "auth0|5f7c", "auth_time": auth_time});
        delete().claims(claims)
    };
    let noon = NOON.as_seconds();
    for old in [
        json!((noon - 601).to_string()),
        json!(noon - 601),
        json!((noon + 61).to_string()),
        json!("never"),
        json!([noon]),
    ] {
        let answer = stack.call(at(old.clone())).await;
        assert_eq!(answer.problem(401), "SIGN_IN_TOO_OLD", "{old}");
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.contains("max_age=\"600\""), "{challenge}");
    }
    assert_eq!(stack.call(get(ERASURE)).await.problem(404), "NOT_FOUND");
    assert_eq!(stack.services.sent(), []);
    let fresh = stack.call(at(json!((noon - 600).to_string()))).await;
    assert_eq!((fresh.status, &fresh.body), (202, &running()));
}
