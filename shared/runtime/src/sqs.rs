//! Turns a batch of deliveries into the batch's answer. A failed message never affects the others.

use std::{panic::AssertUnwindSafe, time::Duration};

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures::{FutureExt, future::join_all};
use tracing::{Instrument, error, warn};

use crate::queue::{Message, QueueUrl};
use telemetry::{
    chain,
    trace::{TRACEPARENT, TraceParent},
};

/// What SQS does with a delivered message.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The queue deletes the message.
    Ack,
    /// The queue redelivers the message.
    Retry,
}

/// One delivery of one message.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message's body.
    pub body: String,
    /// How many times the message was received, including this delivery.
    pub receives: u32,
    /// The source queue's name: the last part of its ARN.
    pub queue: String,
    /// The message's id at SQS.
    pub message_id: String,
    /// The trace of its sender.
    pub trace: Option<TraceParent>,
    receipt_handle: String,
}

impl Delivery {
    /// Reads a record of the event; a missing field gets a default.
    pub fn of(record: &SqsMessage) -> Self {
        let receives = record
            .attributes
            .get("ApproximateReceiveCount")
            .and_then(|count| count.parse().ok())
            .unwrap_or(1);
        let arn = record.event_source_arn.as_deref().unwrap_or_default();
        Self {
            body: record.body.clone().unwrap_or_default(),
            receives,
            queue: arn.rsplit(':').next().unwrap_or_default().to_owned(),
            message_id: record.message_id.clone().unwrap_or_default(),
            trace: record
                .message_attributes
                .get(TRACEPARENT)
                .and_then(|trace| trace.string_value.as_deref()?.parse().ok()),
            receipt_handle: record.receipt_handle.clone().unwrap_or_default(),
        }
    }
}

impl Delivery {
    /// Runs `work` for this delivery's message: log lines name what they are about, and messages and requests continue
    /// the message's trace.
    pub fn follow<T>(
        &self,
        message: &Message,
        work: impl Future<Output = T>,
    ) -> impl Future<Output = T> {
        let trace = self
            .trace
            .unwrap_or_else(|| TraceParent::start(message.trace()));
        let span = telemetry::work(message.owner(), trace.id());
        if let Some(id) = message.command() {
            span.record("command.id", tracing::field::display(id));
        }
        // A worker's future is large; unboxed, each wrapper would copy it on the stack.
        trace.follow(Box::pin(work).instrument(span))
    }
}

/// Handles every message of a batch concurrently and reports those to redeliver. A panic fails only its own message.
/// The reported ids are those of the batch.
pub async fn each_message(
    event: &SqsEvent,
    handle: impl AsyncFn(Delivery) -> Disposition,
) -> SqsBatchResponse {
    let verdicts = join_all(event.records.iter().map(async |record| {
        let delivery = Delivery::of(record);
        let handled = AssertUnwindSafe(handle(delivery)).catch_unwind().await;
        handled.unwrap_or_else(|_| {
            let id = record.message_id.as_deref().unwrap_or_default();
            error!(
                sqs.message_id = id,
                "the handler panicked; the queue redelivers the message"
            );
            Disposition::Retry
        })
    }))
    .await;
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = event
        .records
        .iter()
        .zip(verdicts)
        .filter(|(_, verdict)| *verdict == Disposition::Retry)
        .map(|(record, _)| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = record.message_id.clone().unwrap_or_default();
            failure
        })
        .collect();
    response
}

/// Sets when messages are redelivered.
#[derive(Clone, Debug)]
pub struct Inbox {
    client: aws_sdk_sqs::Client,
    queues: Vec<QueueUrl>,
}

impl Inbox {
    /// The queues that the function reads.
    pub const fn new(client: aws_sdk_sqs::Client, queues: Vec<QueueUrl>) -> Self {
        Self { client, queues }
    }

    /// Sets the visibility timeout of a delivery: when the queue redelivers the message unless it is acknowledged. Best
    /// effort: if the call fails, the queue's own visibility timeout applies.
    pub async fn set_visibility(&self, delivery: &Delivery, pause: Duration) {
        let Some(queue) = self
            .queues
            .iter()
            .find(|queue| queue.name() == delivery.queue)
        else {
            warn!(
                queue = delivery.queue,
                "the delivery's queue is not configured; its visibility timeout is unchanged"
            );
            return;
        };
        // SQS allows at most 12 hours: 43,200 s.
        let seconds = i32::try_from(pause.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let changed = self
            .client
            .change_message_visibility()
            .queue_url(queue.as_str())
            .receipt_handle(&delivery.receipt_handle)
            .visibility_timeout(seconds.min(43_200))
            .send()
            .await;
        if let Err(error) = changed {
            warn!(
                queue = delivery.queue,
                sqs.message_id = delivery.message_id,
                error = %chain(&error),
                "the message's visibility timeout could not be changed; the queue's own applies"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(ids: &[&str]) -> SqsEvent {
        let records: Vec<serde_json::Value> = ids
            .iter()
            .map(|id| serde_json::json!({"messageId": id, "body": id, "attributes": {"ApproximateReceiveCount": "3"}}))
            .collect();
        serde_json::from_value(serde_json::json!({ "Records": records })).expect("an event")
    }

    #[tokio::test]
    async fn only_messages_to_redeliver_are_reported() {
        let answer = each_message(&batch(&["a", "b", "c", "d"]), async |delivery| {
            assert_eq!(delivery.receives, 3);
            match delivery.body.as_str() {
                "b" => Disposition::Retry,
                "c" => panic!("a bug"),
                _ => Disposition::Ack,
            }
        })
        .await;
        let ids: Vec<_> = answer
            .batch_item_failures
            .iter()
            .map(|failure| failure.item_identifier.as_str())
            .collect();
        assert_eq!(ids, ["b", "c"]);
    }
}
