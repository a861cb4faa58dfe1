//! Sends: digests, limits, batches, delays.

use serde_json::{Value, json};

use super::{Sqs, attribute, bodies, pass};

fn string(value: &str) -> Value {
    json!({ "DataType": "String", "StringValue": value })
}

/// The expected digests were recorded from AWS.
#[tokio::test(start_paused = true)]
async fn attributes_match_aws_digests_and_are_selected_by_name() {
    let sqs = Sqs::new();
    let queue = sqs
        .create("jobs", json!({ "VisibilityTimeout": "0" }))
        .await;
    let attributes = json!({
        "Hello": string("There"), "General": string("Kenobi"), "Help.Me": string("Me"),
    });
    let message =
        json!({ "QueueUrl": queue, "MessageBody": "msg", "MessageAttributes": attributes });
    let sent = sqs.call("SendMessage", message).await;
    assert_eq!(sent["MD5OfMessageBody"], "6e2baaf3b97dbeef01c0043275f9a0e7");
    let all = "4c360f3fdafd970e05fae2f149d997f5";
    assert_eq!(sent["MD5OfMessageAttributes"], all);

    for (wanted, digest, count) in [
        (json!([]), Value::Null, 0),
        (json!(["All"]), all.into(), 3),
        (json!([".*"]), all.into(), 3),
        (json!(["Absent"]), Value::Null, 0),
        (
            json!(["Hello", "Absent"]),
            "a311262e065454b75da111d535b8dacd".into(),
            1,
        ),
        (
            json!(["Hel.*"]),
            "83fee93c1bcd8b9a5a923ffacdc636c7".into(),
            2,
        ),
    ] {
        let selection = json!({ "MessageAttributeNames": wanted });
        let messages = sqs.receive_with(&queue, selection).await;
        assert_eq!(messages[0]["MD5OfBody"], "6e2baaf3b97dbeef01c0043275f9a0e7");
        assert_eq!(messages[0]["MD5OfMessageAttributes"], digest, "{wanted}");
        let returned = &messages[0]["MessageAttributes"];
        assert_eq!(returned.as_object().map_or(0, serde_json::Map::len), count);
    }
}

/// The expected digest of the binary attribute was recorded from AWS too.
#[tokio::test(start_paused = true)]
async fn binary_and_system_attributes_arrive_as_they_were_sent() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    let binary = json!({
        "DataType": "Binary",
        "BinaryValue": "dHJhY2VwYXJlbnQeMDAtNzc0MDYyZDZjMzcwODFhNWEwYjliNWI4OGUzMDYyN2MtMmQyNDgyMjExZjY0ODlkYS0wMQ==",
    });
    let sent = sqs
        .call(
            "SendMessage",
            json!({
                "QueueUrl": queue,
                "MessageBody": "test",
                "MessageAttributes": { "attr1": binary },
                "MessageSystemAttributes": { "AWSTraceHeader": string("Root=1-5759e988-bd862e3fe1be46a994272793") },
            }),
        )
        .await;
    let digest = "8cbe4db156db8a94db8b801b7addb984";
    assert_eq!(sent["MD5OfMessageAttributes"], digest);
    assert!(sent["MD5OfMessageSystemAttributes"].is_string());

    let message = sqs.receive_one(&queue).await;
    assert_eq!(message["MessageAttributes"], json!({ "attr1": binary }));
    assert_eq!(message["MD5OfMessageAttributes"], digest);
    assert_eq!(
        attribute(&message, "AWSTraceHeader"),
        "Root=1-5759e988-bd862e3fe1be46a994272793"
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_keeps_the_trace_header_of_the_request_that_sent_it() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    let entries = json!([{ "Id": "a", "MessageBody": "a" }]);
    let sends = [
        (
            "SendMessage",
            json!({ "QueueUrl": queue, "MessageBody": "a" }),
        ),
        (
            "SendMessageBatch",
            json!({ "QueueUrl": queue, "Entries": entries }),
        ),
    ];
    for (operation, input) in sends {
        sqs.traced("Root=1-a-b;Lineage=sync:3", operation, input)
            .await;
        let message = sqs.receive_one(&queue).await;
        assert_eq!(
            attribute(&message, "AWSTraceHeader"),
            "Root=1-a-b;Lineage=sync:3"
        );
        sqs.call(
            "DeleteMessage",
            json!({ "QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"] }),
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn illegal_messages_are_refused() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    let eleven: serde_json::Map<_, _> = (0..11).map(|n| (format!("a{n}"), string("x"))).collect();
    for (more, code) in [
        (json!({ "MessageBody": "" }), "MissingParameter"),
        (json!({ "MessageBody": "\u{1}" }), "InvalidMessageContents"),
        (
            json!({ "MessageBody": "\u{ffff}" }),
            "InvalidMessageContents",
        ),
        (json!({ "DelaySeconds": 901 }), "InvalidParameterValue"),
        (json!({ "DelaySeconds": -1 }), "InvalidParameterValue"),
        (
            json!({ "MessageDeduplicationId": "d" }),
            "InvalidParameterValue",
        ),
        (
            json!({ "MessageGroupId": "with space" }),
            "InvalidParameterValue",
        ),
        (
            json!({ "MessageAttributes": eleven }),
            "InvalidParameterValue",
        ),
        (
            json!({ "MessageAttributes": { "AWS.x": string("x") } }),
            "InvalidParameterValue",
        ),
        (
            json!({ "MessageAttributes": { "a..b": string("x") } }),
            "InvalidParameterValue",
        ),
        (
            json!({ "MessageAttributes": { "a": string("") } }),
            "InvalidParameterValue",
        ),
        (
            json!({ "MessageAttributes": { "a": string("\u{1}") } }),
            "InvalidMessageContents",
        ),
        (
            json!({ "MessageAttributes": { "a": { "DataType": "Number", "StringValue": "x" } } }),
            "InvalidParameterValue",
        ),
        (
            json!({ "MessageAttributes": { "a": { "DataType": "Text", "StringValue": "x" } } }),
            "InvalidParameterValue",
        ),
        (
            json!({ "MessageAttributes": { "a": { "DataType": "Binary", "StringValue": "x" } } }),
            "InvalidParameterValue",
        ),
        (
            json!({ "MessageSystemAttributes": { "Other": string("x") } }),
            "InvalidParameterValue",
        ),
    ] {
        let mut message = json!({ "QueueUrl": queue, "MessageBody": "x" });
        let more = more.as_object().expect("more members").clone();
        message.as_object_mut().expect("an object").extend(more);
        assert_eq!(
            sqs.code("SendMessage", message.clone()).await,
            code,
            "{message}"
        );
    }
    sqs.send(&queue, "\t\n\r \u{d7ff}\u{e000}\u{fffd}\u{10000}\u{10ffff}")
        .await;
    assert_eq!(sqs.counts(&queue).await, ["1", "0", "0"]);
}

#[tokio::test(start_paused = true)]
async fn attributes_count_against_the_queues_message_size_limit() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    let message = |length: usize| json!({ "QueueUrl": queue, "MessageBody": "x".repeat(length) });
    sqs.call("SendMessage", message(1_048_576)).await;
    let refusal = sqs.refusal("SendMessage", message(1_048_577)).await;
    assert_eq!(
        refusal.message,
        "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes."
    );

    let set = json!({ "QueueUrl": queue, "Attributes": { "MaximumMessageSize": "1024" } });
    sqs.call("SetQueueAttributes", set).await;
    let mut with_attribute = message(1_024 - "name".len() - "String".len() - "value".len());
    with_attribute["MessageAttributes"] = json!({ "name": string("value") });
    sqs.call("SendMessage", with_attribute.clone()).await;
    with_attribute["MessageAttributes"] = json!({ "name": string("value+") });
    assert_eq!(
        sqs.code("SendMessage", with_attribute).await,
        "InvalidParameterValue"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_limits_of_its_own() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    let entries = |count: usize, length: usize| -> Vec<Value> {
        let body = "x".repeat(length);
        (0..count)
            .map(|n| json!({ "Id": format!("m{n}"), "MessageBody": body }))
            .collect()
    };
    for (entries, code) in [
        (vec![], "EmptyBatchRequest"),
        (entries(11, 1), "TooManyEntriesInBatchRequest"),
        (
            vec![entries(1, 1).remove(0), entries(1, 1).remove(0)],
            "BatchEntryIdsNotDistinct",
        ),
        (
            vec![json!({ "Id": "a:b", "MessageBody": "x" })],
            "InvalidBatchEntryId",
        ),
        (entries(2, 524_289), "BatchRequestTooLong"),
    ] {
        let batch = json!({ "QueueUrl": queue, "Entries": entries });
        assert_eq!(
            sqs.code("SendMessageBatch", batch).await,
            format!("AWS.SimpleQueueService.{code}")
        );
    }
    let batch = json!({ "QueueUrl": queue, "Entries": entries(2, 524_288) });
    let results = sqs.call("SendMessageBatch", batch).await;
    assert_eq!(results["Successful"].as_array().map(Vec::len), Some(2));
    assert_eq!(results["Failed"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_batch_fails_per_entry() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    let batch = json!({ "QueueUrl": queue, "Entries": [
        { "Id": "late", "MessageBody": "x", "DelaySeconds": 9_999 },
        { "Id": "good", "MessageBody": "good" },
        { "Id": "odd", "MessageBody": "\u{2}" },
    ] });
    let results = sqs.call("SendMessageBatch", batch).await;
    assert_eq!(results["Successful"][0]["Id"], "good");
    assert_eq!(
        results["Successful"][0]["MD5OfMessageBody"],
        "755f85c2723bb39381c7379a604160d8"
    );
    assert_eq!(results["Failed"][0]["Id"], "late");
    assert_eq!(results["Failed"][0]["Code"], "InvalidParameterValue");
    assert_eq!(results["Failed"][0]["SenderFault"], true);
    assert_eq!(results["Failed"][1]["Id"], "odd");
    assert_eq!(results["Failed"][1]["Code"], "InvalidMessageContents");
    assert_eq!(bodies(&sqs.receive(&queue).await), ["good"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_delay_overrides_the_queues_delay() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({ "DelaySeconds": "60" })).await;
    sqs.send(&queue, "delayed by the queue").await;
    for (body, delay) in [("at once", 0), ("at last", 900)] {
        let message = json!({ "QueueUrl": queue, "MessageBody": body, "DelaySeconds": delay });
        sqs.call("SendMessage", message).await;
    }
    assert_eq!(sqs.counts(&queue).await, ["1", "0", "2"]);
    assert_eq!(bodies(&sqs.receive(&queue).await), ["at once"]);
    pass(59).await;
    let again = sqs.receive(&queue).await;
    assert_eq!(bodies(&again), ["at once"]);
    pass(1).await;
    assert_eq!(bodies(&sqs.receive(&queue).await), ["delayed by the queue"]);
    sqs.delete(&queue, &again[0]).await;
    pass(840).await;
    assert_eq!(
        bodies(&sqs.receive(&queue).await),
        ["delayed by the queue", "at last"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_on_a_standard_queue_is_returned_and_locks_nothing() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    for body in ["1", "2"] {
        let message = json!({ "QueueUrl": queue, "MessageBody": body, "MessageGroupId": "tenant" });
        let sent = sqs.call("SendMessage", message).await;
        assert_eq!(sent["SequenceNumber"], Value::Null);
    }
    for body in ["1", "2"] {
        let messages = sqs
            .receive_with(&queue, json!({ "MaxNumberOfMessages": 1 }))
            .await;
        assert_eq!(bodies(&messages), [body]);
        assert_eq!(attribute(&messages[0], "MessageGroupId"), "tenant");
    }
}
