//! In-memory queues for one test.

use std::time::Duration;

use aws_lambda_events::event::sqs::SqsEvent;
use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig},
    types::{Message, MessageSystemAttributeName},
};
use runtime::{
    queue::{QueueUrl, Sender},
    sqs::Inbox,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{Proxy, credentials};

/// Queues in memory, behind a proxy.
#[derive(Clone, Debug)]
pub struct TestQueues {
    endpoint: String,
    client: Client,
    /// The proxy between the clients and the queues.
    pub proxy: Proxy,
}

impl TestQueues {
    /// Starts the service, with no queues.
    pub async fn create() -> Self {
        let queues = local_sqs::Queues::memory().expect("SQLite opens a database in memory");
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port of the loopback");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move { axum::serve(listener, queues.router()).await });
        let endpoint = format!("http://{address}");
        let proxy = Proxy::to(&endpoint).await;
        Self {
            endpoint,
            client: client(proxy.url()),
            proxy,
        }
    }

    /// The address of the queues, past the proxy.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Creates a queue.
    pub async fn queue(&self, name: &str) -> QueueUrl {
        let created = self.client.create_queue().queue_name(name).send().await;
        let url = created.expect("a valid name").queue_url;
        url.and_then(|url| url.parse().ok()).expect("a URL")
    }

    /// A sender to these queues.
    pub fn sender(&self) -> Sender {
        Sender::new(self.client.clone())
    }

    /// A sender to these queues through another address, such as a proxy's.
    pub fn sender_at(&self, endpoint: &str) -> Sender {
        Sender::new(client(endpoint))
    }

    /// An inbox that sets when deliveries from these queues are redelivered.
    pub fn inbox(&self, queues: Vec<QueueUrl>) -> Inbox {
        Inbox::new(self.client.clone(), queues)
    }

    /// Sends a message with this body.
    pub async fn send(&self, queue: &QueueUrl, body: &str) {
        let send = self.client.send_message().queue_url(queue.as_str());
        send.message_body(body).send().await.expect("it is queued");
    }

    /// Receives every visible message.
    pub async fn receive(&self, queue: &QueueUrl) -> Vec<Message> {
        let mut received = Vec::new();
        loop {
            let page = self
                .client
                .receive_message()
                .queue_url(queue.as_str())
                .max_number_of_messages(10)
                .wait_time_seconds(0)
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .message_attribute_names("All")
                .send()
                .await
                .expect("the queue exists");
            match page.messages {
                Some(messages) if !messages.is_empty() => received.extend(messages),
                _ => return received,
            }
        }
    }

    /// The bodies of every visible message.
    pub async fn bodies(&self, queue: &QueueUrl) -> Vec<String> {
        let received = self.receive(queue).await;
        received
            .into_iter()
            .filter_map(|message| message.body)
            .collect()
    }

    /// Receives and deletes every visible message. Returns the bodies.
    pub async fn take(&self, queue: &QueueUrl) -> Vec<String> {
        let mut bodies = Vec::new();
        for message in self.receive(queue).await {
            let delete = self.client.delete_message().queue_url(queue.as_str());
            let delete = delete.set_receipt_handle(message.receipt_handle);
            delete.send().await.expect("it was just received");
            bodies.extend(message.body);
        }
        bodies
    }

    /// The event that Lambda would pass: every visible message, as one batch.
    pub async fn batch(&self, queue: &QueueUrl) -> SqsEvent {
        let records: Vec<Value> = self
            .receive(queue)
            .await
            .into_iter()
            .map(|message| {
                let receives = MessageSystemAttributeName::ApproximateReceiveCount;
                let receives = message.attributes.as_ref().and_then(|all| all.get(&receives));
                json!({
                    "messageId": message.message_id,
                    "receiptHandle": message.receipt_handle,
                    "body": message.body,
                    "attributes": { "ApproximateReceiveCount": receives },
                    "eventSourceARN": format!("arn:aws:sqs:us-east-1:000000000000:{}", queue.name()),
                })
            })
            .collect();
        serde_json::from_value(json!({ "Records": records })).expect("an event")
    }
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials())
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(5)))
        .build();
    Client::from_conf(config)
}
