//! The attributes of a queue, parsed from and rendered as SQS's strings.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::clock::Seconds;
use crate::error::{Code, Error};
use crate::name::QueueName;

/// SQS's maximum size of a message with its attributes, and of a whole batch.
pub(crate) const MAXIMUM_BYTES: u32 = 1_048_576;

/// SQS's maximum visibility timeout, counted from the receive.
pub(crate) const MAXIMUM_VISIBILITY: Seconds = Seconds(43_200);

/// SQS's maximum delay of a message.
pub(crate) const MAXIMUM_DELAY: Seconds = Seconds(900);

/// Stored and reported without effect: this service has neither encryption nor permissions.
const KEPT: [&str; 5] = [
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "Policy",
    "RedriveAllowPolicy",
    "SqsManagedSseEnabled",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) visibility_timeout: Seconds,
    pub(crate) delay: Seconds,
    pub(crate) maximum_bytes: u32,
    pub(crate) retention: Seconds,
    pub(crate) receive_wait: Seconds,
    pub(crate) redrive: Option<Redrive>,
    pub(crate) fifo: Option<Fifo>,
    kept: BTreeMap<&'static str, String>,
}

/// The dead-letter queue for messages that were received `maximum_receives` times without being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redrive {
    pub(crate) target: QueueName,
    pub(crate) maximum_receives: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fifo {
    pub(crate) content_based_deduplication: bool,
    pub(crate) deduplication_scope: DeduplicationScope,
    per_group_throughput: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum DeduplicationScope {
    #[default]
    Queue,
    MessageGroup,
}

impl Settings {
    /// SQS's defaults. The name determines whether the queue is FIFO.
    pub(crate) fn new(name: &QueueName) -> Self {
        Self {
            visibility_timeout: Seconds(30),
            delay: Seconds(0),
            maximum_bytes: MAXIMUM_BYTES,
            retention: Seconds(345_600),
            receive_wait: Seconds(0),
            redrive: None,
            fifo: name.is_fifo().then(Fifo::default),
            kept: BTreeMap::from([("SqsManagedSseEnabled", "true".to_owned())]),
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        match (name, &mut self.fifo) {
            ("VisibilityTimeout", _) => {
                self.visibility_timeout = Seconds(number(name, value, 0..=MAXIMUM_VISIBILITY.0)?);
            }
            ("DelaySeconds", _) => self.delay = Seconds(number(name, value, 0..=MAXIMUM_DELAY.0)?),
            ("MaximumMessageSize", _) => {
                self.maximum_bytes = number(name, value, 1_024..=MAXIMUM_BYTES)?;
            }
            ("MessageRetentionPeriod", _) => {
                self.retention = Seconds(number(name, value, 60..=1_209_600)?);
            }
            ("ReceiveMessageWaitTimeSeconds", _) => {
                self.receive_wait = Seconds(number(name, value, 0..=20)?);
            }
            ("RedrivePolicy", _) if value.is_empty() => self.redrive = None,
            ("RedrivePolicy", _) => self.redrive = Some(Redrive::parse(value)?),
            // The name determines this attribute: a caller may repeat it but not change it.
            ("FifoQueue", fifo) if flag(name, value)? == fifo.is_some() => {}
            ("FifoQueue", _) => return Err(invalid(name)),
            ("ContentBasedDeduplication", Some(fifo)) => {
                fifo.content_based_deduplication = flag(name, value)?;
            }
            ("DeduplicationScope", Some(fifo)) => {
                fifo.deduplication_scope = match value {
                    "queue" => DeduplicationScope::Queue,
                    "messageGroup" => DeduplicationScope::MessageGroup,
                    _ => return Err(invalid(name)),
                }
            }
            ("FifoThroughputLimit", Some(fifo)) => {
                fifo.per_group_throughput = match value {
                    "perQueue" => false,
                    "perMessageGroupId" => true,
                    _ => return Err(invalid(name)),
                }
            }
            _ => match KEPT.into_iter().find(|kept| *kept == name) {
                Some(kept) if value.is_empty() => drop(self.kept.remove(kept)),
                Some(kept) => drop(self.kept.insert(kept, value.to_owned())),
                None => return Err(Error::unknown_attribute(name)),
            },
        }
        Ok(())
    }

    /// Returns every attribute that has a value, with the names and formats of [`Settings::set`].
    pub(crate) fn attributes(&self) -> BTreeMap<&'static str, String> {
        let mut all = self.kept.clone();
        all.extend([
            ("VisibilityTimeout", self.visibility_timeout.0.to_string()),
            ("DelaySeconds", self.delay.0.to_string()),
            ("MaximumMessageSize", self.maximum_bytes.to_string()),
            ("MessageRetentionPeriod", self.retention.0.to_string()),
            (
                "ReceiveMessageWaitTimeSeconds",
                self.receive_wait.0.to_string(),
            ),
        ]);
        if let Some(redrive) = &self.redrive {
            all.insert("RedrivePolicy", redrive.policy());
        }
        if let Some(fifo) = &self.fifo {
            let scope = match fifo.deduplication_scope {
                DeduplicationScope::Queue => "queue",
                DeduplicationScope::MessageGroup => "messageGroup",
            };
            let throughput = match fifo.per_group_throughput {
                false => "perQueue",
                true => "perMessageGroupId",
            };
            all.extend([
                ("FifoQueue", "true".to_owned()),
                (
                    "ContentBasedDeduplication",
                    fifo.content_based_deduplication.to_string(),
                ),
                ("DeduplicationScope", scope.to_owned()),
                ("FifoThroughputLimit", throughput.to_owned()),
            ]);
        }
        all
    }

    pub(crate) fn is_attribute(name: &str) -> bool {
        const OWN: [&str; 10] = [
            "ContentBasedDeduplication",
            "DeduplicationScope",
            "DelaySeconds",
            "FifoQueue",
            "FifoThroughputLimit",
            "MaximumMessageSize",
            "MessageRetentionPeriod",
            "ReceiveMessageWaitTimeSeconds",
            "RedrivePolicy",
            "VisibilityTimeout",
        ];
        OWN.contains(&name) || KEPT.contains(&name)
    }
}

impl Redrive {
    fn parse(policy: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Policy {
            dead_letter_target_arn: String,
            max_receive_count: Count,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Count {
            Number(u32),
            Text(String),
        }
        let refuse = |reason| Error::invalid("RedrivePolicy", policy, reason);

        let parsed: Policy =
            serde_json::from_str(policy).map_err(|_| refuse("Redrive policy is not valid."))?;
        let count = match parsed.max_receive_count {
            Count::Number(count) => Some(count),
            Count::Text(text) => text.parse().ok(),
        };
        Ok(Self {
            target: QueueName::from_arn(&parsed.dead_letter_target_arn)
                .ok_or_else(|| refuse("Invalid value for deadLetterTargetArn."))?,
            maximum_receives: count
                .filter(|count| (1..=1_000).contains(count))
                .ok_or_else(|| {
                    refuse("Invalid value for maxReceiveCount. Valid values are from 1 to 1000.")
                })?,
        })
    }

    pub(crate) fn policy(&self) -> String {
        serde_json::json!({
            "deadLetterTargetArn": self.target.arn(),
            "maxReceiveCount": self.maximum_receives,
        })
        .to_string()
    }
}

fn number(name: &str, value: &str, range: RangeInclusive<u32>) -> Result<u32, Error> {
    value
        .parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| invalid(name))
}

fn flag(name: &str, value: &str) -> Result<bool, Error> {
    value.parse().map_err(|_| invalid(name))
}

fn invalid(name: &str) -> Error {
    Error::refused(
        Code::InvalidAttributeValue,
        format!("Invalid value for the parameter {name}."),
    )
}
