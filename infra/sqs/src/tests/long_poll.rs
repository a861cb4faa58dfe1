//! Long polling. The clock is paused, so measured waits are exact.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{Sqs, bodies, pass};

/// Starts a receiver; returns its messages and how long it waited.
fn wait(sqs: &Sqs, queue: &str, seconds: u32) -> JoinHandle<(Vec<Value>, Duration)> {
    let (sqs, queue) = (sqs.clone(), queue.to_owned());
    tokio::spawn(async move {
        let began = Instant::now();
        let wait = json!({ "WaitTimeSeconds": seconds });
        let messages = sqs.receive_with(&queue, wait).await;
        (messages, began.elapsed())
    })
}

/// Paused time stands still while a database thread works; timers have a resolution of 1 ms.
fn assert_about(waited: Duration, seconds: u64) {
    let expected = Duration::from_secs(seconds);
    let tolerance = Duration::from_millis(5);
    assert!(
        waited >= expected && waited <= expected + tolerance,
        "waited {waited:?} instead of {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_receive_on_an_empty_queue_waits_the_full_time() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    let (messages, waited) = wait(&sqs, &queue, 20).await.expect("a wait");
    assert!(messages.is_empty());
    assert_about(waited, 20);
    let (_, waited) = wait(&sqs, &queue, 0).await.expect("no wait");
    assert_about(waited, 0);
}

#[tokio::test(start_paused = true)]
async fn the_queue_may_set_the_wait_time() {
    let sqs = Sqs::new();
    let queue = sqs
        .create("jobs", json!({ "ReceiveMessageWaitTimeSeconds": "7" }))
        .await;
    let began = Instant::now();
    assert!(sqs.receive(&queue).await.is_empty());
    assert_about(began.elapsed(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_message_ends_the_wait_of_one_receiver() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    let waiting = [wait(&sqs, &queue, 20), wait(&sqs, &queue, 20)];
    sleep(Duration::from_secs(4)).await;
    sqs.send(&queue, "job").await;
    let mut waits = Vec::new();
    for one in waiting {
        let (messages, waited) = one.await.expect("a wait");
        assert_about(waited, if messages.is_empty() { 20 } else { 4 });
        waits.push(messages.len());
    }
    waits.sort_unstable();
    assert_eq!(waits, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_delay_ends_the_wait() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({ "DelaySeconds": "6" })).await;
    sqs.send(&queue, "job").await;
    let (messages, waited) = wait(&sqs, &queue, 20).await.expect("a wait");
    assert_eq!(bodies(&messages), ["job"]);
    assert_about(waited, 6);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_visibility_timeout_ends_the_wait() {
    let sqs = Sqs::new();
    let queue = sqs
        .create("jobs", json!({ "VisibilityTimeout": "9" }))
        .await;
    sqs.send(&queue, "job").await;
    sqs.receive_one(&queue).await;
    pass(1).await;
    let (messages, waited) = wait(&sqs, &queue, 20).await.expect("a wait");
    assert_eq!(bodies(&messages), ["job"]);
    assert_about(waited, 8);
}

#[tokio::test(start_paused = true)]
async fn releasing_a_message_ends_the_wait() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    sqs.send(&queue, "job").await;
    let held = sqs.receive_one(&queue).await;
    let waiting = wait(&sqs, &queue, 20);
    sleep(Duration::from_secs(3)).await;
    let release = json!({ "QueueUrl": queue, "ReceiptHandle": held["ReceiptHandle"], "VisibilityTimeout": 0 });
    sqs.call("ChangeMessageVisibility", release).await;
    let (messages, waited) = waiting.await.expect("a wait");
    assert_eq!(bodies(&messages), ["job"]);
    assert_about(waited, 3);
}

#[tokio::test(start_paused = true)]
async fn deleting_a_message_frees_the_rest_of_its_group() {
    let sqs = Sqs::new();
    let fifo = json!({ "FifoQueue": "true", "ContentBasedDeduplication": "true" });
    let queue = sqs.create("jobs.fifo", fifo).await;
    for body in ["first", "second"] {
        let message = json!({ "QueueUrl": queue, "MessageBody": body, "MessageGroupId": "A" });
        sqs.call("SendMessage", message).await;
    }
    let one = json!({ "MaxNumberOfMessages": 1 });
    let held = sqs.receive_with(&queue, one).await;
    let waiting = wait(&sqs, &queue, 20);
    sleep(Duration::from_secs(3)).await;
    sqs.delete(&queue, &held[0]).await;
    let (messages, waited) = waiting.await.expect("a wait");
    assert_eq!(bodies(&messages), ["second"]);
    assert_about(waited, 3);
}

#[tokio::test(start_paused = true)]
async fn deleting_the_queue_ends_the_wait() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    let waiting = {
        let (sqs, queue) = (sqs.clone(), queue.clone());
        tokio::spawn(async move {
            let input = json!({ "QueueUrl": queue, "WaitTimeSeconds": 20 });
            let code = sqs.code("ReceiveMessage", input).await;
            (code, Instant::now())
        })
    };
    sleep(Duration::from_secs(3)).await;
    let deleted = Instant::now();
    sqs.call("DeleteQueue", json!({ "QueueUrl": queue })).await;
    let (code, ended) = waiting.await.expect("a wait");
    assert_eq!(code, "AWS.SimpleQueueService.NonExistentQueue");
    assert_about(ended - deleted, 0);
}
