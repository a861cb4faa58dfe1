//! `/v1/callbacks/analysis`: who may send a callback, what is stored, and when it is acknowledged.

use std::time::Duration;

use agent::callback_token::CallbackToken;
use domain::{
    Timestamp,
    analysis::{Analysis, BegunBy},
    command::CommandId,
    finding::{Finding, FindingStatus, Severity},
};
use runtime::queue::Message;
use serde_json::{Value, json};
use store::{
    analyses::{Beginning, Begun},
    table::Writes,
};

use crate::support::{Answer, Call, NOON, Queue, Stack, github::finding, owner, post};

const CALL_BACK: &str = "/v1/callbacks/analysis";

/// A stack with a finding whose analysis is in flight.
struct Scene {
    stack: Stack,
    finding: Finding,
    attempt: CommandId,
}

impl Scene {
    async fn set() -> Self {
        let stack = Stack::start().await;
        let open = FindingStatus::Open;
        let finding = finding((7, "octo/app"), 42, Severity::High, open, NOON);
        stack.store(vec![finding.clone()]).await;
        let attempt = CommandId::new(NOON);
        let seen = stack.app.findings.read(&owner(), finding.id).await;
        let seen = seen.expect("the table answers").expect("it is there");
        let beginning = Beginning {
            attempt,
            begun_by: BegunBy::Request,
        };
        let (owner, none) = (owner(), Writes::default());
        let begun = stack
            .app
            .analyses
            .begin(&owner, &seen, beginning, none, NOON);
        let begun = begun.await.expect("the table answers");
        assert!(matches!(begun, Begun::Taken(_)), "{begun:?}");
        Self {
            stack,
            finding,
            attempt,
        }
    }

    fn capability(&self) -> CallbackToken {
        CallbackToken {
            owner: owner(),
            finding: self.finding.id,
            attempt: self.attempt,
            expires_at: NOON + Duration::from_secs(3_600),
        }
    }

    async fn token(&self, capability: &CallbackToken) -> String {
        let signed = self.stack.app.callback_tokens.sign(capability, NOON).await;
        signed.expect("the keys are there").expose().to_owned()
    }

    /// Sends a callback with a valid token.
    async fn call(&self, body: Value) -> Answer {
        let token = self.token(&self.capability()).await;
        self.stack.call(bearing(&token, body)).await
    }

    async fn analysis(&self) -> Analysis {
        let owner = owner();
        let read = self.stack.app.findings.read(&owner, self.finding.id);
        let read = read.await.expect("the table answers");
        let analysis = read.expect("it is there").analysis;
        analysis.expect("it was begun")
    }

    fn message(&self) -> Message {
        Message::Callback {
            owner: owner(),
            finding: self.finding.id,
            attempt: self.attempt,
        }
    }
}

fn bearing(token: &str, body: Value) -> Call {
    let mut call = post(CALL_BACK).body(body);
    call.event["requestContext"]["authorizer"] = Value::Null;
    call.header("authorization", &format!("Bearer {token}"))
}

fn failed(session: &str) -> Value {
    json!({
        "cloudAgentSessionId": session, "status": "failed", "result": null,
        "error": {"code": "SANDBOX_LOST", "message": "for nobody"},
    })
}

fn completed() -> Value {
    json!({
        "cloudAgentSessionId": "ses-1", "status": "completed", "error": null,
        "result": {
            "exploitability": "not_exploitable", "reasoning": "It is not called.",
            "usageLocations": [{"path": "src/a.js"}], "suggestedFix": null, "suggestedAction": "dismiss",
            "confidence": "high", "summary": "Not used.",
        },
    })
}

#[tokio::test]
async fn a_callback_is_stored_and_queued_before_it_is_acknowledged() {
    for body in [completed(), failed("ses-1")] {
        let scene = Scene::set().await;
        scene.stack.calls.take();
        let answer = scene.call(body.clone()).await;
        assert_eq!((answer.status, &answer.body), (202, &Value::Null));
        assert_eq!(scene.stack.calls.take(), ["UpdateItem"]);
        let expected = ("callback".to_owned(), scene.message());
        assert_eq!(
            scene.stack.services.sent_to(),
            std::slice::from_ref(&expected)
        );
        let kept = scene.analysis().await;
        assert!(kept.called_back.is_some() && kept.status.in_flight());

        let again = scene.call(body).await;
        assert_eq!(again.status, 202);
        let repeated = [expected.clone(), expected];
        assert_eq!(
            scene.stack.services.sent_to(),
            repeated,
            "due again, because its message may be lost"
        );
        assert_eq!(scene.analysis().await, kept);
    }
}

#[tokio::test]
async fn a_callback_with_an_invalid_token_changes_nothing() {
    let scene = Scene::set().await;
    let right = scene.capability();
    let token = scene.token(&right).await;
    let expired = CallbackToken {
        expires_at: NOON,
        ..right
    };
    let expired = scene.token(&expired).await;
    let (head, signature) = token.rsplit_once('.').expect("three parts");
    let other = |signature: &str| if signature.starts_with('A') { "B" } else { "A" };
    let altered = format!("{head}.{}{}", other(signature), &signature[1..]);
    let before = scene.analysis().await;
    let without = post(CALL_BACK).body(failed("ses-1"));
    let basic = bearing("", failed("ses-1")).header("authorization", &format!("Basic {token}"));
    let mut refused = vec![without, basic];
    for token in [
        "",
        "x",
        "a.b.c",
        head,
        &altered,
        &expired,
        &format!("{token} "),
    ] {
        refused.push(bearing(token, failed("ses-1")));
        // The token is checked before anything else.
        refused.push(bearing(token, json!([])));
    }
    scene.stack.calls.take();
    for call in refused {
        let event = call.event["headers"]["authorization"].to_string();
        let answer = scene.stack.call(call).await;
        assert_eq!(answer.problem(401), "CALLBACK_NOT_ALLOWED", "{event}");
    }
    assert_eq!(scene.stack.calls.take(), [""; 0]);
    let late: Timestamp = NOON + Duration::from_secs(3_600);
    let late = scene
        .stack
        .call_at(bearing(&token, failed("ses-1")), late)
        .await;
    assert_eq!(late.problem(401), "CALLBACK_NOT_ALLOWED");
    assert_eq!(scene.analysis().await, before);
    assert_eq!(scene.stack.services.sent(), []);
}

#[tokio::test]
async fn a_refused_callback_lists_every_error() {
    let scene = Scene::set().await;
    let mut without = completed();
    without["result"] = Value::Null;
    let mut half = completed();
    half["result"]
        .as_object_mut()
        .expect("an object")
        .remove("summary");
    half["result"]["confidence"] = "certain".into();
    let mut unknown = failed("ses-1");
    unknown["mood"] = "good".into();
    let mut session = failed("..");
    session["status"] = "cancelled".into();
    for (body, pointers) in [
        (json!({}), vec!["/cloudAgentSessionId", "/status"]),
        (without, vec!["/result"]),
        (unknown, vec!["/mood"]),
        (session, vec!["/cloudAgentSessionId", "/status"]),
    ] {
        let answer = scene.call(body.clone()).await;
        let mut found = answer.invalid();
        found.sort_unstable();
        assert_eq!(found, pointers, "{body}");
    }
    let answer = scene.call(half).await;
    let found = answer.invalid();
    for pointer in ["/result/summary", "/result/confidence"] {
        assert!(found.contains(&pointer), "{pointer} in {found:?}");
    }
    assert_eq!(scene.analysis().await.called_back, None);
    assert_eq!(scene.stack.services.sent(), []);
}

#[tokio::test]
async fn a_stale_callback_is_acknowledged_and_changes_nothing() {
    let scene = Scene::set().await;
    let right = scene.capability();
    let before = scene.analysis().await;
    for stale in [
        CallbackToken {
            attempt: CommandId::new(NOON),
            ..right.clone()
        },
        CallbackToken {
            owner: "user:somebody".parse().expect("an owner"),
            ..right.clone()
        },
    ] {
        let token = scene.token(&stale).await;
        let answer = scene.stack.call(bearing(&token, failed("ses-1"))).await;
        assert_eq!((answer.status, &answer.body), (202, &Value::Null));
    }
    assert_eq!(scene.analysis().await, before);
    assert_eq!(scene.stack.services.sent(), []);

    assert_eq!(scene.call(failed("ses-1")).await.status, 202);
    let kept = scene.analysis().await;
    for second in [completed(), failed("ses-2")] {
        assert_eq!(scene.call(second).await.status, 202);
    }
    assert_eq!(scene.analysis().await, kept, "the first one counts");
    assert_eq!(scene.stack.services.sent(), [scene.message()]);
}

#[tokio::test]
async fn a_callback_is_acknowledged_only_once_it_is_queued() {
    let scene = Scene::set().await;
    scene.stack.services.queue(Queue::Refuses);
    let refused = scene.call(completed()).await;
    assert_eq!(refused.problem(503), "CALLBACK_NOT_QUEUED");
    assert_eq!(scene.stack.services.sent(), []);
    let kept = scene.analysis().await;
    assert!(
        kept.called_back.is_some(),
        "stored, so the reconciler can queue it if the agent does not retry"
    );
    scene.stack.services.queue(Queue::Takes);
    assert_eq!(scene.call(completed()).await.status, 202);
    assert_eq!(scene.stack.services.sent(), [scene.message()]);
    assert_eq!(scene.analysis().await, kept);
}

#[tokio::test]
async fn the_scheme_of_a_callbacks_token_is_read_in_any_case() {
    for scheme in ["bearer", "BEARER"] {
        let scene = Scene::set().await;
        let token = scene.token(&scene.capability()).await;
        let call =
            bearing(&token, completed()).header("authorization", &format!("{scheme} {token}"));
        assert_eq!(scene.stack.call(call).await.status, 202, "{scheme}");
    }
}

#[tokio::test]
async fn a_callback_means_one_thing_only() {
    let scene = Scene::set().await;
    let token = scene.token(&scene.capability()).await;
    let before = scene.analysis().await;
    let text = completed().to_string();
    let twice = text.replacen("\"status\"", "\"status\":\"failed\",\"status\"", 1);
    let deep = text.replacen("\"summary\"", "\"summary\":\"x\",\"summary\"", 1);
    let gzip = bearing(&token, completed()).header("content-encoding", "gzip");
    let twice = bearing(&token, json!({})).text(&twice);
    let deep = bearing(&token, json!({})).text(&deep);
    for call in [twice, deep, gzip] {
        let answer = scene.stack.call(call).await;
        assert_eq!(answer.problem(400), "MALFORMED_BODY");
    }
    let mut word = completed();
    word["status"] = json!({"completed": null});
    word["result"]["confidence"] = json!({"high": null});
    let answer = scene.stack.call(bearing(&token, word)).await;
    assert_eq!(answer.invalid(), ["/status", "/result/confidence"]);
    assert_eq!(scene.analysis().await, before);
    assert_eq!(scene.stack.services.sent(), []);
}
