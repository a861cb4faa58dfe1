//! Fair queueing: which group's message is next in a standard queue.

use serde_json::{Value, json};

use super::{Sqs, bodies, pass};

impl Sqs {
    async fn send_for(&self, queue: &str, group: &str, body: &str) {
        let message = json!({ "QueueUrl": queue, "MessageBody": body, "MessageGroupId": group });
        self.call("SendMessage", message).await;
    }

    async fn receive_some(&self, queue: &str, most: u32) -> Vec<Value> {
        self.receive_with(queue, json!({ "MaxNumberOfMessages": most }))
            .await
    }
}

#[tokio::test(start_paused = true)]
async fn a_backlog_of_one_group_does_not_delay_another() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    for body in ["a1", "a2", "a3", "a4", "a5"] {
        sqs.send_for(&queue, "a", body).await;
    }
    sqs.send_for(&queue, "b", "b1").await;
    sqs.send_for(&queue, "b", "b2").await;
    sqs.send(&queue, "of nobody").await;
    sqs.send(&queue, "of nobody else").await;
    let first = sqs.receive_some(&queue, 1).await;
    assert_eq!(
        bodies(&first),
        ["a1"],
        "the oldest message if none is in flight"
    );
    let next = sqs.receive_some(&queue, 5).await;
    let expected = ["b1", "of nobody", "of nobody else", "a2", "b2"];
    assert_eq!(
        bodies(&next),
        expected,
        "fewest in flight first, then the oldest"
    );
    assert_eq!(
        bodies(&sqs.receive_some(&queue, 10).await),
        ["a3", "a4", "a5"]
    );
}

#[tokio::test(start_paused = true)]
async fn deleted_and_visible_messages_are_not_in_flight() {
    let sqs = Sqs::new();
    let queue = sqs
        .create("jobs", json!({ "VisibilityTimeout": "20" }))
        .await;
    for (group, body) in [
        ("a", "a1"),
        ("a", "a2"),
        ("b", "b1"),
        ("b", "b2"),
        ("b", "b3"),
    ] {
        sqs.send_for(&queue, group, body).await;
    }
    let first = sqs.receive_some(&queue, 3).await;
    assert_eq!(bodies(&first), ["a1", "b1", "a2"]);
    sqs.delete(&queue, &first[0]).await;
    sqs.delete(&queue, &first[2]).await;
    sqs.send_for(&queue, "a", "a3").await;
    assert_eq!(bodies(&sqs.receive_some(&queue, 1).await), ["a3"]);
    pass(20).await;
    let again = sqs.receive_some(&queue, 2).await;
    assert_eq!(
        bodies(&again),
        ["b2", "a3"],
        "nothing is in flight any more"
    );
}
