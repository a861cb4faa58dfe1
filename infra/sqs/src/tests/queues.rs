//! Queues, their attributes, and invalid requests.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{HOST, Refusal, Sqs, pass};

#[tokio::test(start_paused = true)]
async fn a_queue_url_has_the_host_of_the_request() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    assert_eq!(queue, format!("http://{HOST}/000000000000/jobs"));
    let found = sqs
        .call("GetQueueUrl", json!({ "QueueName": "jobs" }))
        .await;
    assert_eq!(found["QueueUrl"], queue);
    let elsewhere = "http://another.name:1/000000000000/jobs";
    sqs.send(elsewhere, "reaches the same queue").await;
    assert_eq!(sqs.receive(&queue).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_queue_has_the_defaults() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    assert_eq!(
        sqs.attributes(&queue).await,
        json!({
            "ApproximateNumberOfMessages": "0",
            "ApproximateNumberOfMessagesDelayed": "0",
            "ApproximateNumberOfMessagesNotVisible": "0",
            "CreatedTimestamp": "1800000000",
            "DelaySeconds": "0",
            "LastModifiedTimestamp": "1800000000",
            "MaximumMessageSize": "1048576",
            "MessageRetentionPeriod": "345600",
            "QueueArn": "arn:aws:sqs:us-east-1:000000000000:jobs",
            "ReceiveMessageWaitTimeSeconds": "0",
            "SqsManagedSseEnabled": "true",
            "VisibilityTimeout": "30",
        })
    );
}

#[tokio::test(start_paused = true)]
async fn creating_again_needs_the_same_attributes() {
    let sqs = Sqs::new();
    let given = json!({ "VisibilityTimeout": "90", "DelaySeconds": "0" });
    let queue = sqs.create("jobs", given.clone()).await;
    assert_eq!(sqs.create("jobs", given).await, queue);
    assert_eq!(sqs.create("jobs", json!({})).await, queue);

    let changed = json!({ "VisibilityTimeout": "91" });
    let again = json!({ "QueueName": "jobs", "Attributes": changed });
    assert_eq!(
        sqs.refusal("CreateQueue", again.clone()).await,
        Refusal {
            status: StatusCode::BAD_REQUEST,
            shape: "com.amazonaws.sqs#QueueNameExists".to_owned(),
            query_error: "QueueAlreadyExists;Sender".to_owned(),
            message: "A queue already exists with the same name and a different value for attribute VisibilityTimeout".to_owned(),
        }
    );

    pass(5).await;
    sqs.call(
        "SetQueueAttributes",
        json!({ "QueueUrl": queue, "Attributes": changed }),
    )
    .await;
    let attributes = sqs.attributes(&queue).await;
    assert_eq!(attributes["VisibilityTimeout"], "91");
    assert_eq!(attributes["CreatedTimestamp"], "1800000000");
    assert_eq!(attributes["LastModifiedTimestamp"], "1800000005");
    sqs.call("CreateQueue", again).await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_attribute_refuses_the_whole_change() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    for (name, value, code) in [
        ("VisibilityTimeout", "43201", "InvalidAttributeValue"),
        ("DelaySeconds", "901", "InvalidAttributeValue"),
        ("DelaySeconds", "soon", "InvalidAttributeValue"),
        ("MaximumMessageSize", "1023", "InvalidAttributeValue"),
        ("MaximumMessageSize", "1048577", "InvalidAttributeValue"),
        ("MessageRetentionPeriod", "59", "InvalidAttributeValue"),
        (
            "ReceiveMessageWaitTimeSeconds",
            "21",
            "InvalidAttributeValue",
        ),
        ("FifoQueue", "true", "InvalidAttributeValue"),
        ("ContentBasedDeduplication", "true", "InvalidAttributeName"),
        ("QueueArn", "arn", "InvalidAttributeName"),
        ("Colour", "red", "InvalidAttributeName"),
    ] {
        let mut attributes = json!({ "Policy": "{}" });
        attributes[name] = value.into();
        let input = json!({ "QueueUrl": queue, "Attributes": attributes });
        assert_eq!(sqs.code("SetQueueAttributes", input).await, code, "{name}");
    }
    assert_eq!(sqs.attributes(&queue).await["Policy"], Value::Null);
    let unknown = json!({ "QueueUrl": queue, "AttributeNames": ["Colour"] });
    assert_eq!(
        sqs.code("GetQueueAttributes", unknown).await,
        "InvalidAttributeName"
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_queue_is_reported_as_sdks_expect() {
    let sqs = Sqs::new();
    let absent = Refusal {
        status: StatusCode::BAD_REQUEST,
        shape: "com.amazonaws.sqs#QueueDoesNotExist".to_owned(),
        query_error: "AWS.SimpleQueueService.NonExistentQueue;Sender".to_owned(),
        message: "The specified queue does not exist.".to_owned(),
    };
    let named = json!({ "QueueName": "jobs" });
    assert_eq!(sqs.refusal("GetQueueUrl", named).await, absent);

    let queue = sqs.create("jobs", json!({})).await;
    sqs.send(&queue, "lost with its queue").await;
    sqs.call("DeleteQueue", json!({ "QueueUrl": queue })).await;
    let on = json!({ "QueueUrl": queue });
    assert_eq!(sqs.refusal("ReceiveMessage", on.clone()).await, absent);
    assert_eq!(sqs.refusal("DeleteQueue", on).await, absent);
    let other_account = json!({ "QueueUrl": "http://h/111111111111/jobs" });
    assert_eq!(sqs.refusal("PurgeQueue", other_account).await, absent);

    sqs.create("jobs", json!({})).await;
    assert!(sqs.receive(&queue).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn invalid_requests_are_refused() {
    let sqs = Sqs::new();
    for (target, body, status, code) in [
        ("AmazonSQS.Sing", "{}", 404, "InvalidAction"),
        ("DynamoDB_20120810.PutItem", "{}", 404, "InvalidAction"),
        ("AmazonSQS.SendMessage", "{", 400, "MalformedInput"),
        ("AmazonSQS.SendMessage", "{}", 400, "MissingParameter"),
        ("AmazonSQS.CreateQueue", "{}", 400, "MissingParameter"),
        (
            "AmazonSQS.CreateQueue",
            r#"{"QueueName":"not/allowed"}"#,
            400,
            "InvalidParameterValue",
        ),
        (
            "AmazonSQS.CreateQueue",
            r#"{"QueueName":"without-attribute.fifo"}"#,
            400,
            "InvalidParameterValue",
        ),
        (
            "AmazonSQS.PurgeQueue",
            r#"{"QueueUrl":"jobs"}"#,
            400,
            "InvalidAddress",
        ),
        (
            "AmazonSQS.StartMessageMoveTask",
            "{}",
            400,
            "AWS.SimpleQueueService.UnsupportedOperation",
        ),
    ] {
        let refusal = sqs
            .post(target, body.to_owned())
            .await
            .expect_err("the request is invalid");
        assert_eq!(refusal.status.as_u16(), status, "{target} {body}");
        assert_eq!(refusal.query_error, format!("{code};Sender"));
    }
}

#[tokio::test(start_paused = true)]
async fn queues_are_listed_by_prefix_in_pages() {
    let sqs = Sqs::new();
    assert_eq!(sqs.call("ListQueues", json!({})).await, json!({}));
    for name in ["b-2", "a-1", "b-1", "b-3"] {
        sqs.create(name, json!({})).await;
    }
    let url = |name: &str| format!("http://{HOST}/000000000000/{name}");
    let page = json!({ "QueueNamePrefix": "b-", "MaxResults": 2 });
    let first = sqs.call("ListQueues", page).await;
    assert_eq!(first["QueueUrls"], json!([url("b-1"), url("b-2")]));
    let page = json!({ "QueueNamePrefix": "b-", "MaxResults": 2, "NextToken": first["NextToken"] });
    assert_eq!(
        sqs.call("ListQueues", page).await,
        json!({ "QueueUrls": [url("b-3")] })
    );
    assert_eq!(
        sqs.code("ListQueues", json!({ "MaxResults": 0 })).await,
        "InvalidParameterValue"
    );
}

#[tokio::test(start_paused = true)]
async fn purging_deletes_every_message_and_is_allowed_once_a_minute() {
    let sqs = Sqs::new();
    let queue = sqs.create("jobs", json!({})).await;
    sqs.send(&queue, "in flight").await;
    let held = sqs.receive_one(&queue).await;
    sqs.send(&queue, "visible").await;
    let delayed = json!({ "QueueUrl": queue, "MessageBody": "delayed", "DelaySeconds": 9 });
    sqs.call("SendMessage", delayed).await;
    assert_eq!(sqs.counts(&queue).await, ["1", "1", "1"]);

    let purge = json!({ "QueueUrl": queue });
    sqs.call("PurgeQueue", purge.clone()).await;
    assert_eq!(sqs.counts(&queue).await, ["0", "0", "0"]);
    sqs.delete(&queue, &held).await;

    let refusal = sqs.refusal("PurgeQueue", purge.clone()).await;
    assert_eq!(refusal.status, StatusCode::FORBIDDEN);
    assert_eq!(refusal.shape, "com.amazonaws.sqs#PurgeQueueInProgress");
    pass(60).await;
    sqs.call("PurgeQueue", purge).await;
}

#[tokio::test(start_paused = true)]
async fn tags_are_kept() {
    let sqs = Sqs::new();
    let create = json!({ "QueueName": "jobs", "tags": { "owner": "security", "stage": "local" } });
    let queue = sqs.call("CreateQueue", create).await["QueueUrl"].take();
    let tag = json!({ "QueueUrl": queue, "Tags": { "stage": "test" } });
    sqs.call("TagQueue", tag).await;
    let untag = json!({ "QueueUrl": queue, "TagKeys": ["owner"] });
    sqs.call("UntagQueue", untag).await;
    assert_eq!(
        sqs.call("ListQueueTags", json!({ "QueueUrl": queue }))
            .await,
        json!({ "Tags": { "stage": "test" } })
    );
}
