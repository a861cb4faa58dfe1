//! The proxy between functions and AWS: its counters and its faults.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{TestStack, is_alive};

async fn set(stack: &TestStack, fault: &Value) {
    let answer = stack.post("/local/aws/faults", fault).await;
    assert_eq!(answer.status(), StatusCode::CREATED, "{fault}");
}

async fn stored(stack: &TestStack) -> u64 {
    stack.queue("IdleQueue").await["visible"]
        .as_u64()
        .expect("a number")
}

async fn sent(stack: &TestStack) -> Value {
    stack.json("/local/aws/requests").await["sqs"]["SendMessage"]["requests"].clone()
}

#[tokio::test]
async fn calls_and_capacity_are_counted_without_the_functions_noticing() {
    let stack = TestStack::started().await;
    let found = stack.order("query").await.expect("the table is there");
    assert_eq!(found, json!({"count": 0, "told": false}));
    stack.order("send").await.expect("the queue is there");
    let usage = stack.json("/local/aws/requests").await;
    let services = json!({
        "dynamodb": {"Query": {"requests": 1, "readUnits": 0.5, "writeUnits": 0.0}},
        "sqs": {"SendMessage": {"requests": 1}},
    });
    assert_eq!(usage["dynamodb"], services["dynamodb"]);
    assert_eq!(usage["functions"]["probe"], services);
    stack.delete("/local/aws/requests").await;
    let usage = stack.json("/local/aws/requests").await;
    assert_eq!(usage, json!({"dynamodb": {}, "sqs": {}, "functions": {}}));
    stack.stack.stop().await;
}

#[tokio::test]
async fn an_error_is_answered_instead_of_performing_the_call() {
    let stack = TestStack::started().await;
    let fault = json!({"service": "sqs", "operation": "SendMessage", "effect": "error", "status": 403, "code": "AccessDenied"});
    set(&stack, &fault).await;
    let error = stack.order("send").await.expect_err("the call is refused");
    assert!(error.to_string().contains("AccessDenied"), "{error}");
    assert_eq!(stored(&stack).await, 0);
    stack.delete("/local/aws/faults").await;
    stack.order("send").await.expect("the fault is gone");
    stack.stack.stop().await;
}

#[tokio::test]
async fn an_error_of_dynamodb_carries_its_code() {
    let stack = TestStack::started().await;
    // A code that the SDK does not retry: its backoff would sometimes exceed the probe's timeout of two seconds.
    let fault = json!({"service": "dynamodb", "operation": "*", "effect": "error", "status": 400, "code": "AccessDeniedException"});
    set(&stack, &fault).await;
    let error = stack
        .order("describe")
        .await
        .expect_err("the call is refused");
    assert!(
        error.to_string().contains("AccessDeniedException"),
        "{error}"
    );
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_lost_answer_makes_the_sdk_retry() {
    let stack = TestStack::started().await;
    let fault = json!({"service": "sqs", "operation": "SendMessage", "effect": "drop_response", "times": 1});
    set(&stack, &fault).await;
    stack.order("send").await.expect("the retry is answered");
    assert_eq!((stored(&stack).await, sent(&stack).await), (2, json!(2)));
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_delayed_call_is_still_performed() {
    let stack = TestStack::started().await;
    let fault = json!({"service": "sqs", "operation": "SendMessage", "effect": "delay", "delayMs": 300, "times": 1});
    set(&stack, &fault).await;
    let before = std::time::Instant::now();
    stack.order("send").await.expect("the call is only delayed");
    assert!(before.elapsed().as_millis() >= 300);
    assert_eq!(stored(&stack).await, 1);
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_process_is_killed_before_or_after_its_call() {
    for (effect, messages) in [("kill_before", 0), ("kill_after", 1)] {
        let stack = TestStack::started().await;
        let before = stack.pids().await;
        set(
            &stack,
            &json!({"service": "sqs", "operation": "SendMessage", "effect": effect, "times": 1}),
        )
        .await;
        let error = stack
            .order("send")
            .await
            .expect_err("its process is killed");
        assert_eq!(error["errorType"], "Runtime.ExitError", "{effect}");
        assert!(!before.iter().any(|pid| is_alive(*pid)), "{effect}");
        assert_eq!(stored(&stack).await, messages, "{effect}");
        stack.order("send").await.expect("another process sends");
        stack.stack.stop().await;
    }
}

#[tokio::test]
async fn a_fault_hits_only_matching_calls() {
    let stack = TestStack::started().await;
    for fault in [
        json!({"service": "sqs", "operation": "SendMessage", "effect": "error", "status": 400, "function": "other"}),
        json!({"service": "sqs", "operation": "SendMessage", "effect": "error", "status": 400, "contains": "no such text"}),
        json!({"service": "sqs", "operation": "DeleteMessage", "effect": "error", "status": 400}),
        json!({"service": "dynamodb", "operation": "SendMessage", "effect": "error", "status": 400}),
    ] {
        set(&stack, &fault).await;
    }
    stack.order("send").await.expect("no fault matches");
    let fault = json!({"service": "sqs", "operation": "SendMessage", "effect": "error", "status": 400, "code": "Nope",
        "function": "probe", "contains": "IdleQueue", "after": 1, "times": 1});
    set(&stack, &fault).await;
    stack.order("send").await.expect("the first call passes");
    stack
        .order("send")
        .await
        .expect_err("the second call fails");
    stack.order("send").await.expect("the fault is used up");
    stack.stack.stop().await;
}

#[tokio::test]
async fn an_invalid_fault_is_refused() {
    let stack = TestStack::started().await;
    for fault in [
        json!({"service": "s3", "operation": "*", "effect": "error"}),
        json!({"service": "sqs", "operation": "*", "effect": "explode"}),
        json!({"service": "sqs", "operation": "*", "effect": "error", "status": 200}),
        json!({"service": "sqs", "operation": "*", "effect": "error", "typo": 1}),
    ] {
        let answer = stack.post("/local/aws/faults", &fault).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{fault}");
    }
    stack.stack.stop().await;
}
