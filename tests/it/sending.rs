//! What goes with a message beside its body: its owner, for fair queueing, and its trace.

use std::time::Duration;

use aws_sdk_sqs::types::{Message as Received, MessageSystemAttributeName};
use domain::{lifecycle::Stage, owner::Owner};
use runtime::queue::{Message, ScheduledSync};
use telemetry::trace::TraceParent;
use tests::{NOON, TestQueues, key};
use uuid::Uuid;

/// One message of each kind, each of another owner.
fn messages() -> Vec<Message> {
    let owner = |name: &str| -> Owner { format!("user:{name}").parse().expect("an owner") };
    vec![
        Message::Command {
            key: key(owner("a")),
            stage: Stage::default(),
        },
        Message::ScheduledSync(ScheduledSync {
            owner: owner("b"),
            pass: Uuid::from_u128(7),
            began: NOON,
        }),
        Message::Callback {
            owner: owner("c"),
            finding: "dependabot-7-42".parse().expect("an id"),
            attempt: key(owner("c")).id,
        },
        Message::Erase {
            owner: owner("d"),
            requested_at: NOON,
        },
    ]
}

fn group(received: &Received) -> Option<&str> {
    let attributes = received.attributes.as_ref()?;
    let group = attributes.get(&MessageSystemAttributeName::MessageGroupId)?;
    Some(group.as_str())
}

fn trace(received: &Received) -> Option<TraceParent> {
    let attributes = received.message_attributes.as_ref()?;
    let trace = attributes.get("traceparent")?.string_value.as_deref()?;
    trace.parse().ok()
}

/// Returns the sent message that was received.
fn sent<'a>(messages: &'a [Message], received: &Received) -> &'a Message {
    let body = received.body.as_deref().unwrap_or_default();
    let sent = messages.iter().find(|message| message.body() == body);
    sent.expect("it was sent")
}

#[tokio::test]
async fn every_message_is_grouped_by_owner_and_starts_a_trace() {
    let queues = TestQueues::create().await;
    let queue = queues.queue("work").await;
    let messages = messages();
    for message in &messages {
        let alone = queues.sender().send(&queue, message, Duration::ZERO).await;
        alone.expect("it is queued");
    }
    let together = queues.sender().send_batch(&queue, &messages).await;
    assert_eq!(together.expect("they are queued"), [0; 0]);
    let received = queues.receive(&queue).await;
    assert_eq!(received.len(), 2 * messages.len());
    for received in &received {
        let message = sent(&messages, received);
        assert_eq!(group(received), Some(message.owner().hashed().as_str()));
        let trace = trace(received).expect("it has a trace");
        assert_eq!(trace.id(), message.trace());
    }
}

#[tokio::test]
async fn a_message_sent_during_work_continues_its_trace() {
    let queues = TestQueues::create().await;
    let queue = queues.queue("work").await;
    let current = TraceParent::start(42.into());
    let message = &messages()[0];
    let sender = queues.sender();
    let sent = current.follow(sender.send(&queue, message, Duration::ZERO));
    sent.await.expect("it is queued");
    let received = queues.receive(&queue).await;
    let trace = trace(&received[0]).expect("it has a trace");
    assert_eq!(trace.id(), current.id());
    assert_ne!(trace, current, "it is a new span");
}
