//! Message operations: send, delete and change visibility, each single or in a batch.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{Call, Empty};
use crate::clock::Seconds;
use crate::error::{Code, Error};
use crate::message::{Attribute, Attributes, NewMessage, check_characters, check_id, md5_of_body};
use crate::name::QueueName;
use crate::settings::{MAXIMUM_BYTES, MAXIMUM_DELAY, MAXIMUM_VISIBILITY};
use crate::store::{MessageRow, Queue, Sent, Session};

const MOST_ENTRIES: usize = 10;

/// A message to send; a batch entry has the same members.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Message {
    message_body: String,
    delay_seconds: Option<i64>,
    message_attributes: BTreeMap<String, Attribute>,
    message_system_attributes: BTreeMap<String, Attribute>,
    message_deduplication_id: Option<String>,
    message_group_id: Option<String>,
    /// The trace header of the request, which a system attribute overrides.
    #[serde(skip)]
    trace_header: Option<String>,
}

/// One receive of a message; the timeout is used only to change the visibility.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Hold {
    receipt_handle: String,
    visibility_timeout: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct On<T> {
    #[serde(default)]
    queue_url: String,
    #[serde(flatten)]
    item: T,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch<T> {
    #[serde(default)]
    queue_url: String,
    #[serde(default)]
    entries: Vec<Entry<T>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<T> {
    #[serde(default)]
    id: String,
    #[serde(flatten)]
    item: T,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Results<T> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    successful: Vec<Success<T>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Success<T> {
    id: String,
    #[serde(flatten)]
    output: T,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    id: String,
    code: &'static str,
    message: String,
    sender_fault: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Acknowledged {
    message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    md5_of_body: String,
    #[serde(
        rename = "MD5OfMessageAttributes",
        skip_serializing_if = "Option::is_none"
    )]
    md5_of_attributes: Option<String>,
    #[serde(
        rename = "MD5OfMessageSystemAttributes",
        skip_serializing_if = "Option::is_none"
    )]
    md5_of_system_attributes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
}

pub(super) async fn send(call: &Call, mut send: On<Message>) -> Result<Acknowledged, Error> {
    let name = QueueName::from_url(&send.queue_url)?;
    send.item.trace_header.clone_from(&call.trace_header);
    call.queues
        .transact(move |session| {
            let queue = session.queue(&name)?;
            send_one(session, &queue, send.item)
        })
        .await
}

pub(super) async fn send_batch(
    call: &Call,
    mut batch: Batch<Message>,
) -> Result<Results<Acknowledged>, Error> {
    for entry in &mut batch.entries {
        entry.item.trace_header.clone_from(&call.trace_header);
    }
    let total: usize = batch.entries.iter().map(|entry| entry.item.bytes()).sum();
    if batch.entries.len() <= MOST_ENTRIES && total > MAXIMUM_BYTES as usize {
        return Err(Error::refused(
            Code::BatchRequestTooLong,
            format!(
                "Batch requests cannot be longer than {MAXIMUM_BYTES} bytes. You have sent {total} bytes."
            ),
        ));
    }
    each(call, batch, send_one).await
}

pub(super) async fn delete(call: &Call, delete: On<Hold>) -> Result<Empty, Error> {
    let name = QueueName::from_url(&delete.queue_url)?;
    call.queues
        .transact(move |session| {
            let queue = session.queue(&name)?;
            delete_one(session, &queue, delete.item)
        })
        .await
}

pub(super) async fn delete_batch(call: &Call, batch: Batch<Hold>) -> Result<Results<Empty>, Error> {
    each(call, batch, delete_one).await
}

pub(super) async fn change_visibility(call: &Call, change: On<Hold>) -> Result<Empty, Error> {
    let name = QueueName::from_url(&change.queue_url)?;
    call.queues
        .transact(move |session| {
            let queue = session.queue(&name)?;
            change_one(session, &queue, change.item)
        })
        .await
}

pub(super) async fn change_visibility_batch(
    call: &Call,
    batch: Batch<Hold>,
) -> Result<Results<Empty>, Error> {
    each(call, batch, change_one).await
}

fn send_one(
    session: &mut Session<'_>,
    queue: &Queue,
    message: Message,
) -> Result<Acknowledged, Error> {
    let system = Attributes::accept_system(message.message_system_attributes.clone())?;
    let message = message.accept(&system)?;
    let Sent {
        message_id,
        sequence,
    } = session.send(queue, &message)?;
    Ok(Acknowledged {
        message_id: message_id.to_string(),
        md5_of_body: md5_of_body(&message.body),
        md5_of_attributes: message.attributes.md5(),
        md5_of_system_attributes: system.md5(),
        sequence_number: sequence.map(MessageRow::sequence_number),
    })
}

fn delete_one(session: &mut Session<'_>, queue: &Queue, hold: Hold) -> Result<Empty, Error> {
    session.delete(queue, &hold.receipt_handle)?;
    Ok(Empty {})
}

fn change_one(session: &mut Session<'_>, queue: &Queue, hold: Hold) -> Result<Empty, Error> {
    let timeout = hold
        .visibility_timeout
        .ok_or_else(|| Error::missing("VisibilityTimeout"))?;
    let timeout = visibility_timeout(timeout)?;
    session.change_visibility(queue, &hold.receipt_handle, timeout)?;
    Ok(Empty {})
}

impl Message {
    fn bytes(&self) -> usize {
        self.message_body.len() + Attributes::bytes_of(&self.message_attributes)
    }

    fn accept(self, system: &Attributes) -> Result<NewMessage, Error> {
        if self.message_body.is_empty() {
            return Err(Error::missing("MessageBody"));
        }
        check_characters(&self.message_body)?;
        for (parameter, id) in [
            ("MessageDeduplicationId", &self.message_deduplication_id),
            ("MessageGroupId", &self.message_group_id),
        ] {
            if let Some(id) = id {
                check_id(parameter, id)?;
            }
        }
        let delay = self.delay_seconds.map(|delay| {
            seconds(
                "DelaySeconds",
                delay,
                0..=MAXIMUM_DELAY.0,
                "DelaySeconds must be >= 0 and <= 900.",
            )
        });
        Ok(NewMessage {
            body: self.message_body,
            attributes: Attributes::accept(self.message_attributes)?,
            trace_header: system.trace_header().or(self.trace_header),
            delay: delay.transpose()?,
            group: self.message_group_id,
            deduplication: self.message_deduplication_id,
        })
    }
}

/// Applies `work` to every entry of a batch in one transaction. A refused entry changes nothing and does not stop
/// the others.
async fn each<I, O>(
    call: &Call,
    batch: Batch<I>,
    work: fn(&mut Session<'_>, &Queue, I) -> Result<O, Error>,
) -> Result<Results<O>, Error>
where
    I: Send + 'static,
    O: Send + 'static,
{
    let name = QueueName::from_url(&batch.queue_url)?;
    check_entries(&batch.entries)?;
    call.queues
        .transact(move |session| {
            let queue = session.queue(&name)?;
            let mut results = Results {
                successful: Vec::new(),
                failed: Vec::new(),
            };
            for Entry { id, item } in batch.entries {
                match work(session, &queue, item) {
                    Ok(output) => results.successful.push(Success { id, output }),
                    Err(Error::Refused { code, message }) => results.failed.push(Failure {
                        id,
                        code: code.query(),
                        message,
                        sender_fault: true,
                    }),
                    Err(failure) => return Err(failure),
                }
            }
            Ok(results)
        })
        .await
}

fn check_entries<T>(entries: &[Entry<T>]) -> Result<(), Error> {
    if entries.is_empty() {
        return Err(Error::refused(
            Code::EmptyBatchRequest,
            "There should be at least one entry in the request.",
        ));
    }
    if entries.len() > MOST_ENTRIES {
        return Err(Error::refused(
            Code::TooManyEntriesInBatchRequest,
            format!(
                "Maximum number of entries per request are {MOST_ENTRIES}. You have sent {}.",
                entries.len()
            ),
        ));
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let mut seen = BTreeSet::new();
    for Entry { id, .. } in entries {
        if !(1..=80).contains(&id.len()) || !id.bytes().all(legal) {
            return Err(Error::refused(
                Code::InvalidBatchEntryId,
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
            ));
        }
        if !seen.insert(id) {
            return Err(Error::refused(
                Code::BatchEntryIdsNotDistinct,
                format!("Id {id} repeated."),
            ));
        }
    }
    Ok(())
}

pub(super) fn visibility_timeout(given: i64) -> Result<Seconds, Error> {
    seconds(
        "VisibilityTimeout",
        given,
        0..=MAXIMUM_VISIBILITY.0,
        "VisibilityTimeout must be >= 0 and <= 43200.",
    )
}

pub(super) fn seconds(
    parameter: &str,
    given: i64,
    range: RangeInclusive<u32>,
    reason: &str,
) -> Result<Seconds, Error> {
    u32::try_from(given)
        .ok()
        .filter(|seconds| range.contains(seconds))
        .map(Seconds)
        .ok_or_else(|| Error::invalid(parameter, given, reason))
}
