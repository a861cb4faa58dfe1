//! Commands about a finding: their bodies, their findings, and the calls that an admission makes.

use std::time::Duration;

use domain::finding::{Finding, FindingStatus, Severity};
use runtime::queue::Message;
use serde_json::{Value, json};

use crate::support::{Call, NOON, Stack, get, github::finding, owner, post};

const COMMANDS: &str = "/v1/owners/{owner}/commands";
const FINDING: &str = "dependabot-7-42";

/// An open finding with this alert number.
fn open(number: u32) -> Finding {
    let repository = (7, "octo/app");
    finding(
        repository,
        number,
        Severity::High,
        FindingStatus::Open,
        NOON,
    )
}

async fn stack() -> Stack {
    let stack = Stack::start().await;
    stack.store(vec![open(42)]).await;
    stack
}

fn command(body: Value) -> Call {
    post(COMMANDS).body(body)
}

fn dismissal(change: Value) -> Value {
    let body = json!({"type": "dismiss_finding", "findingId": FINDING, "reason": "not_used"});
    changed(body, change)
}

fn analysis(change: Value) -> Value {
    changed(
        json!({"type": "start_analysis", "findingId": FINDING}),
        change,
    )
}

/// Returns the body with these members; the value `"absent"` removes a member.
fn changed(mut body: Value, change: Value) -> Value {
    let Value::Object(change) = change else {
        panic!("an object")
    };
    for (name, value) in change {
        if value == "absent" {
            body.as_object_mut().expect("an object").remove(&name);
        } else {
            body[name] = value;
        }
    }
    body
}

#[tokio::test]
async fn valid_commands_are_accepted() {
    let stack = stack().await;
    let text = "é".repeat(280);
    for body in [
        dismissal(json!({})),
        dismissal(json!({"comment": null})),
        dismissal(json!({"comment": text})),
        dismissal(json!({"reason": "tolerable_risk", "comment": "Only in tests."})),
        analysis(json!({})),
        analysis(json!({"model": null, "triageModel": null, "analysisModel": null})),
        analysis(json!({"model": "m".repeat(128), "triageModel": "t", "analysisModel": "a b"})),
        analysis(json!({"forceSandbox": true, "restartActive": false})),
        analysis(json!({"forceSandbox": null, "restartActive": null})),
    ] {
        let answer = stack.call(command(body.clone())).await;
        assert_eq!(answer.status, 202, "{body}: {}", answer.body);
        assert_eq!(answer.body["type"], body["type"]);
        assert_eq!(answer.body["findingId"], FINDING);
        assert_eq!(answer.body["origin"], "manual");
    }
}

#[tokio::test]
async fn invalid_commands_are_refused_with_every_error() {
    let stack = stack().await;
    let long = "x".repeat(281);
    let model = "m".repeat(129);
    for (body, pointers) in [
        (
            dismissal(json!({"findingId": "absent"})),
            vec!["/findingId"],
        ),
        (dismissal(json!({"findingId": null})), vec!["/findingId"]),
        (dismissal(json!({"findingId": 42})), vec!["/findingId"]),
        (
            dismissal(json!({"findingId": "x".repeat(257)})),
            vec!["/findingId"],
        ),
        (dismissal(json!({"reason": "absent"})), vec!["/reason"]),
        (dismissal(json!({"reason": "because"})), vec!["/reason"]),
        (dismissal(json!({"reason": null})), vec!["/reason"]),
        (dismissal(json!({"comment": long})), vec!["/comment"]),
        (dismissal(json!({"comment": 1})), vec!["/comment"]),
        (dismissal(json!({"model": "m"})), vec!["/model"]),
        (
            dismissal(json!({"origin": "auto_dismiss"})),
            vec!["/origin"],
        ),
        (
            dismissal(json!({"findingId": "absent", "reason": 1, "comment": long, "a/b": 1})),
            vec!["/a~1b", "/comment", "/findingId", "/reason"],
        ),
        (analysis(json!({"findingId": "absent"})), vec!["/findingId"]),
        (analysis(json!({"reason": "not_used"})), vec!["/reason"]),
        (analysis(json!({"model": ""})), vec!["/model"]),
        (
            analysis(json!({"triageModel": model})),
            vec!["/triageModel"],
        ),
        (
            analysis(json!({"analysisModel": "a\nb"})),
            vec!["/analysisModel"],
        ),
        (
            analysis(json!({"forceSandbox": "yes"})),
            vec!["/forceSandbox"],
        ),
        (
            analysis(json!({"restartActive": 1})),
            vec!["/restartActive"],
        ),
        (analysis(json!({"origin": "manual"})), vec!["/origin"]),
    ] {
        let answer = stack.call(command(body.clone())).await;
        let mut found = answer.invalid();
        found.sort_unstable();
        assert_eq!(found, pointers, "{body}");
    }
    assert_eq!(stack.services.sent(), []);
    assert_eq!(stack.call(get(COMMANDS)).await.ids("commands"), [""; 0]);
}

#[tokio::test]
async fn a_command_about_an_unknown_finding_is_not_found_and_leaves_no_row() {
    let stack = stack().await;
    let theirs = json!({"sub": "somebody"});
    for body in [dismissal(json!({})), analysis(json!({}))] {
        for id in [
            "dependabot-7-43",
            "dependabot-8-42",
            "dependabot-7-0",
            "dependabot-7-042",
            "dependabot-7-42 ",
            "codescanning-7-42",
            "../findings",
            "",
            &"x".repeat(256),
        ] {
            let body = changed(body.clone(), json!({"findingId": id}));
            let answer = stack.call(command(body)).await;
            assert_eq!(answer.problem(404), "NOT_FOUND", "{id}");
        }
        let foreign = command(body.clone()).claims(theirs.clone());
        assert_eq!(stack.call(foreign).await.problem(404), "NOT_FOUND");
        let keyed = command(changed(body, json!({"findingId": "dependabot-7-43"})));
        let keyed = keyed.header("idempotency-key", "k-1");
        assert_eq!(stack.call(keyed).await.problem(404), "NOT_FOUND");
    }
    assert_eq!(stack.services.sent(), []);
    for call in [get(COMMANDS), get(COMMANDS).claims(theirs)] {
        assert_eq!(stack.call(call).await.ids("commands"), [""; 0]);
    }
    let free = command(dismissal(json!({}))).header("idempotency-key", "k-1");
    assert_eq!(stack.call(free).await.status, 202, "the key is unused");
}

#[tokio::test]
async fn each_type_has_its_queue_and_costs_one_read_one_write_and_one_message() {
    let stack = stack().await;
    for (body, queue) in [
        (dismissal(json!({"comment": "Only in tests."})), "dismiss"),
        (analysis(json!({})), "analyse"),
    ] {
        stack.calls.take();
        let sent = stack.services.sent_to().len();
        let answer = stack.call(command(body)).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert_eq!(stack.calls.take(), ["BatchGetItem", "PutItem"]);
        let all = stack.services.sent_to();
        let [(name, message)] = &all[sent..] else {
            panic!("one message: {all:?}")
        };
        assert_eq!(name, queue);
        let Message::Command { key, .. } = message else {
            panic!("a command's message: {message:?}")
        };
        assert_eq!(
            (&key.owner, json!(key.id)),
            (&owner(), answer.body["id"].clone())
        );
        let words = message.body();
        assert!(
            !words.contains("Only in tests"),
            "a message carries ids only: {words}"
        );
    }
}

#[tokio::test]
async fn an_idempotency_key_is_bound_to_all_fields_of_its_request() {
    let stack = stack().await;
    let keyed = |body| command(body).header("idempotency-key", "k-1");
    let first = stack.call(keyed(dismissal(json!({"comment": "a"})))).await;
    let again = keyed(dismissal(json!({"comment": "a"})));
    let again = stack.call_at(again, NOON + Duration::from_secs(5)).await;
    assert_eq!((again.status, &again.body["id"]), (202, &first.body["id"]));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    for other in [
        dismissal(json!({"comment": "b"})),
        dismissal(json!({})),
        dismissal(json!({"comment": "a", "reason": "inaccurate"})),
        analysis(json!({})),
    ] {
        let answer = stack.call(keyed(other)).await;
        assert_eq!(answer.problem(422), "IDEMPOTENCY_KEY_REUSED");
    }
    assert_eq!(stack.services.sent().len(), 1);
}
