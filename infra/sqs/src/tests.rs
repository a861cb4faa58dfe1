//! Tests through the HTTP router. Tokio's clock is paused, so waits of days end at once.

mod fair;
mod fifo;
mod long_poll;
mod queues;
mod receive;
mod redrive;
mod send;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::clock::Clock;
use crate::{Queues, store};

const HOST: &str = "127.0.0.1:9324";

#[derive(Clone)]
struct Sqs {
    router: Router,
}

#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    shape: String,
    query_error: String,
    message: String,
}

impl Sqs {
    fn new() -> Self {
        let clock = Clock::Tokio {
            origin: Instant::now(),
        };
        let connection = store::open(None).expect("an in-memory database opens");
        Self {
            router: Queues::new(connection, clock).router(),
        }
    }

    async fn post(&self, target: &str, body: String) -> Result<Value, Refusal> {
        self.post_with(&[("x-amz-target", target)], body).await
    }

    async fn post_with(&self, headers: &[(&str, &str)], body: String) -> Result<Value, Refusal> {
        let mut request = Request::post("/")
            .header("host", HOST)
            .header("content-type", "application/x-amz-json-1.0");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).expect("a request is built");
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("the router is infallible");
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX)
            .await
            .expect("the body is in memory");
        let header = |name: &str| {
            let value = head.headers.get(name)?;
            Some(value.to_str().expect("headers are text").to_owned())
        };
        let content_type = header("content-type");
        assert_eq!(content_type.as_deref(), Some("application/x-amz-json-1.0"));
        assert!(header("x-amzn-requestid").is_some());
        let body: Value = serde_json::from_slice(&body).expect("every answer is JSON");
        match header("x-amzn-query-error") {
            None => {
                assert_eq!(head.status, StatusCode::OK);
                Ok(body)
            }
            Some(query_error) => Err(Refusal {
                status: head.status,
                shape: text(&body["__type"]),
                query_error,
                message: text(&body["message"]),
            }),
        }
    }

    async fn call(&self, operation: &str, input: Value) -> Value {
        self.post(&format!("AmazonSQS.{operation}"), input.to_string())
            .await
            .expect(operation)
    }

    /// A call with a trace header, as a function's client sends it.
    async fn traced(&self, trace: &str, operation: &str, input: Value) -> Value {
        let target = format!("AmazonSQS.{operation}");
        let headers = [
            ("x-amz-target", target.as_str()),
            ("x-amzn-trace-id", trace),
        ];
        self.post_with(&headers, input.to_string())
            .await
            .expect(operation)
    }

    async fn refusal(&self, operation: &str, input: Value) -> Refusal {
        self.post(&format!("AmazonSQS.{operation}"), input.to_string())
            .await
            .expect_err(operation)
    }

    /// The error code that an SDK reports.
    async fn code(&self, operation: &str, input: Value) -> String {
        let Refusal { query_error, .. } = self.refusal(operation, input).await;
        query_error
            .strip_suffix(";Sender")
            .expect("the sender is at fault")
            .to_owned()
    }

    async fn create(&self, name: &str, attributes: Value) -> String {
        let created = self
            .call(
                "CreateQueue",
                json!({ "QueueName": name, "Attributes": attributes }),
            )
            .await;
        text(&created["QueueUrl"])
    }

    /// Sends a message and returns its id.
    async fn send(&self, queue: &str, body: &str) -> String {
        let sent = self
            .call(
                "SendMessage",
                json!({ "QueueUrl": queue, "MessageBody": body }),
            )
            .await;
        text(&sent["MessageId"])
    }

    /// Receives up to ten messages with all their attributes.
    async fn receive(&self, queue: &str) -> Vec<Value> {
        self.receive_with(queue, json!({})).await
    }

    async fn receive_with(&self, queue: &str, more: Value) -> Vec<Value> {
        let mut input = json!({
            "QueueUrl": queue,
            "MaxNumberOfMessages": 10,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let more = more.as_object().expect("more members").clone();
        input.as_object_mut().expect("an object").extend(more);
        let mut output = self.call("ReceiveMessage", input).await;
        match output["Messages"].take() {
            Value::Null => Vec::new(),
            messages => serde_json::from_value(messages).expect("a list"),
        }
    }

    async fn receive_one(&self, queue: &str) -> Value {
        let mut messages = self.receive(queue).await;
        assert_eq!(messages.len(), 1);
        messages.remove(0)
    }

    async fn delete(&self, queue: &str, message: &Value) {
        self.call(
            "DeleteMessage",
            json!({ "QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"] }),
        )
        .await;
    }

    /// The numbers of visible, in-flight and delayed messages.
    async fn counts(&self, queue: &str) -> [String; 3] {
        let attributes = self.attributes(queue).await;
        [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]
        .map(|name| text(&attributes[name]))
    }

    async fn attributes(&self, queue: &str) -> Value {
        let mut output = self
            .call(
                "GetQueueAttributes",
                json!({ "QueueUrl": queue, "AttributeNames": ["All"] }),
            )
            .await;
        output["Attributes"].take()
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn bodies(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message["Body"].as_str().expect("a body"))
        .collect()
}

fn attribute<'m>(message: &'m Value, name: &str) -> &'m str {
    message["Attributes"][name].as_str().expect(name)
}

async fn pass(seconds: u64) {
    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
}
