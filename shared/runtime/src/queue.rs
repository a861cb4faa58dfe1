//! The messages between the functions, and how they are sent. A message names rows and never carries their data.

use backoff::{Backoff, Jitter};
use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
    time::Duration,
};

use aws_sdk_sqs::{
    error::BoxError,
    types::{MessageAttributeValue, SendMessageBatchRequestEntry},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use domain::{
    Timestamp,
    command::{Command, CommandId, CommandKey, CommandQueue, CommandType},
    finding::FindingId,
    lifecycle::Stage,
    owner::Owner,
};
use telemetry::trace::{TRACEPARENT, TraceId, TraceParent};

/// The version of the messages that this code writes. It reads this version and the one before.
pub const VERSION: u64 = 1;

/// The longest delay that SQS takes.
pub const MAX_DELAY: Duration = Duration::from_secs(900);

/// The tries for the refused entries of a batch, and the backoff between them.
const BATCH_TRIES: u32 = 4;
const BATCH_BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(100), Jitter::Quarter);

/// The largest message that SQS accepts, body and attributes together, in bytes (1 MiB).
const LARGEST: usize = 1 << 20;

/// What a message asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Work on a command, at this stage.
    Command {
        /// The command.
        key: CommandKey,
        /// The stage of this message.
        stage: Stage,
    },
    /// Refresh an owner's findings on schedule. There is no command and no row in the ledger.
    ScheduledSync(ScheduledSync),
    /// Record the agent's callback, which is stored on the finding's row.
    Callback {
        /// The finding's owner.
        owner: Owner,
        /// The finding.
        finding: FindingId,
        /// The analysis attempt that the callback is about.
        attempt: CommandId,
    },
    /// Start or continue the erasure of an owner.
    Erase {
        /// The owner.
        owner: Owner,
        /// When the erasure was requested.
        requested_at: Timestamp,
    },
}

/// One scheduled sync, or its continuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledSync {
    /// The owner of the findings.
    pub owner: Owner,
    /// Names the pass over the repositories, so that a continuation skips the repositories that are done.
    pub pass: Uuid,
    /// When the pass began.
    pub began: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
enum Wire {
    Command {
        owner: Owner,
        command_id: CommandId,
        #[serde(default)]
        stage: Stage,
    },
    ScheduledSync {
        owner: Owner,
        pass: Uuid,
        began: Timestamp,
    },
    // The first version's spelling stays: messages in flight and a rollback know no other.
    #[serde(rename = "call_back")]
    Callback {
        owner: Owner,
        finding: FindingId,
        attempt: CommandId,
    },
    Erase {
        owner: Owner,
        requested_at: Timestamp,
    },
}

/// The command that an unusable message seems to be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The command.
    pub key: CommandKey,
    /// The stage of the message; 0 if the message has none.
    pub stage: Stage,
}

/// Why this version cannot use a message.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A later version wrote the message. The queue redelivers it, so a worker of that version can take it.
    #[error("message has version {version}; this code reads up to {VERSION}")]
    Newer {
        /// The message's version.
        version: u64,
        /// The command that it seems to be about.
        command: Option<Recovered>,
    },
    /// No version can read the message. It goes to the malformed queue for an operator.
    #[error("message is malformed")]
    Malformed {
        /// The command that it seems to be about.
        command: Option<Recovered>,
        /// What is wrong. Names positions and fields, not contents.
        #[source]
        source: serde_json::Error,
    },
}

impl Unusable {
    /// The command that the message seems to be about.
    pub const fn command(&self) -> Option<&Recovered> {
        match self {
            Self::Newer { command, .. } | Self::Malformed { command, .. } => command.as_ref(),
        }
    }
}

impl Message {
    /// The message that carries a command now.
    pub fn of(command: &Command) -> Self {
        Self::Command {
            key: command.key.clone(),
            stage: command.state.stage,
        }
    }

    /// Reads a message's body. Unknown fields are ignored: a newer writer may add some within a version.
    pub fn parse(body: &str) -> Result<Self, Unusable> {
        let malformed = |command, source| Unusable::Malformed { command, source };
        let value: Value = serde_json::from_str(body).map_err(|source| malformed(None, source))?;
        let command = recover(&value);
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version > VERSION => return Err(Unusable::Newer { version, command }),
            Some(_) => {}
            None => {
                let source = serde::de::Error::custom("field `version` is missing");
                return Err(malformed(command, source));
            }
        }
        // serde's own error quotes the value, which may hold data that must not be logged.
        match serde_json::from_value(value) {
            Ok(Wire::Command {
                owner,
                command_id,
                stage,
            }) => Ok(Self::Command {
                key: CommandKey {
                    owner,
                    id: command_id,
                },
                stage,
            }),
            Ok(Wire::ScheduledSync { owner, pass, began }) => {
                Ok(Self::ScheduledSync(ScheduledSync { owner, pass, began }))
            }
            Ok(Wire::Callback {
                owner,
                finding,
                attempt,
            }) => Ok(Self::Callback {
                owner,
                finding,
                attempt,
            }),
            Ok(Wire::Erase {
                owner,
                requested_at,
            }) => Ok(Self::Erase {
                owner,
                requested_at,
            }),
            Err(_) => Err(malformed(
                command,
                serde::de::Error::custom("a field is missing or has the wrong type"),
            )),
        }
    }

    /// The body to send.
    pub fn body(&self) -> String {
        let wire = match self.clone() {
            Self::Command {
                key: CommandKey { owner, id },
                stage,
            } => Wire::Command {
                owner,
                command_id: id,
                stage,
            },
            Self::ScheduledSync(ScheduledSync { owner, pass, began }) => {
                Wire::ScheduledSync { owner, pass, began }
            }
            Self::Callback {
                owner,
                finding,
                attempt,
            } => Wire::Callback {
                owner,
                finding,
                attempt,
            },
            Self::Erase {
                owner,
                requested_at,
            } => Wire::Erase {
                owner,
                requested_at,
            },
        };
        let mut value =
            serde_json::to_value(wire).expect("a message is plain data, which always serialises");
        value["version"] = VERSION.into();
        value.to_string()
    }

    /// The owner that the message is about.
    pub const fn owner(&self) -> &Owner {
        match self {
            Self::Command { key, .. } => &key.owner,
            Self::ScheduledSync(sync) => &sync.owner,
            Self::Callback { owner, .. } | Self::Erase { owner, .. } => owner,
        }
    }

    /// The command that the message is about.
    pub const fn command(&self) -> Option<CommandId> {
        match self {
            Self::Command { key, .. } => Some(key.id),
            Self::Callback { attempt, .. } => Some(*attempt),
            Self::ScheduledSync(_) | Self::Erase { .. } => None,
        }
    }

    /// The trace for a delivery that carries none: the same for every message about the same work.
    pub fn trace(&self) -> TraceId {
        match self {
            Self::Command { key, .. } => key.id.into(),
            Self::Callback { attempt, .. } => (*attempt).into(),
            Self::ScheduledSync(sync) => sync.pass.as_u128().into(),
            Self::Erase {
                owner,
                requested_at,
            } => Uuid::new_v5(
                &Uuid::NAMESPACE_OID,
                format!("{owner} {requested_at}").as_bytes(),
            )
            .as_u128()
            .into(),
        }
    }

    /// The message group for SQS fair queues: one noisy owner must not delay the others. SQS accepts 128 characters of
    /// visible ASCII, which a hash satisfies and an owner may not. On a standard queue a group implies no order.
    fn group(&self) -> String {
        self.owner().hashed()
    }

    /// The message's attributes: the next step of the current trace.
    fn attributes(&self) -> HashMap<String, MessageAttributeValue> {
        let trace = TraceParent::next_of_current();
        let trace = trace.unwrap_or_else(|| TraceParent::start(self.trace()));
        HashMap::from([(TRACEPARENT.to_owned(), text(&trace.to_string()))])
    }
}

/// The queue for each kind of work. They are separate, so slow work does not delay other work.
#[derive(Clone, Debug)]
pub struct CommandQueues(BTreeMap<CommandQueue, QueueUrl>);

impl CommandQueues {
    /// Builds the map; `url` returns each queue's URL.
    pub fn each<E>(url: impl Fn(CommandQueue) -> Result<QueueUrl, E>) -> Result<Self, E> {
        let queues = CommandQueue::ALL.into_iter();
        let queues = queues.map(|queue| Ok((queue, url(queue)?)));
        queues.collect::<Result<_, E>>().map(Self)
    }

    /// The queue for commands of this type.
    pub fn of(&self, command: CommandType) -> &QueueUrl {
        &self.0[&command.queue()]
    }
}

fn recover(value: &Value) -> Option<Recovered> {
    let text = |name| value.get(name).and_then(Value::as_str);
    let stage = value.get("stage").and_then(Value::as_u64);
    Some(Recovered {
        key: CommandKey {
            owner: text("owner")?.parse().ok()?,
            id: text("commandId")?.parse().ok()?,
        },
        stage: Stage(stage.and_then(|stage| stage.try_into().ok()).unwrap_or(0)),
    })
}

/// A queue's URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueUrl(String);

impl QueueUrl {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The queue's name, which is also the last part of its ARN.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl FromStr for QueueUrl {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.starts_with("http") && !text.ends_with('/') {
            Ok(Self(text.to_owned()))
        } else {
            Err("it must be the URL of a queue")
        }
    }
}

/// Sends messages.
#[derive(Clone, Debug)]
pub struct Sender {
    client: aws_sdk_sqs::Client,
}

/// The messages may or may not have been queued. Sending them again is safe.
#[derive(Debug, thiserror::Error)]
#[error("outcome of sending {count} messages to queue {queue} is unknown")]
pub struct SendError {
    queue: String,
    count: usize,
    #[source]
    source: BoxError,
}

impl Sender {
    /// A sender over this client.
    pub const fn new(client: aws_sdk_sqs::Client) -> Self {
        Self { client }
    }

    /// Sends one message. SQS delivers it after `delay`, at most [`MAX_DELAY`].
    pub async fn send(
        &self,
        queue: &QueueUrl,
        message: &Message,
        delay: Duration,
    ) -> Result<(), SendError> {
        self.client
            .send_message()
            .queue_url(queue.as_str())
            .message_body(message.body())
            .message_group_id(message.group())
            .set_message_attributes(Some(message.attributes()))
            .set_delay_seconds(seconds(delay))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| send_error(queue, 1, Box::new(error)))
    }

    /// Sends a malformed body to the queue for operators, with the name of the queue it came from if that fits.
    pub async fn keep(&self, queue: &QueueUrl, body: &str, from: &str) -> Result<(), SendError> {
        const NAME: &str = "from";
        // The body may fill the whole message, and SQS rejects an empty attribute. A body without its origin is better
        // than a message that is redelivered forever.
        let fits = body.len() + NAME.len() + TEXT.len() + from.len() <= LARGEST;
        let attribute = (fits && !from.is_empty()).then(|| text(from));
        self.client
            .send_message()
            .queue_url(queue.as_str())
            .message_body(body)
            .set_message_attributes(attribute.map(|from| [(NAME.to_owned(), from)].into()))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| send_error(queue, 1, Box::new(error)))
    }

    /// Sends up to 10 messages in one request. SQS may accept some and refuse others; only the refused ones are sent
    /// again, up to four tries in all. Returns the positions of the messages that SQS never accepted.
    pub async fn send_batch(
        &self,
        queue: &QueueUrl,
        messages: &[Message],
    ) -> Result<Vec<usize>, SendError> {
        let mut pending: Vec<usize> = (0..messages.len()).collect();
        let mut tries = 0;
        loop {
            tries += 1;
            let entries: Vec<SendMessageBatchRequestEntry> = pending
                .iter()
                .map(|&place| {
                    SendMessageBatchRequestEntry::builder()
                        .id(place.to_string())
                        .message_body(messages[place].body())
                        .message_group_id(messages[place].group())
                        .set_message_attributes(Some(messages[place].attributes()))
                        .build()
                })
                .collect::<Result<_, _>>()
                .map_err(|error| send_error(queue, pending.len(), Box::new(error)))?;
            let answer = self
                .client
                .send_message_batch()
                .queue_url(queue.as_str())
                .set_entries(Some(entries))
                .send()
                .await
                .map_err(|error| send_error(queue, pending.len(), Box::new(error)))?;
            // Only the entries that SQS lists as successful were accepted; an entry that it does not mention was not.
            pending.retain(|place| {
                !answer
                    .successful()
                    .iter()
                    .any(|entry| entry.id() == place.to_string())
            });
            if pending.is_empty() || tries == BATCH_TRIES {
                return Ok(pending);
            }
            tracing::warn!(
                queue = queue.name(),
                refused = pending.len(),
                "SQS accepted part of a batch; sending the rest again"
            );
            tokio::time::sleep(BATCH_BACKOFF.after(tries)).await;
        }
    }
}

/// The data type of a text attribute.
const TEXT: &str = "String";

fn text(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder()
        .data_type(TEXT)
        .string_value(value)
        .build()
        .expect("the data type is the only required field")
}

/// Rounded up: a message that arrives early finds the command still waiting.
fn seconds(delay: Duration) -> Option<i32> {
    let rounded_up = delay.min(MAX_DELAY).as_millis().div_ceil(1000);
    (rounded_up > 0).then(|| i32::try_from(rounded_up).unwrap_or(i32::MAX))
}

fn send_error(queue: &QueueUrl, count: usize, source: BoxError) -> SendError {
    SendError {
        queue: queue.name().to_owned(),
        count,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> CommandKey {
        CommandKey {
            owner: "user:auth0|5f7c".parse().expect("valid"),
            id: "01932b3a-5c00-7000-8000-000000000001"
                .parse()
                .expect("valid"),
        }
    }

    #[test]
    fn messages_are_read_as_they_are_written() {
        let command = Message::Command {
            key: key(),
            stage: Stage(2),
        };
        let scheduled = Message::ScheduledSync(ScheduledSync {
            owner: key().owner,
            pass: Uuid::nil(),
            began: Timestamp::from_millis(1_795_435_200_000),
        });
        let callback = Message::Callback {
            owner: key().owner,
            finding: "dependabot-7-42".parse().expect("valid"),
            attempt: key().id,
        };
        let erase = Message::Erase {
            owner: key().owner,
            requested_at: Timestamp::from_millis(1_795_435_200_000),
        };
        for message in [command, scheduled, callback, erase] {
            assert_eq!(Message::parse(&message.body()).expect("readable"), message);
        }
    }

    #[test]
    fn a_message_names_ids_and_nothing_else() {
        assert_eq!(
            Message::Command {
                key: key(),
                stage: Stage(0)
            }
            .body(),
            r#"{"commandId":"01932b3a-5c00-7000-8000-000000000001","kind":"command","owner":"user:auth0|5f7c","stage":0,"version":1}"#
        );
    }

    #[test]
    fn newer_and_malformed_messages_differ_and_both_name_their_command() {
        let newer = r#"{"version":2,"kind":"other","owner":"user:auth0|5f7c","commandId":"01932b3a-5c00-7000-8000-000000000001","stage":3}"#;
        let about = |stage| Recovered {
            key: key(),
            stage: Stage(stage),
        };
        assert!(
            matches!(Message::parse(newer), Err(Unusable::Newer { version: 2, command: Some(found) }) if found == about(3))
        );
        let malformed = newer
            .replace(r#""version":2"#, r#""version":1"#)
            .replace(r#""stage":3"#, r#""stage":"three""#);
        assert!(
            matches!(Message::parse(&malformed), Err(Unusable::Malformed { command: Some(found), .. }) if found == about(0))
        );
        for body in [
            "",
            "no JSON",
            "[]",
            r#"{"version":1,"kind":"command","owner":"user:a"}"#,
        ] {
            assert!(
                matches!(
                    Message::parse(body),
                    Err(Unusable::Malformed { command: None, .. })
                ),
                "{body}"
            );
        }
    }

    #[test]
    fn a_delay_is_rounded_up_and_bounded() {
        assert_eq!(seconds(Duration::ZERO), None);
        assert_eq!(seconds(Duration::from_millis(1)), Some(1));
        assert_eq!(seconds(Duration::from_secs(9_000)), Some(900));
    }
}
