//! Callbacks sent manually.

use reqwest::Method;
use serde_json::{Value, json};

use crate::receiver::{Answer, Receiver};
use crate::server::{FOR_GOOD, Server, TOKEN_TO_CALL_BACK, answers, body, listen};

async fn send(server: &Server, id: &str, text: &str) -> (u16, Value) {
    let request = server.request(
        Method::POST,
        &format!("/local/agent/sessions/{id}/callback"),
    );
    let reply = server.send(request.body(text.to_owned())).await;
    (reply.status, reply.body)
}

#[tokio::test]
async fn the_exact_body_is_sent_and_its_status_ends_the_session() {
    for status in ["completed", "failed", "interrupted"] {
        let receiver = Receiver::start(&[Answer::Status(409)]).await;
        let server = Server::open(None, FOR_GOOD).await;
        let reply = server.launch("attempt-1", &body(&receiver.target())).await;
        let text =
            format!("{{ \"status\" : \"{status}\", \"error\": {{\"code\":\"OUT_OF_LUCK\"}} }}");
        let sent = send(&server, reply.id(), &text).await;
        assert_eq!(sent, (200, json!({"answer": 409})));

        let received = receiver.all();
        assert_eq!((received.len(), &received[0].text), (1, &text));
        assert_eq!(
            received[0].authorization,
            format!("Bearer {TOKEN_TO_CALL_BACK}")
        );
        let session = server.session(reply.id()).await;
        assert_eq!(
            (&session["status"], &session["settled"]),
            (&json!(status), &json!(true))
        );
        assert_eq!(answers(&session), [(status, Some(409))]);
    }
}

#[tokio::test]
async fn a_body_without_an_end_does_not_change_the_session() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::open(None, FOR_GOOD).await;
    let reply = server.launch("attempt-1", &body(&receiver.target())).await;
    for text in ["{", "{}", "{\"status\":\"progressing\"}"] {
        let sent = send(&server, reply.id(), text).await;
        assert_eq!(sent, (200, json!({"answer": 202})));
    }
    let session = server.session(reply.id()).await;
    assert_eq!(session["status"], "running");
    assert_eq!(session["callbacks"][0]["status"], json!(null));
    assert_eq!(session["callbacks"][2]["status"], "progressing");
    assert_eq!(receiver.all()[0].text, "{");
}

#[tokio::test]
async fn a_replay_changes_nothing_for_a_session_that_ended() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::start().await;
    let reply = server.launch("attempt-1", &body(&receiver.target())).await;
    server.settled(reply.id()).await;
    let original = receiver.all()[0].text.clone();
    send(&server, reply.id(), &original).await;
    send(&server, reply.id(), "{\"status\":\"failed\"}").await;
    let session = server.session(reply.id()).await;
    assert_eq!(session["status"], "completed");
    let expected = ["completed", "completed", "failed"].map(|status| (status, Some(202)));
    assert_eq!(answers(&session), expected);
    assert_eq!(receiver.all()[1].text, original);
}

#[tokio::test]
async fn a_manual_end_replaces_the_owed_callback() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::start().await;
    let hold = json!({"operation": "callback", "effect": "hold"});
    server.fault(hold).await;
    let running = server.launch("attempt-1", &body(&receiver.target())).await;
    let interrupted = server.launch("attempt-2", &body(&receiver.target())).await;
    server.interrupt(interrupted.id()).await;
    for reply in [&running, &interrupted] {
        let sent = send(&server, reply.id(), "{\"status\":\"failed\"}").await;
        assert_eq!(sent, (200, json!({"answer": 202})), "not held");
    }
    server.clear_faults().await;
    // Clearing the faults would release the two owed callbacks, if they still existed, before this one.
    let later = server.launch("attempt-3", &body(&receiver.target())).await;
    server.settled(later.id()).await;
    assert_eq!(receiver.all().len(), 3);
    assert_eq!(server.session(running.id()).await["status"], "failed");
    assert_eq!(
        server.session(interrupted.id()).await["status"],
        "interrupted"
    );
}

#[tokio::test]
async fn a_missing_answer_is_null_and_an_unknown_session_404() {
    let (listener, base) = listen().await;
    drop(listener);
    let receiver = Receiver::start(&[]).await;
    let mut target = receiver.target();
    target["url"] = json!(base);
    let server = Server::open(None, FOR_GOOD).await;
    let reply = server.launch("attempt-1", &body(&target)).await;
    assert_eq!(
        send(&server, reply.id(), "{}").await,
        (200, json!({"answer": null}))
    );

    for id in ["5", "00000000-0000-4000-8000-000000000000"] {
        let (status, problem) = send(&server, id, "{}").await;
        assert_eq!((status, &problem["code"]), (404, &json!("NOT_FOUND")));
    }
}
