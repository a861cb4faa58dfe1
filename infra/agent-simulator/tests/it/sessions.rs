//! Launches and interruptions.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::server::{FOR_GOOD, Server, TOKEN, answers, body};

#[tokio::test]
async fn a_launch_is_answered_with_two_ids_and_is_listed() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::open(None, FOR_GOOD).await;
    let first = server.launch("attempt-1", &body(&receiver.target())).await;
    assert_eq!(
        (first.status, first.header("server")),
        (201, "agent-simulator")
    );
    let second = server.launch("attempt-2", &body(&receiver.target())).await;
    let ids: HashSet<&str> = [&first, &second]
        .into_iter()
        .flat_map(|reply| ["cloudAgentSessionId", "cliSessionId"].map(|id| &reply.body[id]))
        .map(|id| id.as_str().expect("an id"))
        .collect();
    assert_eq!(ids.len(), 4);

    let mut listed = server.sessions().await;
    assert_eq!(
        listed[1]["cloudAgentSessionId"],
        second.id(),
        "oldest first"
    );
    let created_at = listed[0]["createdAt"].take();
    let created_at = created_at.as_str().expect("a time");
    assert_eq!(
        created_at.len(),
        "2026-01-01T00:00:00.000Z".len(),
        "{created_at}"
    );
    assert_eq!(
        listed[0],
        json!({
            "cloudAgentSessionId": first.body["cloudAgentSessionId"],
            "cliSessionId": first.body["cliSessionId"],
            "idempotencyKey": "attempt-1",
            "repository": "octo/app",
            "findingId": "700000001-42",
            "model": "large",
            "triageModel": "small",
            "mode": "auto",
            "status": "running",
            "settled": false,
            "createdAt": null,
            "requests": 1,
            "callbacks": [],
            "githubTokenGiven": true,
        })
    );
}

#[tokio::test]
async fn one_key_is_one_session_for_any_body_and_in_any_state() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::open(None, FOR_GOOD).await;
    let first = server.launch("attempt-1", &body(&receiver.target())).await;
    let again = server.launch("attempt-1", &json!("anything")).await;
    assert_eq!((again.status, &again.body), (201, &first.body));

    assert_eq!(server.interrupt(first.id()).await.status, 204);
    server.settled(first.id()).await;
    let after = server.launch("attempt-1", &body(&receiver.target())).await;
    assert_eq!((after.status, &after.body), (201, &first.body));
    let sessions = server.sessions().await;
    assert_eq!((sessions.len(), &sessions[0]["requests"]), (1, &json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_launches_with_one_key_create_one_session() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::start().await;
    let body = body(&receiver.target());
    let launches = (0..16).map(|_| server.launch("attempt-1", &body));
    let replies = futures::future::join_all(launches).await;
    for reply in &replies {
        assert_eq!((reply.status, &reply.body), (201, &replies[0].body));
    }
    let session = server.settled(replies[0].id()).await;
    assert_eq!(session["requests"], 16);
    assert_eq!(answers(&session), [("completed", Some(202))]);
    assert_eq!(
        (server.sessions().await.len(), receiver.all().len()),
        (1, 1)
    );
}

#[tokio::test]
async fn only_the_right_token_is_accepted() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::open(None, FOR_GOOD).await;
    let body = body(&receiver.target());
    let id = server.launch("attempt-1", &body).await.id().to_owned();
    for authorization in [
        None,
        Some("Bearer wrong".to_owned()),
        Some(format!("Bearer {TOKEN}x")),
        Some(format!("Basic {TOKEN}")),
        Some("Bearer".to_owned()),
        Some(TOKEN.to_owned()),
    ] {
        let launch = server.request(Method::POST, "/v1/sessions").json(&body);
        let interrupt = server.request(Method::DELETE, &format!("/v1/sessions/{id}"));
        for request in [launch.header("idempotency-key", "attempt-2"), interrupt] {
            let request = match &authorization {
                Some(value) => request.header("authorization", value),
                None => request,
            };
            let refused = server.send(request).await;
            assert_eq!((refused.status, code(&refused.body)), (401, "UNAUTHORIZED"));
            assert_eq!(refused.header("www-authenticate"), "Bearer");
            assert_eq!(refused.header("server"), "agent-simulator");
        }
    }
    let sessions = server.sessions().await;
    assert_eq!(
        (sessions.len(), &sessions[0]["status"]),
        (1, &json!("running"))
    );
}

#[tokio::test]
async fn an_invalid_launch_creates_no_session() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::start().await;
    let good = body(&receiver.target());
    let authorized = || {
        server
            .request(Method::POST, "/v1/sessions")
            .bearer_auth(TOKEN)
    };

    let no_key = server.send(authorized().json(&good)).await;
    assert_eq!(
        (no_key.status, code(&no_key.body)),
        (400, "IDEMPOTENCY_KEY_REQUIRED")
    );
    for key in [String::new(), "a key".to_owned(), "k".repeat(256)] {
        let refused = server.launch(&key, &good).await;
        assert_eq!(refused.status, 400, "{key}");
    }
    let keyed = || authorized().header("idempotency-key", "attempt-1");
    let no_json = server.send(keyed().body("{")).await;
    assert_eq!((no_json.status, code(&no_json.body)), (400, "INVALID_JSON"));
    let too_large = server.send(keyed().body(" ".repeat(1024 * 1024 + 1))).await;
    assert_eq!(
        (too_large.status, code(&too_large.body)),
        (413, "UNREADABLE_BODY")
    );
    let mut bad = good.clone();
    bad["callback"]["expiresAt"] = json!("tomorrow");
    let invalid = server.launch("attempt-1", &bad).await;
    assert_eq!(
        (invalid.status, code(&invalid.body)),
        (422, "INVALID_REQUEST")
    );
    assert_eq!(
        invalid.body["error"]["message"],
        "/callback/expiresAt must be an RFC 3339 time."
    );
    assert_eq!(server.sessions().await, [] as [Value; 0]);

    let accepted = server.launch("attempt-1", &good).await;
    assert_eq!(accepted.status, 201, "a refusal does not use up the key");
}

#[tokio::test]
async fn an_unknown_path_is_404_and_an_unknown_method_405() {
    let server = Server::start().await;
    for id in ["5", "00000000-0000-4000-8000-000000000000"] {
        let unknown = server.interrupt(id).await;
        assert_eq!((unknown.status, code(&unknown.body)), (404, "NOT_FOUND"));
    }
    let elsewhere = server.send(server.request(Method::GET, "/v2")).await;
    assert_eq!(
        (elsewhere.status, elsewhere.header("server")),
        (404, "agent-simulator")
    );
    let listing = server
        .send(server.request(Method::GET, "/v1/sessions"))
        .await;
    assert_eq!(
        (listing.status, listing.header("server")),
        (405, "agent-simulator")
    );
}

#[tokio::test]
async fn an_interrupted_session_reports_it_once_without_a_result() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::open(None, FOR_GOOD).await;
    let id = server.launch("attempt-1", &body(&receiver.target())).await;
    let id = id.id();
    assert_eq!(server.interrupt(id).await.status, 204);
    assert_eq!(
        server.session(id).await["status"],
        "interrupted",
        "immediately"
    );
    assert_eq!(server.interrupt(id).await.status, 204, "again");

    let session = server.settled(id).await;
    assert_eq!(session["status"], "interrupted");
    assert_eq!(answers(&session), [("interrupted", Some(202))]);
    let received = receiver.all();
    assert_eq!(received.len(), 1);
    assert_eq!(
        received[0].body,
        json!({
            "cloudAgentSessionId": id,
            "status": "interrupted",
            "result": null,
            "error": {
                "code": "INTERRUPTED",
                "message": "Simulated: the session was interrupted before it had a result.",
            },
        })
    );
}

#[tokio::test]
async fn an_ended_session_cannot_be_interrupted() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::open(None, Duration::ZERO).await;
    let reply = server.launch("attempt-1", &body(&receiver.target())).await;
    let ended = server.settled(reply.id()).await;
    assert_eq!(server.interrupt(reply.id()).await.status, 204);
    assert_eq!(server.session(reply.id()).await, ended);
    assert_eq!(receiver.all().len(), 1);
}

fn code(body: &Value) -> &str {
    body["error"]["code"].as_str().unwrap_or_default()
}
