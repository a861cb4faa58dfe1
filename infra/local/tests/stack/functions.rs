//! The processes of functions.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{TestStack, eventually, is_alive, start};

#[tokio::test]
async fn errors_and_panics_reach_the_caller_and_leave_the_process_alive() {
    let stack = TestStack::started().await;
    let before = stack.pids().await;
    let error = stack.order("fail").await.expect_err("it was told to fail");
    assert_eq!(error["errorMessage"], "told to fail");
    let panic = stack
        .order("panic")
        .await
        .expect_err("it was told to panic");
    assert!(panic.to_string().contains("told to panic"), "{panic}");
    stack
        .order("deadline")
        .await
        .expect("the process keeps running");
    assert_eq!(stack.pids().await, before);
    let status = stack.function().await;
    assert_eq!(
        (&status["invocations"], &status["errors"]),
        (&3.into(), &2.into())
    );
    stack.stack.stop().await;
}

#[tokio::test]
async fn an_invocation_past_the_timeout_is_killed_and_the_process_replaced() {
    let stack = TestStack::started().await;
    let before = stack.pids().await;
    let error = stack
        .order("sleep")
        .await
        .expect_err("the function exceeds its timeout");
    assert_eq!(error["errorType"], "Sandbox.Timedout");
    assert!(!before.iter().any(|pid| is_alive(*pid)));
    stack
        .order("deadline")
        .await
        .expect("another process answers");
    assert_ne!(stack.pids().await, before);
    assert_eq!(stack.function().await["timeouts"], 1);
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_process_that_exits_fails_only_its_own_invocation() {
    let stack = TestStack::started().await;
    let error = stack.order("exit").await.expect_err("it was told to exit");
    assert_eq!(error["errorType"], "Runtime.ExitError");
    assert!(error["errorMessage"].to_string().contains('7'), "{error}");
    stack
        .order("deadline")
        .await
        .expect("another process answers");
    stack.stack.stop().await;
}

#[tokio::test]
async fn the_deadline_is_the_functions_timeout_from_now() {
    let stack = TestStack::started().await;
    let now = jiff::Timestamp::now().as_millisecond();
    let deadline = stack.order("deadline").await.expect("the function answers");
    let left = deadline.as_i64().expect("milliseconds") - now;
    assert!((1_500..=12_000).contains(&left), "{left} ms");
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_function_that_cannot_start_fails_the_start_with_its_output() {
    let error = start(&["--parameter", "Mode=refuse"])
        .await
        .err()
        .expect("the probe refuses this mode");
    let text = local::chain(&error);
    assert!(
        text.contains("probe") && text.contains("PROBE_MODE must not be refuse"),
        "{text}"
    );
}

#[tokio::test]
async fn an_unknown_parameter_is_refused() {
    let error = start(&["--parameter", "Moode=x"])
        .await
        .err()
        .expect("the parameter does not exist");
    assert!(error.to_string().contains("Mode"), "{error}");
}

#[tokio::test]
async fn concurrent_invocations_run_in_separate_processes() {
    let stack = TestStack::started().await;
    let (first, second) = tokio::join!(stack.order("sleep"), async {
        eventually("the first one runs", || async {
            stack.function().await["invocations"] == 1
        })
        .await;
        stack.order("deadline").await
    });
    first.expect_err("the function exceeds its timeout");
    second.expect("the second does not wait for the first");
    stack.stack.stop().await;
}

/// Polls until the probe has this many invocations.
async fn runs(stack: &TestStack, invocations: u64) {
    eventually("the invocation runs", || async {
        stack.function().await["invocations"] == invocations
    })
    .await;
}

#[tokio::test]
async fn an_invocation_beyond_the_accounts_concurrency_is_throttled() {
    let stack = start(&["--concurrency=1"]).await.expect("the stack starts");
    let (busy, ()) = tokio::join!(stack.order("sleep"), async {
        runs(&stack, 1).await;
        let path = "/2015-03-31/functions/probe/invocations";
        let refused = stack.post(path, &json!({"do": "deadline"})).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        let error: Value = refused.json().await.expect("the body is JSON");
        assert_eq!(error["errorType"], "TooManyRequestsException");
        let unavailable = stack.get("/health").await;
        assert_eq!(unavailable.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body: Value = unavailable.json().await.expect("the body is JSON");
        assert_eq!(body, json!({"message": "Service Unavailable"}));
    });
    busy.expect_err("the function exceeds its timeout");
    let status = stack.function().await;
    assert_eq!(
        (&status["invocations"], &status["throttles"]),
        (&1.into(), &2.into())
    );
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_throttled_schedule_runs_as_soon_as_it_can() {
    let stack = start(&["--concurrency=1"]).await.expect("the stack starts");
    let (busy, ()) = tokio::join!(stack.order("sleep"), async {
        runs(&stack, 1).await;
        let run = stack.post("/local/schedules/probe", &Value::Null).await;
        assert_eq!(run.status(), StatusCode::OK);
    });
    busy.expect_err("the function exceeds its timeout");
    assert_ne!(stack.function().await["throttles"], 0);
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_reservation_that_lambda_would_refuse_stops_the_start() {
    let options = ["--concurrency=10", "--parameter", "Reserved=1"];
    let error = start(&options)
        .await
        .err()
        .expect("nothing may be reserved");
    let text = local::chain(&error);
    assert!(text.contains("10 must stay unreserved"), "{text}");
}

#[tokio::test]
async fn stopping_leaves_no_process() {
    let stack = TestStack::started().await;
    let pids = stack.pids().await;
    assert_eq!(pids.len(), 1);
    stack.stack.stop().await;
    assert!(!pids.iter().any(|pid| is_alive(*pid)));
}
