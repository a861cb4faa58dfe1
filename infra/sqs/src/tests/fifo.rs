//! FIFO queues.

use serde_json::{Value, json};

use super::{Sqs, attribute, bodies, pass, text};

impl Sqs {
    async fn send_in_group(&self, queue: &str, group: &str, body: &str) -> Value {
        let message = json!({ "QueueUrl": queue, "MessageBody": body, "MessageGroupId": group });
        self.call("SendMessage", message).await
    }

    async fn fifo(&self, more: Value) -> String {
        let mut attributes = json!({ "FifoQueue": "true", "ContentBasedDeduplication": "true" });
        let more = more.as_object().expect("more members").clone();
        attributes.as_object_mut().expect("an object").extend(more);
        self.create("jobs.fifo", attributes).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_keeps_its_order_and_waits_for_messages_in_flight() {
    let sqs = Sqs::new();
    let queue = sqs.fifo(json!({})).await;
    for (group, body) in [("A", "a1"), ("A", "a2"), ("B", "b1"), ("A", "a3")] {
        sqs.send_in_group(&queue, group, body).await;
    }
    let two = json!({ "MaxNumberOfMessages": 2 });
    let held = sqs.receive_with(&queue, two).await;
    assert_eq!(bodies(&held), ["a1", "a2"]);
    assert_eq!(bodies(&sqs.receive(&queue).await), ["b1"]);

    sqs.delete(&queue, &held[0]).await;
    assert!(sqs.receive(&queue).await.is_empty());
    sqs.delete(&queue, &held[1]).await;
    assert_eq!(bodies(&sqs.receive(&queue).await), ["a3"]);

    pass(30).await;
    let again = sqs.receive(&queue).await;
    assert_eq!(bodies(&again), ["b1", "a3"]);
    assert!(attribute(&again[0], "SequenceNumber") < attribute(&again[1], "SequenceNumber"));
}

#[tokio::test(start_paused = true)]
async fn a_released_message_is_not_overtaken() {
    let sqs = Sqs::new();
    let queue = sqs.fifo(json!({})).await;
    for body in ["1", "2", "3"] {
        sqs.send_in_group(&queue, "A", body).await;
    }
    let two = json!({ "MaxNumberOfMessages": 2 });
    let held = sqs.receive_with(&queue, two).await;
    let change = |message: &Value| json!({ "QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0 });
    sqs.call("ChangeMessageVisibility", change(&held[0])).await;
    assert!(sqs.receive(&queue).await.is_empty());
    sqs.call("ChangeMessageVisibility", change(&held[1])).await;
    assert_eq!(bodies(&sqs.receive(&queue).await), ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_is_not_overtaken() {
    let sqs = Sqs::new();
    let queue = sqs.fifo(json!({ "DelaySeconds": "60" })).await;
    sqs.send_in_group(&queue, "A", "delayed").await;
    let set = json!({ "QueueUrl": queue, "Attributes": { "DelaySeconds": "0" } });
    sqs.call("SetQueueAttributes", set).await;
    sqs.send_in_group(&queue, "A", "next").await;
    sqs.send_in_group(&queue, "B", "other").await;
    assert_eq!(bodies(&sqs.receive(&queue).await), ["other"]);
    pass(60).await;
    assert_eq!(
        bodies(&sqs.receive(&queue).await),
        ["delayed", "next", "other"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_within_five_minutes_is_the_same_message() {
    let sqs = Sqs::new();
    let queue = sqs.fifo(json!({})).await;
    let first = sqs.send_in_group(&queue, "A", "job").await;
    let message = sqs.receive_one(&queue).await;
    assert_eq!(
        attribute(&message, "MessageDeduplicationId"),
        "5e8c9902207afaeb7120430c585a445f21e92932081d64bc99f80e4925bcb002",
        "the SHA-256 of the body"
    );
    sqs.delete(&queue, &message).await;

    pass(299).await;
    assert_eq!(sqs.send_in_group(&queue, "B", "job").await, first);
    assert!(sqs.receive(&queue).await.is_empty());
    pass(1).await;
    let later = sqs.send_in_group(&queue, "A", "job").await;
    assert_ne!(later["MessageId"], first["MessageId"]);
    assert!(text(&later["SequenceNumber"]) > text(&first["SequenceNumber"]));
    assert_eq!(sqs.receive(&queue).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn deduplication_can_be_limited_to_the_group() {
    let sqs = Sqs::new();
    let queue = sqs
        .fifo(json!({ "DeduplicationScope": "messageGroup" }))
        .await;
    for group in ["A", "B", "A"] {
        sqs.send_in_group(&queue, group, "job").await;
    }
    let messages = sqs.receive(&queue).await;
    let groups: Vec<&str> = messages
        .iter()
        .map(|message| attribute(message, "MessageGroupId"))
        .collect();
    assert_eq!(groups, ["A", "B"]);
}

#[tokio::test(start_paused = true)]
async fn group_and_deduplication_ids_are_required() {
    let sqs = Sqs::new();
    let queue = sqs
        .fifo(json!({ "ContentBasedDeduplication": "false" }))
        .await;
    for (more, code) in [
        (json!({ "MessageDeduplicationId": "d" }), "MissingParameter"),
        (json!({ "MessageGroupId": "g" }), "InvalidParameterValue"),
        (
            json!({ "MessageGroupId": "g", "MessageDeduplicationId": "d", "DelaySeconds": 1 }),
            "InvalidParameterValue",
        ),
    ] {
        let mut message = json!({ "QueueUrl": queue, "MessageBody": "x" });
        let more = more.as_object().expect("more members").clone();
        message.as_object_mut().expect("an object").extend(more);
        assert_eq!(sqs.code("SendMessage", message).await, code);
    }
    assert_eq!(sqs.counts(&queue).await, ["0", "0", "0"]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_handle_is_refused() {
    let sqs = Sqs::new();
    let queue = sqs.fifo(json!({})).await;
    sqs.send_in_group(&queue, "A", "job").await;
    let held = sqs.receive_one(&queue).await;
    pass(30).await;
    let delete = json!({ "QueueUrl": queue, "ReceiptHandle": held["ReceiptHandle"] });
    for _ in 0..2 {
        let refusal = sqs.refusal("DeleteMessage", delete.clone()).await;
        assert!(refusal.message.ends_with("The receipt handle has expired."));
        // First while the message is visible, then while another receiver holds it.
        sqs.receive(&queue).await;
    }
    assert_eq!(sqs.counts(&queue).await, ["0", "1", "0"]);
}

#[tokio::test(start_paused = true)]
async fn moving_to_the_dead_letter_queue_resets_age_and_frees_group() {
    let sqs = Sqs::new();
    let dead = sqs
        .create("dead.fifo", json!({ "FifoQueue": "true" }))
        .await;
    let policy = json!({
        "deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead.fifo", "maxReceiveCount": 1,
    });
    let queue = sqs
        .fifo(json!({ "RedrivePolicy": policy.to_string() }))
        .await;
    let sent = sqs.send_in_group(&queue, "A", "poison").await;
    sqs.send_in_group(&queue, "A", "next").await;
    let one = json!({ "MaxNumberOfMessages": 1 });
    assert_eq!(bodies(&sqs.receive_with(&queue, one).await), ["poison"]);
    pass(30).await;
    assert_eq!(bodies(&sqs.receive(&queue).await), ["next"]);

    let moved = sqs.receive_one(&dead).await;
    assert_eq!(moved["MessageId"], sent["MessageId"]);
    assert_eq!(attribute(&moved, "SentTimestamp"), "1800000030000");
    assert_eq!(attribute(&moved, "MessageGroupId"), "A");
    assert_eq!(
        attribute(&moved, "MessageDeduplicationId"),
        text(&sent["MessageId"])
    );
}
