//! ReceiveMessage and long polling.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::Call;
use super::messages::{seconds, visibility_timeout};
use crate::clock::Seconds;
use crate::error::Error;
use crate::message::{Attributes, md5_of_body};
use crate::name::QueueName;
use crate::store::{MessageRow, QueueId, Received, Wanted};

/// The sender of every message: the service has no identities.
const SENDER: &str = "000000000000";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Receive {
    queue_url: String,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    /// The deprecated name of this list; SQS accepts both.
    attribute_names: Vec<String>,
    message_system_attribute_names: Vec<String>,
    message_attribute_names: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Messages {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Message>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    message_id: String,
    receipt_handle: String,
    #[serde(rename = "MD5OfBody")]
    md5_of_body: String,
    body: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, String>,
    #[serde(
        rename = "MD5OfMessageAttributes",
        skip_serializing_if = "Option::is_none"
    )]
    md5_of_attributes: Option<String>,
    #[serde(skip_serializing_if = "Attributes::is_empty")]
    message_attributes: Attributes,
}

pub(super) async fn receive(call: &Call, receive: Receive) -> Result<Messages, Error> {
    let name = QueueName::from_url(&receive.queue_url)?;
    let most = receive.max_number_of_messages.unwrap_or(1);
    let wanted = Wanted {
        messages: u32::try_from(most)
            .ok()
            .filter(|most| (1..=10).contains(most))
            .ok_or_else(|| {
                Error::invalid(
                    "MaxNumberOfMessages",
                    most,
                    "Must be between 1 and 10, if provided.",
                )
            })?,
        visibility_timeout: receive
            .visibility_timeout
            .map(visibility_timeout)
            .transpose()?,
    };
    let wait = receive
        .wait_time_seconds
        .map(|wait| {
            seconds(
                "WaitTimeSeconds",
                wait,
                0..=20,
                "Must be >= 0 and <= 20, if provided.",
            )
        })
        .transpose()?;
    let selection = Selection::parse(
        &receive.attribute_names,
        &receive.message_system_attribute_names,
        receive.message_attribute_names,
    )?;

    let received = poll(call, &name, wanted, wait).await?;
    Ok(Messages {
        messages: received
            .into_iter()
            .map(|message| selection.render(message))
            .collect(),
    })
}

struct Attempt {
    received: Vec<Received>,
    queue: QueueId,
    default_wait: Seconds,
    /// The time until a hidden message becomes visible.
    next_visible: Option<Duration>,
}

async fn attempt(call: &Call, name: &QueueName, wanted: Wanted) -> Result<Attempt, Error> {
    let name = name.clone();
    call.queues
        .transact(move |session| {
            let queue = session.queue(&name)?;
            Ok(Attempt {
                received: session.receive(&queue, wanted)?,
                queue: queue.id,
                default_wait: queue.settings.receive_wait,
                next_visible: session
                    .next_visible(queue.id)?
                    .map(|next| session.now.until(next)),
            })
        })
        .await
}

/// Polls until there is a message or the wait time is over. Between two attempts it sleeps until the queue may have
/// changed.
async fn poll(
    call: &Call,
    name: &QueueName,
    wanted: Wanted,
    wait: Option<Seconds>,
) -> Result<Vec<Received>, Error> {
    let began = Instant::now();
    let first = attempt(call, name, wanted).await?;
    let Seconds(wait) = wait.unwrap_or(first.default_wait);
    if !first.received.is_empty() || wait == 0 {
        return Ok(first.received);
    }
    let deadline = began + Duration::from_secs(wait.into());
    let arrivals = call.queues.arrivals(first.queue);
    loop {
        // Subscribe before the attempt: a message that arrives between the two must wake this receiver.
        let arrival = arrivals.notified();
        let Attempt {
            received,
            next_visible,
            ..
        } = attempt(call, name, wanted).await?;
        let now = Instant::now();
        if !received.is_empty() || now >= deadline {
            return Ok(received);
        }
        let next_visible = next_visible.map_or(deadline, |next| now + next);
        tokio::select! {
            () = arrival => {}
            () = sleep_until(deadline.min(next_visible)) => {}
        }
    }
}

/// The attributes that a receiver requests besides the body.
struct Selection {
    system: Vec<String>,
    user: Vec<String>,
}

const SYSTEM_ATTRIBUTES: [&str; 10] = [
    "All",
    "AWSTraceHeader",
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "DeadLetterQueueSourceArn",
    "MessageDeduplicationId",
    "MessageGroupId",
    "SenderId",
    "SentTimestamp",
    "SequenceNumber",
];

impl Selection {
    fn parse(old: &[String], new: &[String], user: Vec<String>) -> Result<Self, Error> {
        let system: Vec<String> = old.iter().chain(new).cloned().collect();
        match system
            .iter()
            .find(|name| !SYSTEM_ATTRIBUTES.contains(&name.as_str()))
        {
            Some(unknown) => Err(Error::unknown_attribute(unknown)),
            None => Ok(Self { system, user }),
        }
    }

    fn render(&self, message: Received) -> Message {
        let mut attributes = BTreeMap::from([
            ("SenderId", SENDER.to_owned()),
            ("SentTimestamp", message.sent_at.millis().to_string()),
            ("ApproximateReceiveCount", message.receives.to_string()),
            (
                "ApproximateFirstReceiveTimestamp",
                message.first_received_at.millis().to_string(),
            ),
        ]);
        let optional = [
            ("AWSTraceHeader", message.trace_header),
            ("DeadLetterQueueSourceArn", message.dead_letter_source),
            ("MessageDeduplicationId", message.deduplication),
            ("MessageGroupId", message.group),
            (
                "SequenceNumber",
                message.sequence.map(MessageRow::sequence_number),
            ),
        ];
        attributes.extend(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        attributes.retain(|name, _| {
            self.system
                .iter()
                .any(|asked| asked == "All" || asked == name)
        });
        let message_attributes = message.attributes.selected(&self.user);
        Message {
            message_id: message.message_id.to_string(),
            receipt_handle: message.receipt.handle(),
            md5_of_body: md5_of_body(&message.body),
            body: message.body,
            attributes,
            md5_of_attributes: message_attributes.md5(),
            message_attributes,
        }
    }
}
