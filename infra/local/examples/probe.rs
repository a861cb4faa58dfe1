//! A function for the tests of the local stack: it does what its event says.

use std::error::Error;
use std::time::Duration;

use aws_config::BehaviorVersion;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let queue = required("PROBE_QUEUE_URL")?;
    if required("PROBE_MODE")? == "refuse" {
        return Err("PROBE_MODE must not be refuse".into());
    }
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let sqs = aws_sdk_sqs::Client::new(&aws);
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
    let (sqs, dynamodb, queue) = (&sqs, &dynamodb, &queue);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let deadline = event.context.deadline;
        let event = event.payload;
        if let Some(records) = event["Records"].as_array() {
            return batch(records, sqs, queue).await;
        }
        let order = match event["body"].as_str() {
            Some(body) => serde_json::from_str(body)?,
            None => event.clone(),
        };
        let done = match order["do"].as_str() {
            Some("send") => {
                let sent = sqs.send_message().queue_url(queue).message_body("{}");
                let sent = sent.send().await.map_err(|error| format!("{error:?}"))?;
                json!(sent.message_id)
            }
            Some("describe") => {
                let tables = dynamodb.describe_table().table_name("Table");
                let tables = tables.send().await.map_err(|error| format!("{error:?}"))?;
                json!(tables.table.and_then(|table| table.table_name))
            }
            Some("receive") => {
                let received = sqs.receive_message().queue_url(queue);
                let received = received.send().await;
                let received = received.map_err(|error| format!("{error:?}"))?;
                json!(received.messages.map(|messages| messages.len()))
            }
            Some("describe_time_to_live") => {
                let expiry = dynamodb.describe_time_to_live().table_name("Table");
                let expiry = expiry.send().await.map_err(|error| format!("{error:?}"))?;
                json!(expiry.time_to_live_description.is_some())
            }
            Some("query") => {
                let query = dynamodb.query().table_name("Table");
                let query = query
                    .key_condition_expression("pk = :pk")
                    .expression_attribute_values(":pk", dynamodb_text("nothing"));
                let found = query.send().await.map_err(|error| format!("{error:?}"))?;
                json!({"count": found.count, "told": found.consumed_capacity.is_some()})
            }
            Some("deadline") => json!(deadline),
            other => obey(other).await?,
        };
        Ok(if event["version"] == "2.0" {
            json!({
                "statusCode": 201,
                "headers": {"content-type": "application/json"},
                "body": json!({"done": done, "event": event}).to_string(),
            })
        } else {
            json!({"done": done, "event": event})
        })
    }))
    .await
}

/// Treats every record's body as an order and reports the ones that fail.
async fn batch(
    records: &[Value],
    sqs: &aws_sdk_sqs::Client,
    queue: &str,
) -> Result<Value, Box<dyn Error + Send + Sync>> {
    let mut failures = Vec::new();
    for record in records {
        let order: Value = serde_json::from_str(record["body"].as_str().unwrap_or_default())?;
        if let Some(left) = order["relay"].as_u64() {
            if let Some(left) = left.checked_sub(1) {
                let body = json!({ "relay": left }).to_string();
                sqs.send_message()
                    .queue_url(queue)
                    .message_body(body)
                    .send()
                    .await?;
            }
        } else if obey(order["do"].as_str()).await.is_err() {
            failures.push(json!({"itemIdentifier": record["messageId"]}));
        }
    }
    Ok(json!({"batchItemFailures": failures}))
}

async fn obey(order: Option<&str>) -> Result<Value, Box<dyn Error + Send + Sync>> {
    match order {
        Some("fail") => Err("told to fail".into()),
        Some("panic") => panic!("told to panic"),
        Some("sleep") => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            Ok(json!("slept"))
        }
        Some("exit") => std::process::exit(7),
        Some(other) => Err(format!("cannot {other}").into()),
        None => Ok(Value::Null),
    }
}

fn dynamodb_text(text: &str) -> aws_sdk_dynamodb::types::AttributeValue {
    aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the probe reads its own configuration"
)]
fn required(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}"))
}
