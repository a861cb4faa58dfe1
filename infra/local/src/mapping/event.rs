//! A queue's messages as Lambda passes them to a function, and the function's answer about them.

use std::collections::{BTreeMap, HashSet};

use aws_sdk_sqs::types::{Message, MessageAttributeValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::template::Answers;

/// Builds the event for one batch.
pub(super) fn event(messages: &[Message], queue_arn: &str, region: &str) -> Value {
    let records = messages
        .iter()
        .map(|message| record(message, queue_arn, region))
        .collect::<Vec<_>>();
    json!({ "Records": records })
}

fn record(message: &Message, queue_arn: &str, region: &str) -> Value {
    let attributes = message
        .attributes()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect::<BTreeMap<_, _>>();
    let message_attributes = message
        .message_attributes()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), message_attribute(value)))
        .collect::<Map<_, _>>();
    let mut record = json!({
        "messageId": message.message_id(),
        "receiptHandle": message.receipt_handle(),
        "body": message.body().unwrap_or_default(),
        "attributes": attributes,
        "messageAttributes": message_attributes,
        "md5OfBody": message.md5_of_body(),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": region,
    });
    if let Some(md5) = message.md5_of_message_attributes() {
        record["md5OfMessageAttributes"] = json!(md5);
    }
    record
}

fn message_attribute(value: &MessageAttributeValue) -> Value {
    let mut attribute = json!({
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": value.data_type(),
    });
    if let Some(text) = value.string_value() {
        attribute["stringValue"] = json!(text);
    }
    if let Some(bytes) = value.binary_value() {
        attribute["binaryValue"] = json!(STANDARD.encode(bytes));
    }
    attribute
}

/// An answer that makes the whole batch fail.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("the answer is not a valid batch response")]
    Shape(#[from] serde_json::Error),
    #[error("the answer names message {0:?}, which is not in the batch")]
    Stranger(String),
}

/// Returns the ids of the failed messages, parsed as Lambda parses a function's answer.
pub(super) fn failures(
    answers: Answers,
    answer: &[u8],
    batch: &[Message],
) -> Result<HashSet<String>, AnswerError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Report {
        batch_item_failures: Option<Vec<Failure>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        item_identifier: String,
    }
    if answers == Answers::WholeBatch {
        return Ok(HashSet::new());
    }
    // For Lambda, an empty answer, null and an empty object all mean that nothing failed.
    if answer.is_empty() {
        return Ok(HashSet::new());
    }
    let report: Option<Report> = serde_json::from_slice(answer)?;
    let failures = report.and_then(|report| report.batch_item_failures);
    let ids = batch
        .iter()
        .filter_map(Message::message_id)
        .collect::<HashSet<_>>();
    failures
        .unwrap_or_default()
        .into_iter()
        .map(|Failure { item_identifier }| {
            if ids.contains(item_identifier.as_str()) {
                Ok(item_identifier)
            } else {
                Err(AnswerError::Stranger(item_identifier))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::primitives::Blob;
    use aws_sdk_sqs::types::MessageSystemAttributeName;

    use super::*;

    fn message(id: &str) -> Message {
        let text = MessageAttributeValue::builder()
            .data_type("String")
            .string_value("00-1-2-01")
            .build()
            .expect("a data type is given");
        let binary = MessageAttributeValue::builder()
            .data_type("Binary")
            .binary_value(Blob::new([0xff]))
            .build()
            .expect("a data type is given");
        Message::builder()
            .message_id(id)
            .receipt_handle("handle")
            .body("{}")
            .md5_of_body("99914b932bd37a50b983c5e7c90ae93b")
            .attributes(MessageSystemAttributeName::ApproximateReceiveCount, "2")
            .message_attributes("traceparent", text)
            .message_attributes("bytes", binary)
            .build()
    }

    #[test]
    fn a_batch_becomes_the_event_that_lambda_sends() {
        let event = event(&[message("a")], "arn:aws:sqs:us-east-1:0:Q", "us-east-1");
        assert_eq!(
            event,
            json!({"Records": [{
                "messageId": "a",
                "receiptHandle": "handle",
                "body": "{}",
                "attributes": {"ApproximateReceiveCount": "2"},
                "messageAttributes": {
                    "traceparent": {"stringValue": "00-1-2-01", "stringListValues": [], "binaryListValues": [], "dataType": "String"},
                    "bytes": {"binaryValue": "/w==", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
                },
                "md5OfBody": "99914b932bd37a50b983c5e7c90ae93b",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:0:Q",
                "awsRegion": "us-east-1",
            }]})
        );
    }

    #[test]
    fn only_the_named_messages_fail() {
        let batch = [message("a"), message("b")];
        let answer = br#"{"batchItemFailures":[{"itemIdentifier":"b"}]}"#;
        let failed = failures(Answers::BatchItemFailures, answer, &batch).expect("it is an answer");
        assert_eq!(failed, HashSet::from(["b".to_owned()]));
    }

    #[test]
    fn an_answer_without_failures_is_a_full_success() {
        for answer in [
            "",
            "null",
            "{}",
            r#"{"batchItemFailures":null}"#,
            r#"{"batchItemFailures":[]}"#,
        ] {
            let failed = failures(
                Answers::BatchItemFailures,
                answer.as_bytes(),
                &[message("a")],
            );
            assert!(failed.expect("it is an answer").is_empty(), "{answer}");
        }
    }

    #[test]
    fn an_invalid_answer_fails_the_whole_batch() {
        for answer in [
            "nonsense",
            "\"text\"",
            r#"{"batchItemFailures":"b"}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"id":"a"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"stranger"}]}"#,
        ] {
            let failed = failures(
                Answers::BatchItemFailures,
                answer.as_bytes(),
                &[message("a")],
            );
            assert!(failed.is_err(), "{answer}");
        }
    }

    #[test]
    fn without_item_failures_the_answer_is_ignored() {
        let failed = failures(Answers::WholeBatch, b"nonsense", &[message("a")]);
        assert!(failed.expect("nothing to read").is_empty());
    }
}
