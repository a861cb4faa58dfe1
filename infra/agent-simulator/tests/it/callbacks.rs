//! Callbacks and their retries.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::receiver::{Answer, Receiver};
use crate::server::{Server, TOKEN_TO_CALL_BACK, answers, body, listen};

#[tokio::test]
async fn a_session_calls_back_after_the_pause_with_its_verdict() {
    let receiver = Receiver::start(&[]).await;
    let pause = Duration::from_millis(200);
    let server = Server::open(None, pause).await;
    let start = Instant::now();
    let reply = server.launch("attempt-1", &body(&receiver.target())).await;
    let received = receiver.wait_for(1).await;
    // Stored times have a resolution of one millisecond.
    assert!(
        start.elapsed() >= pause - Duration::from_millis(1),
        "{:?}",
        start.elapsed()
    );

    assert_eq!(
        received[0].authorization,
        format!("Bearer {TOKEN_TO_CALL_BACK}")
    );
    assert_eq!(received[0].content_type, "application/json");
    assert_eq!(
        received[0].body,
        json!({
            "cloudAgentSessionId": reply.id(),
            "status": "completed",
            "result": {
                "exploitability": "exploitable",
                "reasoning": "Simulated: lodash is needed at run time. The risk is severe (severity critical, \
                    CVSS 9.1) and 4.17.21 is the first version without it. An automatic analysis was asked for; \
                    no code was read.",
                "usageLocations": ["package-lock.json"],
                "suggestedFix": "Simulated: upgrade lodash to 4.17.21.",
                "suggestedAction": "open_pr",
                "confidence": "high",
                "summary": "Simulated: Prototype pollution (lodash) is exploitable.",
            },
            "error": null,
        })
    );
    let session = server.settled(reply.id()).await;
    assert_eq!(session["status"], "completed");
    assert_eq!(answers(&session), [("completed", Some(202))]);
}

#[tokio::test]
async fn a_callback_is_retried_until_it_is_accepted() {
    let receiver = Receiver::start(&[Answer::Status(503), Answer::Status(429)]).await;
    let server = Server::start().await;
    let start = Instant::now();
    let reply = server.launch("attempt-1", &body(&receiver.target())).await;
    let waiting = |session: &serde_json::Value| answers(session) == [("completed", Some(503))];
    let session = server.session_that(reply.id(), waiting).await;
    assert_eq!(
        session["status"], "running",
        "the result is not accepted yet"
    );

    let session = server.settled(reply.id()).await;
    let expected = [503, 429, 202].map(|answer| ("completed", Some(answer)));
    assert_eq!(answers(&session), expected);
    assert!(
        start.elapsed() >= Duration::from_millis(1500),
        "0.5 s, then 1 s"
    );
    let received = receiver.all();
    assert!(
        received
            .iter()
            .all(|callback| callback.text == received[0].text)
    );
}

#[tokio::test]
async fn a_callback_to_an_unreachable_receiver_is_retried() {
    let (listener, base) = listen().await;
    drop(listener);
    let receiver = Receiver::start(&[]).await;
    let mut target = receiver.target();
    target["url"] = json!(format!("{base}/v1/callbacks/analysis"));
    let server = Server::start().await;
    let reply = server.launch("attempt-1", &body(&target)).await;
    let session = server
        .session_that(reply.id(), |session| answers(session).len() >= 2)
        .await;
    assert_eq!(answers(&session)[0], ("completed", None));
    assert_eq!(session["status"], "running");
}

#[tokio::test]
async fn a_refused_callback_is_not_retried() {
    for refusal in [401, 400, 302] {
        let receiver = Receiver::start(&[Answer::Status(refusal)]).await;
        let server = Server::start().await;
        let reply = server.launch("attempt-1", &body(&receiver.target())).await;
        let session = server.settled(reply.id()).await;
        assert_eq!(session["status"], "completed");
        assert_eq!(answers(&session), [("completed", Some(u64::from(refusal)))]);
        assert_eq!(receiver.all().len(), 1);
    }
}

#[tokio::test]
async fn no_callback_is_made_after_its_expiry() {
    let receiver = Receiver::start(&[]).await;
    let server = Server::start().await;
    let mut target = receiver.target();
    target["expiresAt"] = json!("2020-01-01T00:00:00Z");
    let reply = server.launch("attempt-1", &body(&target)).await;
    let session = server.settled(reply.id()).await;
    assert_eq!(
        (
            session["callbacks"].as_array().map(Vec::len),
            receiver.all().len()
        ),
        (Some(0), 0)
    );

    let receiver = Receiver::start(&[Answer::Status(503)]).await;
    let mut target = receiver.target();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(400);
    target["expiresAt"] = json!(soon.to_string());
    let reply = server.launch("attempt-2", &body(&target)).await;
    let session = server.settled(reply.id()).await;
    assert_eq!(
        answers(&session),
        [("completed", Some(503))],
        "no time for a retry"
    );
}

#[tokio::test]
async fn interrupting_cancels_the_callback_in_progress() {
    let receiver = Receiver::start(&[Answer::Never]).await;
    let server = Server::start().await;
    let reply = server.launch("attempt-1", &body(&receiver.target())).await;
    receiver.wait_for(1).await;
    assert_eq!(server.interrupt(reply.id()).await.status, 204);
    let session = server.settled(reply.id()).await;
    assert_eq!(session["status"], "interrupted");
    assert_eq!(
        answers(&session),
        [("completed", None), ("interrupted", Some(202))]
    );
}

#[tokio::test]
async fn an_interruption_callback_is_retried_until_it_is_accepted() {
    let receiver = Receiver::start(&[Answer::Status(503)]).await;
    let server = Server::open(None, crate::server::FOR_GOOD).await;
    let reply = server.launch("attempt-1", &body(&receiver.target())).await;
    assert_eq!(server.interrupt(reply.id()).await.status, 204);
    let session = server.settled(reply.id()).await;
    let expected = [503, 202].map(|answer| ("interrupted", Some(answer)));
    assert_eq!(answers(&session), expected);
}
