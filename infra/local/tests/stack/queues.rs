//! Queues that invoke functions.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::{Value, json};

use crate::support::{TestStack, eventually, start};

/// An SQS outside the stack, so that a test can send to the queues.
async fn sqs() -> (String, aws_sdk_sqs::Client) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let url = format!(
        "http://{}",
        listener.local_addr().expect("the listener has an address")
    );
    let queues = local_sqs::Queues::memory().expect("memory is enough");
    tokio::spawn(async move { axum::serve(listener, queues.router()).await });
    let credentials = Credentials::new("test", "test", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(&url)
        .build();
    (url, aws_sdk_sqs::Client::new(&config))
}

async fn send(client: &aws_sdk_sqs::Client, body: &Value) {
    send_to("WorkQueue", client, body).await;
}

async fn send_to(queue: &str, client: &aws_sdk_sqs::Client, body: &Value) {
    let url = client.get_queue_url().queue_name(queue).send().await;
    let url = url
        .expect("the stack made it")
        .queue_url
        .expect("the queue has a URL");
    let sent = client
        .send_message()
        .queue_url(url)
        .message_body(body.to_string());
    sent.send().await.expect("the message is sent");
}

async fn holds(stack: &TestStack, queue: &str, visible: u64) -> bool {
    let depth = stack.queue(queue).await;
    depth["visible"] == visible && depth["inFlight"] == 0 && depth["delayed"] == 0
}

#[tokio::test]
async fn successes_are_deleted_and_failures_are_dead_lettered() {
    let (url, client) = sqs().await;
    let stack = start(&["--sqs", &url]).await.expect("the stack starts");
    for order in [json!({}), json!({"do": "fail"}), json!({})] {
        send(&client, &order).await;
    }
    eventually("the failing message is dead-lettered", || {
        holds(&stack, "DeadQueue", 1)
    })
    .await;
    assert!(holds(&stack, "WorkQueue", 0).await);
    assert_eq!(stack.queue("DeadQueue").await["deadLetterOf"], "WorkQueue");
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_function_error_deletes_nothing() {
    let (url, client) = sqs().await;
    let stack = start(&["--sqs", &url]).await.expect("the stack starts");
    send(&client, &json!({"do": "panic"})).await;
    eventually("the message is dead-lettered", || {
        holds(&stack, "DeadQueue", 1)
    })
    .await;
    assert_eq!(stack.function().await["errors"], 2);
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_batch_that_times_out_is_redelivered() {
    let (url, client) = sqs().await;
    let stack = start(&["--sqs", &url]).await.expect("the stack starts");
    send(&client, &json!({"do": "sleep"})).await;
    eventually("the message is dead-lettered", || {
        holds(&stack, "DeadQueue", 1)
    })
    .await;
    // The queue's visibility timeout is shorter than the function's timeout, so the second delivery may still run.
    eventually("both deliveries were killed", || async {
        stack.function().await["timeouts"] == 2
    })
    .await;
    stack.stack.stop().await;
}

/// The counters of the function that sends messages to its own queue.
async fn relay(stack: &TestStack) -> Value {
    let functions = stack.json("/local/functions").await;
    let functions = functions.as_array().expect("a list");
    let relay = functions.iter().find(|found| found["name"] == "relay");
    relay.expect("it is listed").clone()
}

#[tokio::test]
async fn a_recursive_loop_is_stopped_after_sixteen_invocations() {
    let (url, client) = sqs().await;
    let stack = start(&["--sqs", &url]).await.expect("the stack starts");
    send_to("RelayQueue", &client, &json!({"relay": 20})).await;
    eventually("the message is dead-lettered", || {
        holds(&stack, "RelayDeadQueue", 1)
    })
    .await;
    let relay = relay(&stack).await;
    assert_eq!(relay["invocations"], 16);
    assert_eq!(relay["errors"], 0);
    assert_eq!(
        relay["recursiveInvocationsDropped"], 2,
        "once for each receive: {relay}"
    );
    stack.stack.stop().await;
}

#[tokio::test]
async fn an_allowed_recursive_loop_runs_to_its_end() {
    let (url, client) = sqs().await;
    let options = ["--sqs", &url, "--parameter", "Loop=Allow"];
    let stack = start(&options).await.expect("the stack starts");
    send_to("RelayQueue", &client, &json!({"relay": 20})).await;
    eventually("every message is handled", || async {
        relay(&stack).await["invocations"] == 21 && holds(&stack, "RelayQueue", 0).await
    })
    .await;
    assert_eq!(relay(&stack).await["recursiveInvocationsDropped"], 0);
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_throttled_message_is_dead_lettered_without_an_invocation() {
    let (url, client) = sqs().await;
    let options = ["--sqs", &url, "--parameter", "Reserved=0"];
    let stack = start(&options).await.expect("the stack starts");
    send_to("RelayQueue", &client, &json!({"relay": 0})).await;
    eventually("the message is dead-lettered", || {
        holds(&stack, "RelayDeadQueue", 1)
    })
    .await;
    let relay = relay(&stack).await;
    assert_eq!(relay["invocations"], 0);
    let throttles = relay["throttles"].as_u64().expect("a count");
    assert!(throttles >= 2, "at least once for each receive: {relay}");
    stack.stack.stop().await;
}
