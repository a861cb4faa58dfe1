//! Faults of each kind, at each operation.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::receiver::Receiver;
use crate::server::{FOR_GOOD, Server, answers, body};

#[tokio::test]
async fn a_fault_hits_the_given_number_of_matching_calls() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::open(None, FOR_GOOD).await;
    let body = body(&receiver.target());
    let spared = server.launch("attempt-1", &body).await;
    server
        .fault(json!({
            "operation": "create_session", "status": 503, "headers": {"Retry-After": "7"},
            "body": {"error": {"code": "TIRED"}}, "times": 2, "after": 1,
        }))
        .await;

    assert_eq!(
        server.interrupt(spared.id()).await.status,
        204,
        "another operation"
    );
    assert_eq!(
        server.launch("attempt-1", &body).await.status,
        201,
        "spared"
    );
    let struck = server.launch("attempt-2", &body).await;
    assert_eq!((struck.status, struck.header("retry-after")), (503, "7"));
    assert_eq!(struck.body, json!({"error": {"code": "TIRED"}}));
    assert_eq!(server.launch("attempt-2", &body).await.status, 503);
    assert_eq!(server.sessions().await.len(), 1, "not performed");
    let launched = server.launch("attempt-2", &body).await;
    assert_eq!(launched.status, 201, "exhausted");
    assert_eq!(server.session(launched.id()).await["requests"], 3);
}

#[tokio::test]
async fn a_fault_without_times_lasts_until_it_is_cleared() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::open(None, FOR_GOOD).await;
    let body = body(&receiver.target());
    let session = server.launch("attempt-1", &body).await;
    server.fault(json!({"operation": "*", "status": 402})).await;
    for _ in 0..2 {
        let struck = server.launch("attempt-1", &body).await;
        assert_eq!(struck.status, 402);
        assert_eq!(
            struck.body,
            json!({"error": {"code": "SIMULATED_FAULT", "message": "Simulated: Payment Required."}})
        );
        assert_eq!(server.interrupt(session.id()).await.status, 402);
    }
    server.clear_faults().await;
    assert_eq!(server.launch("attempt-1", &body).await.status, 201);
    assert_eq!(server.session(session.id()).await["status"], "running");
}

#[tokio::test]
async fn a_fault_can_perform_a_launch_and_replace_or_lose_its_answer() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::open(None, FOR_GOOD).await;
    let body = body(&receiver.target());
    server
        .fault(json!({"operation": "create_session", "status": 502, "apply": true, "times": 1}))
        .await;
    server
        .fault(json!({"operation": "create_session", "effect": "drop_response", "times": 1}))
        .await;

    assert_eq!(server.launch("attempt-1", &body).await.status, 502);
    let sessions = server.sessions().await;
    let id = sessions[0]["cloudAgentSessionId"]
        .as_str()
        .expect("a session");
    let lost = server.launching("attempt-2", &body).send().await;
    assert!(lost.is_err(), "not even a status arrives: {lost:?}");
    assert_eq!(server.sessions().await.len(), 2);
    assert_eq!(server.launch("attempt-1", &body).await.id(), id);

    server
        .fault(json!({"operation": "interrupt_session", "status": 504, "apply": true}))
        .await;
    assert_eq!(server.interrupt(id).await.status, 504);
    assert_eq!(server.session(id).await["status"], "interrupted");
}

#[tokio::test]
async fn a_delayed_call_is_performed_even_if_the_caller_hangs_up() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::open(None, FOR_GOOD).await;
    let body = body(&receiver.target());
    server
        .fault(json!({"operation": "create_session", "delayMs": 300, "times": 1}))
        .await;
    let hasty = server
        .launching("attempt-1", &body)
        .timeout(Duration::from_millis(50));
    assert!(hasty.send().await.expect_err("too slow").is_timeout());
    crate::server::eventually("the session", async {
        while server.sessions().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_status_fault_answers_the_callback_without_making_it() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::start().await;
    let body = body(&receiver.target());
    server
        .fault(json!({"operation": "callback", "status": 503, "times": 1}))
        .await;
    let reply = server.launch("attempt-1", &body).await;
    let session = server.settled(reply.id()).await;
    assert_eq!(
        answers(&session),
        [("completed", Some(503)), ("completed", Some(202))]
    );
    assert_eq!(receiver.all().len(), 1);

    for status in [401, 202] {
        server
            .fault(json!({"operation": "callback", "status": status, "times": 1}))
            .await;
        let reply = server.launch(&format!("attempt-{status}"), &body).await;
        let session = server.settled(reply.id()).await;
        assert_eq!(answers(&session), [("completed", Some(status))]);
        assert_eq!(receiver.all().len(), 1, "the callback is not made");
    }
}

#[tokio::test]
async fn a_fault_can_make_a_callback_and_replace_or_lose_its_answer() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::start().await;
    server
        .fault(json!({"operation": "callback", "status": 500, "apply": true, "times": 1}))
        .await;
    server
        .fault(json!({"operation": "callback", "effect": "drop_response", "times": 1}))
        .await;
    let reply = server.launch("attempt-1", &body(&receiver.target())).await;
    let session = server.settled(reply.id()).await;
    let expected = [Some(500), None, Some(202)].map(|answer| ("completed", answer));
    assert_eq!(answers(&session), expected);
    assert_eq!(receiver.all().len(), 3);
}

#[tokio::test]
async fn a_callback_can_be_made_late_or_twice() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::start().await;
    server
        .fault(json!({"operation": "callback", "delayMs": 200, "effect": "duplicate", "times": 1}))
        .await;
    let start = Instant::now();
    let reply = server.launch("attempt-1", &body(&receiver.target())).await;
    let session = server.settled(reply.id()).await;
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(answers(&session), [("completed", Some(202)); 2]);
    let received = receiver.all();
    assert_eq!((received.len(), &received[0].text), (2, &received[1].text));
}

#[tokio::test]
async fn a_held_callback_waits_until_the_faults_are_cleared() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::start().await;
    let body = body(&receiver.target());
    server
        .fault(json!({"operation": "callback", "effect": "hold", "times": 1}))
        .await;
    let held = server.launch("attempt-1", &body).await;
    // It is a race which of the two callbacks meets the fault, but exactly one does.
    let free = server.launch("attempt-2", &body).await;
    receiver.wait_for(1).await;
    let sessions = [
        server.session(held.id()).await,
        server.session(free.id()).await,
    ];
    let running = sessions
        .iter()
        .filter(|session| session["callbacks"] == json!([]));
    assert_eq!(running.count(), 1);

    server.clear_faults().await;
    for reply in [held, free] {
        let session = server.settled(reply.id()).await;
        assert_eq!(answers(&session), [("completed", Some(202))]);
    }
}

#[tokio::test]
async fn a_session_whose_callback_is_held_can_be_interrupted() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::start().await;
    server
        .fault(json!({"operation": "callback", "effect": "hold"}))
        .await;
    let reply = server.launch("attempt-1", &body(&receiver.target())).await;
    assert_eq!(server.interrupt(reply.id()).await.status, 204);
    let session = server.session(reply.id()).await;
    assert_eq!(
        (&session["status"], &session["settled"]),
        (&json!("interrupted"), &json!(false))
    );

    server.clear_faults().await;
    let session = server.settled(reply.id()).await;
    assert_eq!(answers(&session), [("interrupted", Some(202))]);
}

#[tokio::test]
async fn an_invalid_fault_names_its_field_and_registers_nothing() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::open(None, FOR_GOOD).await;
    for (fault, pointer) in [
        (json!({"operation": "*", "status": 42}), "/status"),
        (
            json!({"operation": "*", "status": 503, "colour": "red"}),
            "/colour",
        ),
    ] {
        let refused = server.local(Method::POST, "/faults", &fault).await;
        assert_eq!(
            (refused.status, refused.header("content-type")),
            (400, "application/problem+json")
        );
        assert_eq!(refused.body["errors"][0]["pointer"], pointer);
    }
    let launched = server.launch("attempt-1", &body(&receiver.target())).await;
    assert_eq!(launched.status, 201);
}
