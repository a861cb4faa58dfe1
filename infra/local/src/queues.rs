//! The queues of the template, created over the SQS API so that an external SQS gets them too.

use std::collections::HashMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::BoxError;
use aws_sdk_sqs::types::QueueAttributeName;
use futures::future::try_join_all;
use serde::Serialize;

use crate::template::{Queue, Topology};

/// The queues and the URLs under which the stack itself reaches them.
#[derive(Debug)]
pub struct Queues {
    client: Client,
    known: Vec<(Queue, String)>,
}

/// One queue's part of the answer to `GET /local/queues`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Depth {
    name: String,
    visible: u64,
    in_flight: u64,
    delayed: u64,
    dead_letter_of: Option<String>,
}

/// A failed SQS call.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempt} queue {name}")]
pub struct QueueError {
    attempt: &'static str,
    name: String,
    #[source]
    source: BoxError,
}

impl Queues {
    /// Creates missing queues and updates the attributes of existing ones.
    pub async fn prepare(client: Client, topology: &Topology) -> Result<Self, QueueError> {
        let mut queues = topology.queues.clone();
        // Dead-letter queues first: a redrive policy may only name a queue that exists.
        queues.sort_by_key(|queue| queue.dead_letter_queue.is_some());
        let mut known = Vec::with_capacity(queues.len());
        for queue in queues {
            let url = prepare(&client, &queue).await?;
            known.push((queue, url));
        }
        Ok(Self { client, known })
    }

    /// The URL under which the stack reaches a queue.
    pub fn url(&self, name: &str) -> Option<&str> {
        self.known
            .iter()
            .find(|(queue, _)| queue.name == name)
            .map(|(_, url)| url.as_str())
    }

    /// Returns the number of messages in each queue. Receives none.
    pub async fn depths(&self) -> Result<Vec<Depth>, QueueError> {
        try_join_all(self.known.iter().map(|(queue, url)| self.depth(queue, url))).await
    }

    async fn depth(&self, queue: &Queue, url: &str) -> Result<Depth, QueueError> {
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::All)
            .send()
            .await
            .map_err(|error| failed("read the depth of", queue, error))?;
        let attributes = answer.attributes.unwrap_or_default();
        let count = |name| number(&attributes, &name);
        Ok(Depth {
            name: queue.name.clone(),
            visible: count(QueueAttributeName::ApproximateNumberOfMessages),
            in_flight: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
            delayed: count(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
            dead_letter_of: self
                .known
                .iter()
                .find(|(source, _)| source.dead_letter_queue.as_ref() == Some(&queue.name))
                .map(|(source, _)| source.name.clone()),
        })
    }
}

async fn prepare(client: &Client, queue: &Queue) -> Result<String, QueueError> {
    // Without attributes: SQS refuses to create an existing queue with different attributes. They are set below.
    let created = client
        .create_queue()
        .queue_name(&queue.name)
        .send()
        .await
        .map_err(|error| failed("create", queue, error))?;
    let url = created.queue_url.unwrap_or_default();
    let attributes = queue
        .attributes
        .iter()
        .map(|(name, value)| (QueueAttributeName::from(name.as_str()), value.clone()))
        .collect::<HashMap<_, _>>();
    if !attributes.is_empty() {
        client
            .set_queue_attributes()
            .queue_url(&url)
            .set_attributes(Some(attributes))
            .send()
            .await
            .map_err(|error| failed("set the attributes of", queue, error))?;
    }
    Ok(url)
}

fn number(attributes: &HashMap<QueueAttributeName, String>, name: &QueueAttributeName) -> u64 {
    attributes
        .get(name)
        .and_then(|value| value.parse().ok())
        .unwrap_or_default()
}

fn failed(attempt: &'static str, queue: &Queue, source: impl Into<BoxError>) -> QueueError {
    QueueError {
        attempt,
        name: queue.name.clone(),
        source: source.into(),
    }
}
