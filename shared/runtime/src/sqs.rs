//! A batch of deliveries into the batch's answer: each message stands alone.

use std::{panic::AssertUnwindSafe, time::Duration};

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures::{FutureExt, future::join_all};
use tracing::{Instrument, error, warn};

use crate::queue::{Message, QueueUrl};
use telemetry::{
    chain,
    trace::{TRACEPARENT, TraceParent},
};

/// What is to become of a delivery.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It is dealt with: the queue may forget it.
    Ack,
    /// The queue is to deliver it again.
    Retry,
}

/// One delivery of one message.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message's body.
    pub body: String,
    /// How often the message was received, this time included.
    pub receives: u32,
    /// Last part of the source queue's ARN.
    pub queue: String,
    /// The message's id at SQS.
    pub message_id: String,
    /// The trace that it was sent in.
    pub trace: Option<TraceParent>,
    receipt_handle: String,
}

impl Delivery {
    /// A record of the event, whatever is missing in it.
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
    /// Does the work for the message that this delivery brought: what is logged meanwhile says what it is about, and
    /// what is sent or asked goes on in its trace.
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
        // All that a worker does is one large value, which would be moved from the stack to the stack for each layer.
        trace.follow(Box::pin(work).instrument(span))
    }
}

/// Gives every message of a batch to `handle`, all at once, and reports exactly those that are to come again. A panic
/// costs only its own message. The ids reported are those of the batch, so none can be foreign to it.
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
                "the handler panicked; the message comes again"
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

/// Decides when deliveries come again.
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

    /// Lets a delivery that is not acknowledged come again after this long, instead of the queue's own timeout. Only
    /// a hint to the queue: nothing depends on its success.
    pub async fn set_visibility(&self, delivery: &Delivery, pause: Duration) {
        let Some(queue) = self
            .queues
            .iter()
            .find(|queue| queue.name() == delivery.queue)
        else {
            warn!(
                queue = delivery.queue,
                "a delivery came from a queue that is not configured"
            );
            return;
        };
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
                "the message's visibility could not be changed; the queue's own timeout stands"
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
    async fn only_what_must_come_again_is_reported() {
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
