//! Receives, deletes and visibility timeouts.

use serde_json::{Value, json};

use super::{Sqs, attribute, bodies, pass};

fn hold(queue: &str, message: &Value, timeout: u32) -> Value {
    json!({ "QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": timeout })
}

#[tokio::test(start_paused = true)]
async fn a_message_not_deleted_in_time_is_redelivered() {
    let sqs = Sqs::new();
    let queue = sqs
        .create("jobs", json!({ "VisibilityTimeout": "20" }))
        .await;
    let id = sqs.send(&queue, "job").await;
    pass(3).await;
    let first = sqs.receive_one(&queue).await;
    assert_eq!(first["MessageId"], id.as_str());
    assert_eq!(attribute(&first, "SentTimestamp"), "1800000000000");
    let received = "1800000003000";
    assert_eq!(
        attribute(&first, "ApproximateFirstReceiveTimestamp"),
        received
    );
    assert_eq!(attribute(&first, "ApproximateReceiveCount"), "1");
    assert_eq!(attribute(&first, "SenderId"), "000000000000");

    pass(19).await;
    assert!(sqs.receive(&queue).await.is_empty());
    pass(1).await;
    let second = sqs.receive_one(&queue).await;
    assert_eq!(second["MessageId"], id.as_str());
    assert_ne!(second["ReceiptHandle"], first["ReceiptHandle"]);
    assert_eq!(
        attribute(&second, "ApproximateFirstReceiveTimestamp"),
        received
    );
    assert_eq!(attribute(&second, "ApproximateReceiveCount"), "2");

    sqs.delete(&queue, &second).await;
    pass(20).await;
    assert!(sqs.receive(&queue).await.is_empty());
    assert_eq!(sqs.counts(&queue).await, ["0", "0", "0"]);
}

#[tokio::test(start_paused = true)]
async fn system_attributes_are_returned_when_asked_for_by_either_name() {
    let sqs = Sqs::new();
    let queue = sqs
        .create("jobs", json!({ "VisibilityTimeout": "0" }))
        .await;
    sqs.send(&queue, "job").await;
    for (old, new, names) in [
        (json!([]), json!([]), vec![]),
        (json!(["SentTimestamp"]), json!([]), vec!["SentTimestamp"]),
        (
            json!(["SenderId"]),
            json!(["SequenceNumber", "SentTimestamp"]),
            vec!["SenderId", "SentTimestamp"],
        ),
    ] {
        let asked = json!({ "AttributeNames": old, "MessageSystemAttributeNames": new });
        let messages = sqs.receive_with(&queue, asked).await;
        let returned = messages[0]["Attributes"].as_object();
        let returned: Vec<&String> = returned.iter().flat_map(|map| map.keys()).collect();
        assert_eq!(returned, names);
    }
    let unknown = json!({ "QueueUrl": queue, "MessageSystemAttributeNames": ["Colour"] });
    assert_eq!(
        sqs.code("ReceiveMessage", unknown).await,
        "InvalidAttributeName"
    );
}

#[tokio::test(start_paused = true)]
async fn a_receive_may_set_its_timeout_and_zero_hides_nothing() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    sqs.send(&queue, "job").await;
    for timeout in [0, 0, 5] {
        let messages = sqs
            .receive_with(&queue, json!({ "VisibilityTimeout": timeout }))
            .await;
        assert_eq!(bodies(&messages), ["job"]);
    }
    pass(4).await;
    assert!(sqs.receive(&queue).await.is_empty());
    pass(1).await;
    let message = sqs.receive_one(&queue).await;
    assert_eq!(attribute(&message, "ApproximateReceiveCount"), "4");
}

#[tokio::test(start_paused = true)]
async fn a_receive_out_of_range_is_refused() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    for (name, value) in [
        ("MaxNumberOfMessages", 0),
        ("MaxNumberOfMessages", 11),
        ("WaitTimeSeconds", -1),
        ("WaitTimeSeconds", 21),
        ("VisibilityTimeout", 43_201),
    ] {
        let mut input = json!({ "QueueUrl": queue });
        input[name] = value.into();
        assert_eq!(
            sqs.code("ReceiveMessage", input).await,
            "InvalidParameterValue",
            "{name} {value}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_visibility_of_a_message_in_flight_can_be_changed() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    sqs.send(&queue, "job").await;
    let first = sqs.receive_one(&queue).await;
    sqs.call("ChangeMessageVisibility", hold(&queue, &first, 0))
        .await;
    assert_eq!(
        sqs.code("ChangeMessageVisibility", hold(&queue, &first, 9))
            .await,
        "AWS.SimpleQueueService.MessageNotInflight"
    );

    let second = sqs.receive_one(&queue).await;
    sqs.call("ChangeMessageVisibility", hold(&queue, &second, 60))
        .await;
    pass(59).await;
    assert!(sqs.receive(&queue).await.is_empty());
    pass(1).await;
    assert_eq!(
        sqs.code("ChangeMessageVisibility", hold(&queue, &second, 9))
            .await,
        "AWS.SimpleQueueService.MessageNotInflight"
    );
    // The visibility timeout is over, but no other receiver has the message: it can still be deleted.
    sqs.delete(&queue, &second).await;
    assert!(sqs.receive(&queue).await.is_empty());
    assert_eq!(
        sqs.code("ChangeMessageVisibility", hold(&queue, &second, 9))
            .await,
        "InvalidParameterValue"
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_is_hidden_for_twelve_hours_at_most() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    sqs.send(&queue, "job").await;
    let message = sqs.receive_one(&queue).await;
    sqs.call("ChangeMessageVisibility", hold(&queue, &message, 43_200))
        .await;
    pass(1).await;
    sqs.call("ChangeMessageVisibility", hold(&queue, &message, 43_199))
        .await;
    for timeout in [43_200, 43_201] {
        assert_eq!(
            sqs.code("ChangeMessageVisibility", hold(&queue, &message, timeout))
                .await,
            "InvalidParameterValue"
        );
    }
    pass(43_198).await;
    assert!(sqs.receive(&queue).await.is_empty());
    pass(1).await;
    assert_eq!(sqs.receive(&queue).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_handle_of_an_earlier_receive_is_accepted_and_deletes_nothing() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    sqs.send(&queue, "job").await;
    let stale = sqs.receive_one(&queue).await;
    pass(30).await;
    let latest = sqs.receive_one(&queue).await;
    sqs.delete(&queue, &stale).await;
    assert_eq!(sqs.counts(&queue).await, ["0", "1", "0"]);
    assert_eq!(
        sqs.code("ChangeMessageVisibility", hold(&queue, &stale, 0))
            .await,
        "InvalidParameterValue"
    );
    sqs.delete(&queue, &latest).await;
    assert_eq!(sqs.counts(&queue).await, ["0", "0", "0"]);
    sqs.delete(&queue, &latest).await;
}

#[tokio::test(start_paused = true)]
async fn a_made_up_or_foreign_handle_is_invalid() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    let other = sqs.create("others", json!({})).await;
    sqs.send(&other, "job").await;
    let foreign = sqs.receive_one(&other).await;
    for handle in [
        json!("garbage"),
        json!("YSBiIGM="),
        foreign["ReceiptHandle"].clone(),
    ] {
        let input = json!({ "QueueUrl": queue, "ReceiptHandle": handle, "VisibilityTimeout": 1 });
        for operation in ["DeleteMessage", "ChangeMessageVisibility"] {
            assert_eq!(
                sqs.code(operation, input.clone()).await,
                "ReceiptHandleIsInvalid"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_receipts_fails_per_entry() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    for body in ["a", "b"] {
        sqs.send(&queue, body).await;
    }
    let held = sqs.receive(&queue).await;
    let change = json!({ "QueueUrl": queue, "Entries": [
        { "Id": "released", "ReceiptHandle": held[0]["ReceiptHandle"], "VisibilityTimeout": 0 },
        { "Id": "twice", "ReceiptHandle": held[0]["ReceiptHandle"], "VisibilityTimeout": 0 },
        { "Id": "unsaid", "ReceiptHandle": held[1]["ReceiptHandle"] },
        { "Id": "long", "ReceiptHandle": held[1]["ReceiptHandle"], "VisibilityTimeout": 43_201 },
    ] });
    let results = sqs.call("ChangeMessageVisibilityBatch", change).await;
    assert_eq!(results["Successful"], json!([{ "Id": "released" }]));
    let codes = |results: &Value| -> Vec<Value> {
        let failed = results["Failed"].as_array().expect("failures");
        failed.iter().map(|one| one["Code"].clone()).collect()
    };
    assert_eq!(
        codes(&results),
        [
            "AWS.SimpleQueueService.MessageNotInflight",
            "MissingParameter",
            "InvalidParameterValue"
        ]
    );

    let delete = json!({ "QueueUrl": queue, "Entries": [
        { "Id": "done", "ReceiptHandle": held[1]["ReceiptHandle"] },
        { "Id": "wrong", "ReceiptHandle": "garbage" },
    ] });
    let results = sqs.call("DeleteMessageBatch", delete).await;
    assert_eq!(results["Successful"], json!([{ "Id": "done" }]));
    assert_eq!(codes(&results), ["ReceiptHandleIsInvalid"]);
    assert_eq!(sqs.counts(&queue).await, ["1", "0", "0"]);
}

#[tokio::test(start_paused = true)]
async fn messages_expire_even_in_flight() {
    let sqs = Sqs::new();
    let queue = sqs
        .create(
            "jobs",
            json!({ "MessageRetentionPeriod": "60", "VisibilityTimeout": "900" }),
        )
        .await;
    sqs.send(&queue, "taken").await;
    sqs.receive_one(&queue).await;
    pass(30).await;
    sqs.send(&queue, "waiting").await;
    pass(29).await;
    assert_eq!(sqs.counts(&queue).await, ["1", "1", "0"]);
    pass(1).await;
    assert_eq!(sqs.counts(&queue).await, ["1", "0", "0"]);
    pass(30).await;
    assert!(sqs.receive(&queue).await.is_empty());
}

/// On real threads and in real time: eight consumers share 300 messages, and none is delivered twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_consumers_never_share_a_message() {
    let sqs = Sqs::new();
    let queue = sqs
        .create("jobs", json!({ "VisibilityTimeout": "600" }))
        .await;
    let entries: Vec<Value> = (0..10)
        .map(|n| json!({ "Id": n.to_string(), "MessageBody": "job" }))
        .collect();
    for _ in 0..30 {
        let batch = json!({ "QueueUrl": queue, "Entries": entries });
        sqs.call("SendMessageBatch", batch).await;
    }
    let consumers: Vec<_> = (0..8)
        .map(|_| {
            let (sqs, queue) = (sqs.clone(), queue.clone());
            tokio::spawn(async move {
                let mut got = Vec::new();
                loop {
                    let messages = sqs
                        .receive_with(&queue, json!({ "MaxNumberOfMessages": 3 }))
                        .await;
                    if messages.is_empty() {
                        return got;
                    }
                    for message in &messages {
                        sqs.delete(&queue, message).await;
                    }
                    got.extend(
                        messages
                            .iter()
                            .map(|message| message["MessageId"].to_string()),
                    );
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for consumer in consumers {
        all.extend(consumer.await.expect("no consumer panics"));
    }
    assert_eq!(all.len(), 300);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 300);
    assert_eq!(sqs.counts(&queue).await, ["0", "0", "0"]);
}
