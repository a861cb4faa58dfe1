//! Single messages: send, delete, change visibility, expire.

use rusqlite::{OptionalExtension as _, params};
use uuid::Uuid;

use super::{MessageRow, Queue, Session};
use crate::clock::{Seconds, Timestamp};
use crate::error::{Code, Error};
use crate::message::{NewMessage, sha256_of_body};
use crate::receipt::Receipt;
use crate::settings::{DeduplicationScope, Fifo, MAXIMUM_VISIBILITY};

/// SQS's deduplication interval: five minutes.
const DEDUPLICATION_INTERVAL: Seconds = Seconds(300);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) message_id: Uuid,
    /// Set only in a FIFO queue.
    pub(crate) sequence: Option<MessageRow>,
}

impl Session<'_> {
    pub(crate) fn send(&mut self, queue: &Queue, message: &NewMessage) -> Result<Sent, Error> {
        if message.bytes() > queue.settings.maximum_bytes as usize {
            return Err(Error::refused(
                Code::InvalidParameterValue,
                format!(
                    "One or more parameters are invalid. Reason: Message must be shorter than {} bytes.",
                    queue.settings.maximum_bytes
                ),
            ));
        }
        match &queue.settings.fifo {
            Some(fifo) => self.send_in_order(queue, fifo, message),
            None => {
                if let Some(id) = &message.deduplication {
                    return Err(not_for_this_type("MessageDeduplicationId", id));
                }
                let message_id = Uuid::new_v4();
                self.insert(queue, message, message_id, None)?;
                Ok(Sent {
                    message_id,
                    sequence: None,
                })
            }
        }
    }

    fn send_in_order(
        &mut self,
        queue: &Queue,
        fifo: &Fifo,
        message: &NewMessage,
    ) -> Result<Sent, Error> {
        // A FIFO queue's messages have no delay of their own; like AWS, allow zero.
        if let Some(delay) = message.delay.filter(|delay| delay.0 != 0) {
            return Err(not_for_this_type("DelaySeconds", delay.0));
        }
        let Some(group) = &message.group else {
            return Err(Error::missing("MessageGroupId"));
        };
        let deduplication = match &message.deduplication {
            Some(id) => id.clone(),
            None if fifo.content_based_deduplication => sha256_of_body(&message.body),
            None => {
                return Err(Error::refused(
                    Code::InvalidParameterValue,
                    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
                ));
            }
        };
        let scope = match fifo.deduplication_scope {
            DeduplicationScope::Queue => "",
            DeduplicationScope::MessageGroup => group,
        };

        self.transaction
            .prepare_cached("DELETE FROM deduplication WHERE queue = ?1 AND sent_at <= ?2")?
            .execute(params![queue.id, self.now.minus(DEDUPLICATION_INTERVAL)])?;
        let earlier = self
            .transaction
            .prepare_cached(
                "SELECT message_id, sequence FROM deduplication
                 WHERE queue = ?1 AND scope = ?2 AND deduplication_id = ?3",
            )?
            .query_row(params![queue.id, scope, deduplication], |row| {
                Ok((uuid(row, 0)?, row.get(1)?))
            })
            .optional()?;
        if let Some((message_id, sequence)) = earlier {
            return Ok(Sent {
                message_id,
                sequence: Some(sequence),
            });
        }

        let message_id = Uuid::new_v4();
        let sequence = self.insert(queue, message, message_id, Some(&deduplication))?;
        self.transaction
            .prepare_cached("INSERT INTO deduplication VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                queue.id,
                scope,
                deduplication,
                message_id.to_string(),
                sequence,
                self.now
            ])?;
        Ok(Sent {
            message_id,
            sequence: Some(sequence),
        })
    }

    fn insert(
        &mut self,
        queue: &Queue,
        message: &NewMessage,
        message_id: Uuid,
        deduplication: Option<&str>,
    ) -> Result<MessageRow, Error> {
        let delay = message.delay.filter(|_| queue.settings.fifo.is_none());
        self.transaction
            .prepare_cached(
                "INSERT INTO message
                   (queue, message_id, body, attributes, trace_header, group_id, deduplication_id, sent_at, visible_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                queue.id,
                message_id.to_string(),
                message.body,
                serde_json::to_string(&message.attributes)?,
                message.trace_header,
                message.group,
                deduplication,
                self.now,
                self.now.plus(delay.unwrap_or(queue.settings.delay)),
            ])?;
        self.stirred.insert(queue.id);
        Ok(MessageRow(self.transaction.last_insert_rowid()))
    }

    /// A standard queue accepts the handle of an earlier receive, but deletes nothing if the message was received
    /// again.
    pub(crate) fn delete(&mut self, queue: &Queue, handle: &str) -> Result<(), Error> {
        let receipt = Receipt::parse(handle, queue.id)?;
        let expired = match self.received(&receipt)? {
            None => return Ok(()),
            Some(found) => !found.is_latest || found.visible_at <= self.now,
        };
        if expired && queue.settings.fifo.is_some() {
            return Err(Error::invalid(
                "ReceiptHandle",
                handle,
                "The receipt handle has expired.",
            ));
        }
        self.transaction
            .prepare_cached("DELETE FROM message WHERE id = ?1 AND receipt = ?2")?
            .execute(params![receipt.message, receipt.token.to_string()])?;
        // In a FIFO queue, the delete makes the rest of the group available.
        self.stirred.insert(queue.id);
        Ok(())
    }

    pub(crate) fn change_visibility(
        &mut self,
        queue: &Queue,
        handle: &str,
        timeout: Seconds,
    ) -> Result<(), Error> {
        let receipt = Receipt::parse(handle, queue.id)?;
        let Some(found) = self.received(&receipt)?.filter(|found| found.is_latest) else {
            return Err(Error::invalid(
                "ReceiptHandle",
                handle,
                "Message does not exist or is not available for visibility timeout change.",
            ));
        };
        if found.visible_at <= self.now {
            return Err(Error::refused(
                Code::MessageNotInflight,
                "The specified message isn't in flight.",
            ));
        }
        let visible_at = self.now.plus(timeout);
        if visible_at > found.received_at.plus(MAXIMUM_VISIBILITY) {
            return Err(Error::invalid(
                "VisibilityTimeout",
                timeout.0,
                "Total VisibilityTimeout for the message is beyond the limit [43200 seconds].",
            ));
        }
        self.transaction
            .prepare_cached("UPDATE message SET visible_at = ?2 WHERE id = ?1")?
            .execute(params![receipt.message, visible_at])?;
        self.stirred.insert(queue.id);
        Ok(())
    }

    /// Deletes the messages that are older than the queue's retention period.
    pub(super) fn expire(&mut self, queue: &Queue) -> Result<(), Error> {
        self.transaction
            .prepare_cached("DELETE FROM message WHERE queue = ?1 AND sent_at <= ?2")?
            .execute(params![queue.id, self.now.minus(queue.settings.retention)])?;
        Ok(())
    }

    /// `None` if the message is gone or was moved to a dead-letter queue.
    fn received(&self, receipt: &Receipt) -> Result<Option<InFlight>, Error> {
        Ok(self
            .transaction
            .prepare_cached(
                "SELECT receipt = ?3, received_at, visible_at FROM message
                 WHERE id = ?1 AND queue = ?2 AND receipt IS NOT NULL",
            )?
            .query_row(
                params![receipt.message, receipt.queue, receipt.token.to_string()],
                |row| {
                    Ok(InFlight {
                        is_latest: row.get(0)?,
                        received_at: row.get(1)?,
                        visible_at: row.get(2)?,
                    })
                },
            )
            .optional()?)
    }
}

struct InFlight {
    /// Whether the receipt is from the message's latest receive.
    is_latest: bool,
    received_at: Timestamp,
    visible_at: Timestamp,
}

pub(super) fn uuid(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    let text = row.get_ref(column)?.as_str()?;
    Uuid::parse_str(text).map_err(|source| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(source),
        )
    })
}

fn not_for_this_type(parameter: &str, value: impl std::fmt::Display) -> Error {
    Error::invalid(
        parameter,
        value,
        "The request include parameter that is not valid for this queue type.",
    )
}
