//! Dead-letter queues.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Sqs, attribute, bodies, pass};

fn policy(dead_letters: &str, receives: u32) -> Value {
    let target = format!("arn:aws:sqs:us-east-1:000000000000:{dead_letters}");
    let policy = json!({ "deadLetterTargetArn": target, "maxReceiveCount": receives });
    json!({ "RedrivePolicy": policy.to_string(), "VisibilityTimeout": "10" })
}

#[tokio::test(start_paused = true)]
async fn a_message_received_too_often_moves_with_its_attributes() {
    let sqs = Sqs::new();
    let dead = sqs.create("dead", json!({})).await;
    let queue = sqs.create("jobs", policy("dead", 2)).await;
    let message = json!({
        "QueueUrl": queue, "MessageBody": "poison", "MessageGroupId": "tenant",
        "MessageAttributes": { "k": { "DataType": "String", "StringValue": "v" } },
    });
    let sent = sqs.call("SendMessage", message).await;
    for _ in 0..2 {
        assert_eq!(bodies(&sqs.receive(&queue).await), ["poison"]);
        pass(10).await;
    }
    // Only a receive moves a message; a visibility timeout alone does not.
    assert_eq!(sqs.counts(&dead).await, ["0", "0", "0"]);
    assert!(sqs.receive(&queue).await.is_empty());
    assert_eq!(sqs.counts(&queue).await, ["0", "0", "0"]);

    let moved = sqs.receive_one(&dead).await;
    assert_eq!(moved["MessageId"], sent["MessageId"]);
    assert_eq!(moved["MessageAttributes"]["k"]["StringValue"], "v");
    assert_eq!(
        moved["MD5OfMessageAttributes"],
        sent["MD5OfMessageAttributes"]
    );
    for (name, value) in [
        ("ApproximateReceiveCount", "3"),
        ("ApproximateFirstReceiveTimestamp", "1800000000000"),
        ("SentTimestamp", "1800000000000"),
        ("MessageGroupId", "tenant"),
        (
            "DeadLetterQueueSourceArn",
            "arn:aws:sqs:us-east-1:000000000000:jobs",
        ),
    ] {
        assert_eq!(attribute(&moved, name), value);
    }
}

#[tokio::test(start_paused = true)]
async fn moving_a_message_invalidates_its_handles() {
    let sqs = Sqs::new();
    let dead = sqs.create("dead", json!({})).await;
    let queue = sqs.create("jobs", policy("dead", 1)).await;
    sqs.send(&queue, "poison").await;
    let held = sqs.receive_one(&queue).await;
    pass(10).await;
    assert!(sqs.receive(&queue).await.is_empty());
    sqs.delete(&queue, &held).await;
    assert_eq!(sqs.counts(&dead).await, ["1", "0", "0"]);
}

#[tokio::test(start_paused = true)]
async fn a_move_makes_room_and_wakes_the_dead_letter_queue() {
    let sqs = Sqs::new();
    let dead = sqs.create("dead", json!({})).await;
    let queue = sqs.create("jobs", policy("dead", 1)).await;
    for _ in 0..15 {
        sqs.send(&queue, "poison").await;
    }
    for _ in 0..2 {
        sqs.receive(&queue).await;
    }
    pass(10).await;
    sqs.send(&queue, "healthy").await;

    let waiting = {
        let (sqs, dead) = (sqs.clone(), dead.clone());
        tokio::spawn(async move {
            let wait = json!({ "WaitTimeSeconds": 20 });
            let messages = sqs.receive_with(&dead, wait).await;
            (messages, Instant::now())
        })
    };
    sleep(Duration::from_secs(1)).await;
    let one = json!({ "MaxNumberOfMessages": 1 });
    assert_eq!(bodies(&sqs.receive_with(&queue, one).await), ["healthy"]);
    let moved = Instant::now();
    let (dead_letters, received) = waiting.await.expect("a wait");
    assert_eq!(bodies(&dead_letters), ["poison"; 10]);
    assert!(received < moved + Duration::from_secs(1));
    assert_eq!(sqs.counts(&dead).await, ["5", "10", "0"]);
}

#[tokio::test(start_paused = true)]
async fn in_a_chain_each_queue_counts_its_own_receives() {
    let sqs = Sqs::new();
    let last = sqs.create("last", json!({})).await;
    let dead = sqs.create("dead", policy("last", 2)).await;
    let queue = sqs.create("jobs", policy("dead", 3)).await;
    sqs.send(&queue, "poison").await;
    for source in [&queue, &queue, &queue] {
        assert_eq!(sqs.receive(source).await.len(), 1);
        pass(10).await;
    }
    assert!(sqs.receive(&queue).await.is_empty());
    for _ in 0..2 {
        assert_eq!(sqs.receive(&dead).await.len(), 1);
        pass(10).await;
    }
    assert!(sqs.receive(&dead).await.is_empty());
    let moved = sqs.receive_one(&last).await;
    assert_eq!(attribute(&moved, "ApproximateReceiveCount"), "6");
    assert_eq!(
        attribute(&moved, "DeadLetterQueueSourceArn"),
        "arn:aws:sqs:us-east-1:000000000000:dead"
    );
}

#[tokio::test(start_paused = true)]
async fn a_moved_message_keeps_its_age() {
    let sqs = Sqs::new();
    let dead = sqs
        .create("dead", json!({ "MessageRetentionPeriod": "100" }))
        .await;
    let queue = sqs.create("jobs", policy("dead", 1)).await;
    sqs.send(&queue, "poison").await;
    sqs.receive_one(&queue).await;
    pass(60).await;
    assert!(sqs.receive(&queue).await.is_empty());
    pass(39).await;
    assert_eq!(sqs.counts(&dead).await, ["1", "0", "0"]);
    pass(1).await;
    assert_eq!(sqs.counts(&dead).await, ["0", "0", "0"]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_needs_an_existing_queue_of_the_same_type() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    sqs.create("dead", json!({})).await;
    sqs.create("dead.fifo", json!({ "FifoQueue": "true" }))
        .await;
    for (attributes, reason) in [
        (policy("absent", 3), "Dead letter target does not exist."),
        (
            policy("dead.fifo", 3),
            "Dead-letter queue must be same type of queue as the source.",
        ),
        (
            policy("not/a/name", 3),
            "Invalid value for deadLetterTargetArn.",
        ),
        (
            policy("dead", 0),
            "Invalid value for maxReceiveCount. Valid values are from 1 to 1000.",
        ),
        (
            json!({ "RedrivePolicy": "often" }),
            "Redrive policy is not valid.",
        ),
    ] {
        let input = json!({ "QueueUrl": queue, "Attributes": attributes });
        let refusal = sqs.refusal("SetQueueAttributes", input).await;
        assert_eq!(refusal.query_error, "InvalidParameterValue;Sender");
        assert!(refusal.message.ends_with(reason), "{}", refusal.message);
    }
    assert_eq!(sqs.attributes(&queue).await["RedrivePolicy"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_policy_can_be_listed_set_as_a_string_and_removed() {
    let sqs = Sqs::new();
    let dead = sqs.create("dead", json!({})).await;
    let queue = sqs.create("jobs", policy("dead", 5)).await;
    let on = json!({ "QueueUrl": dead });
    assert_eq!(
        sqs.call("ListDeadLetterSourceQueues", on.clone()).await,
        json!({ "queueUrls": [queue] })
    );
    let with_string = policy("dead", 5)["RedrivePolicy"]
        .to_string()
        .replace(":5}", r#": \"5\"}"#);
    let with_string: Value = serde_json::from_str(&with_string).expect("a JSON string");
    sqs.create("jobs", json!({ "RedrivePolicy": with_string }))
        .await;

    let remove = json!({ "QueueUrl": queue, "Attributes": { "RedrivePolicy": "" } });
    sqs.call("SetQueueAttributes", remove).await;
    assert_eq!(
        sqs.call("ListDeadLetterSourceQueues", on).await,
        json!({ "queueUrls": [] })
    );
}

#[tokio::test(start_paused = true)]
async fn without_its_dead_letter_queue_a_message_is_redelivered() {
    let sqs = Sqs::new();
    let dead = sqs.create("dead", json!({})).await;
    let queue = sqs.create("jobs", policy("dead", 1)).await;
    sqs.call("DeleteQueue", json!({ "QueueUrl": dead })).await;
    sqs.send(&queue, "poison").await;
    for _ in 0..3 {
        assert_eq!(bodies(&sqs.receive(&queue).await), ["poison"]);
        pass(10).await;
    }
}
