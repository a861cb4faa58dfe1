//! Event source mappings: queues that invoke functions.

mod event;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use crate::functions::{Chain, Functions, InvokeError, PROCESSES, THROTTLED};
use crate::template::Mapping;

/// SQS's maximum wait time of a receive.
const LONG_POLL: Duration = Duration::from_secs(20);
/// SQS's maximum number of messages in a receive or in a batch delete.
const SQS_BATCH: usize = 10;
/// The pause after a failed receive, or if a function cannot start.
const PAUSE: Duration = Duration::from_secs(1);

/// Polls a queue on behalf of a function.
#[derive(Debug)]
pub(crate) struct Poller {
    pub(crate) mapping: Mapping,
    pub(crate) queue_url: String,
    pub(crate) region: String,
    pub(crate) client: Client,
    pub(crate) functions: Arc<Functions>,
}

/// The header of the request that sent the message.
fn trace_header(message: &Message) -> Option<&str> {
    let attributes = message.attributes.as_ref()?;
    let header = attributes.get(&MessageSystemAttributeName::AwsTraceHeader)?;
    Some(header)
}

impl Poller {
    /// Polls until cancelled. Invocations that are still running are left to the tracker.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken, invocations: TaskTracker) {
        let most = self
            .mapping
            .maximum_concurrency
            .map_or(PROCESSES, |most| most.get().min(PROCESSES));
        let slots = Arc::new(Semaphore::new(most as usize));
        loop {
            // Take a slot before receiving: the visibility timeout starts with the receive, and must not pass while
            // the messages wait for a process.
            let batch = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                (slot, self.batch().await)
            };
            let Some((Ok(slot), batch)) = stop.run_until_cancelled(batch).await else {
                return;
            };
            if batch.is_empty() {
                continue;
            }
            let poller = Arc::clone(&self);
            invocations.spawn(async move {
                poller.process(batch).await;
                drop(slot);
            });
        }
    }

    /// Receives messages until the batch is full or the batching window ends.
    async fn batch(&self) -> Vec<Message> {
        let size = self.mapping.batch_size.get() as usize;
        let mut batch = self.receive(size, LONG_POLL).await;
        let window_ends = Instant::now() + self.mapping.batching_window;
        while !batch.is_empty() && batch.len() < size {
            let left = window_ends.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            batch.extend(self.receive(size - batch.len(), left.min(LONG_POLL)).await);
        }
        batch
    }

    async fn receive(&self, most: usize, wait: Duration) -> Vec<Message> {
        let received = self
            .client
            .receive_message()
            .queue_url(&self.queue_url)
            .max_number_of_messages(i32::try_from(most.min(SQS_BATCH)).unwrap_or(1))
            .wait_time_seconds(i32::try_from(wait.as_secs()).unwrap_or_default())
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .send()
            .await;
        match received {
            Ok(received) => received.messages.unwrap_or_default(),
            Err(error) => {
                warn!(
                    queue = self.mapping.queue,
                    "cannot receive messages: {}",
                    crate::chain(&error)
                );
                sleep(PAUSE).await;
                Vec::new()
            }
        }
    }

    /// Invokes the function with the batch and deletes the messages that succeeded.
    async fn process(&self, batch: Vec<Message>) {
        let event = event::event(&batch, &self.mapping.queue_arn, &self.region);
        let payload = Bytes::from(event.to_string());
        let answer = match self.invoke(&batch, payload).await {
            Ok(answer) => answer,
            // Logged where it happened. Nothing is deleted: SQS redelivers the messages after the visibility
            // timeout.
            Err(InvokeError::Init { .. }) => return sleep(PAUSE).await,
            Err(_) => return,
        };
        match event::failures(self.mapping.answers, &answer, &batch) {
            Ok(failed) => self.delete(&batch, &failed).await,
            Err(error) => error!(
                function = self.mapping.function,
                "the whole batch failed: {}",
                crate::chain(&error)
            ),
        }
    }

    /// Invokes the function. While it is throttled, the messages stay in flight and the invocation is repeated, as Lambda
    /// does, until their visibility timeout ends. SQS then delivers them again, so throttling costs a receive each time.
    async fn invoke(&self, batch: &[Message], payload: Bytes) -> Result<Bytes, InvokeError> {
        let chain = Chain::of(batch.iter().filter_map(trace_header));
        let received = Instant::now();
        let mut visible = None;
        let mut tries = 0;
        loop {
            let function = &self.mapping.function;
            let invoked = self
                .functions
                .invoke_after(&chain, function, payload.clone());
            let error = match invoked.await {
                Err(error @ InvokeError::Throttled { .. }) => error,
                invoked => return invoked,
            };
            tries += 1;
            let visible = match visible {
                Some(visible) => visible,
                None => *visible.insert(received + self.visibility_timeout().await),
            };
            let again = Instant::now() + THROTTLED.after(tries);
            if again >= visible {
                return Err(error);
            }
            sleep_until(again).await;
        }
    }

    /// The queue's visibility timeout now; zero if it cannot be read.
    async fn visibility_timeout(&self) -> Duration {
        let attributes = self
            .client
            .get_queue_attributes()
            .queue_url(&self.queue_url)
            .attribute_names(QueueAttributeName::VisibilityTimeout)
            .send()
            .await;
        let attributes = attributes.ok().and_then(|read| read.attributes);
        let seconds = attributes.and_then(|all| {
            let timeout = all.get(&QueueAttributeName::VisibilityTimeout)?;
            timeout.parse().ok()
        });
        Duration::from_secs(seconds.unwrap_or_default())
    }

    async fn delete(&self, batch: &[Message], failed: &HashSet<String>) {
        let entries = batch
            .iter()
            .filter(|message| message.message_id().is_some_and(|id| !failed.contains(id)))
            .enumerate()
            .filter_map(|(index, message)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(message.receipt_handle()?)
                    .build()
                    .ok()
            })
            .collect::<Vec<_>>();
        for chunk in entries.chunks(SQS_BATCH) {
            let deleted = self
                .client
                .delete_message_batch()
                .queue_url(&self.queue_url)
                .set_entries(Some(chunk.to_vec()))
                .send()
                .await;
            match deleted {
                Ok(deleted) => {
                    for entry in deleted.failed() {
                        warn!(
                            queue = self.mapping.queue,
                            "cannot delete the message, SQS will redeliver it: {}",
                            entry.code()
                        );
                    }
                }
                Err(error) => {
                    warn!(
                        queue = self.mapping.queue,
                        "cannot delete the batch: {}",
                        crate::chain(&error)
                    );
                }
            }
        }
    }
}
