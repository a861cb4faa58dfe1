//! Receives: which messages are due, which go to the dead-letter queue, and what a receiver gets.

use rusqlite::params;
use uuid::Uuid;

use super::messages::uuid;
use super::{MessageRow, Queue, QueueId, Session};
use crate::clock::{Seconds, Timestamp};
use crate::error::Error;
use crate::message::Attributes;
use crate::receipt::Receipt;
use crate::settings::Redrive;

/// The parameters of a receive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) messages: u32,
    /// `None` means the queue's own timeout.
    pub(crate) visibility_timeout: Option<Seconds>,
}

#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) message_id: Uuid,
    pub(crate) receipt: Receipt,
    pub(crate) body: String,
    pub(crate) attributes: Attributes,
    pub(crate) trace_header: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) deduplication: Option<String>,
    /// Set only in a FIFO queue.
    pub(crate) sequence: Option<MessageRow>,
    pub(crate) sent_at: Timestamp,
    pub(crate) first_received_at: Timestamp,
    pub(crate) receives: u32,
    pub(crate) dead_letter_source: Option<String>,
}

struct Due {
    message: MessageRow,
    receives_here: u32,
}

/// Fair queueing: the next message belongs to the group with the fewest messages in flight, including those just
/// taken; within ties, the oldest message is next. A message without a group is a group of its own. The query skips
/// from group to group through an index, so its cost depends on the number of groups, not of messages.
const DUE: &str = "
WITH RECURSIVE groups(name) AS (
  SELECT min(group_id) FROM message WHERE queue = ?1 AND group_id IS NOT NULL
  UNION ALL
  SELECT (SELECT min(group_id) FROM message WHERE queue = ?1 AND group_id > name) FROM groups WHERE name IS NOT NULL
), due AS (
  SELECT id, receives - receives_elsewhere AS receives_here, visible_at,
    row_number() OVER (PARTITION BY name ORDER BY visible_at, id) - 1 + (
      SELECT count(*) FROM message
      WHERE queue = ?1 AND group_id = name AND visible_at > ?2 AND receipt IS NOT NULL
    ) AS before_it
  FROM groups CROSS JOIN message ON id IN (
    SELECT id FROM message
    WHERE queue = ?1 AND group_id = name AND visible_at <= ?2
    ORDER BY visible_at, id LIMIT ?3
  )
  UNION ALL
  SELECT * FROM (
    SELECT id, receives - receives_elsewhere, visible_at, 0 FROM message
    WHERE queue = ?1 AND group_id IS NULL AND visible_at <= ?2
    ORDER BY visible_at, id LIMIT ?3
  )
)
SELECT id, receives_here FROM due ORDER BY before_it, visible_at, id LIMIT ?3";

/// A group is blocked while one of its messages is in flight or an earlier one is not visible yet.
const DUE_IN_ORDER: &str = "
SELECT id, receives - receives_elsewhere FROM message AS due
WHERE queue = ?1 AND visible_at <= ?2 AND NOT EXISTS (
  SELECT 1 FROM message AS other
  WHERE other.queue = due.queue AND other.group_id = due.group_id AND other.visible_at > ?2
    AND (other.receipt IS NOT NULL OR other.id < due.id))
ORDER BY id LIMIT ?3";

const TAKE: &str = "
UPDATE message SET
  receives = receives + 1,
  first_received_at = coalesce(first_received_at, ?2),
  received_at = ?2,
  visible_at = ?3,
  receipt = ?4
WHERE id = ?1
RETURNING message_id, body, attributes, trace_header, group_id, deduplication_id, sent_at, first_received_at,
  receives, dead_letter_source";

/// A standard queue keeps the send time, so the message keeps its age. A FIFO queue resets it, and replaces the
/// deduplication id by the message id.
const REDRIVE: &str = "
UPDATE message SET
  queue = ?2,
  visible_at = ?3,
  receipt = NULL,
  receives_elsewhere = receives,
  dead_letter_source = ?4,
  sent_at = iif(?5, ?3, sent_at),
  deduplication_id = iif(?5, message_id, deduplication_id)
WHERE id = ?1";

impl Session<'_> {
    /// Takes up to the wanted number of due messages. Moves messages that have reached the redrive policy's receive
    /// count to the dead-letter queue instead.
    pub(crate) fn receive(
        &mut self,
        queue: &Queue,
        wanted: Wanted,
    ) -> Result<Vec<Received>, Error> {
        self.expire(queue)?;
        let due = loop {
            let due = self.due(queue, wanted.messages)?;
            let Some((target, redrive)) = self.dead_letters(queue)? else {
                break due;
            };
            let (spent, fresh): (Vec<Due>, Vec<Due>) = due
                .into_iter()
                .partition(|due| due.receives_here >= redrive.maximum_receives);
            if spent.is_empty() {
                break fresh;
            }
            // Terminates: every iteration moves at least one message out of this queue.
            for due in spent {
                self.redrive(queue, target, due.message)?;
            }
        };
        due.into_iter()
            .map(|due| self.take(queue, due.message, wanted.visibility_timeout))
            .collect()
    }

    /// The time when the next hidden message of the queue becomes visible.
    pub(crate) fn next_visible(&self, queue: QueueId) -> Result<Option<Timestamp>, Error> {
        Ok(self
            .transaction
            .prepare_cached(
                "SELECT min(visible_at) FROM message WHERE queue = ?1 AND visible_at > ?2",
            )?
            .query_row(params![queue, self.now], |row| row.get(0))?)
    }

    fn due(&self, queue: &Queue, limit: u32) -> Result<Vec<Due>, Error> {
        let select = match queue.settings.fifo {
            None => DUE,
            Some(_) => DUE_IN_ORDER,
        };
        let due = self
            .transaction
            .prepare_cached(select)?
            .query_map(params![queue.id, self.now, limit], |row| {
                Ok(Due {
                    message: row.get(0)?,
                    receives_here: row.get(1)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(due)
    }

    /// `None` also if the dead-letter queue was deleted: the messages then stay and are redelivered.
    fn dead_letters<'q>(&self, queue: &'q Queue) -> Result<Option<(QueueId, &'q Redrive)>, Error> {
        let Some(redrive) = &queue.settings.redrive else {
            return Ok(None);
        };
        let target = self.find_queue(&redrive.target)?;
        Ok(target.map(|target| (target.id, redrive)))
    }

    fn redrive(
        &mut self,
        source: &Queue,
        target: QueueId,
        message: MessageRow,
    ) -> Result<(), Error> {
        self.transaction.prepare_cached(REDRIVE)?.execute(params![
            message,
            target,
            self.now,
            source.name.arn(),
            source.settings.fifo.is_some()
        ])?;
        self.stirred.insert(target);
        Ok(())
    }

    fn take(
        &mut self,
        queue: &Queue,
        message: MessageRow,
        visibility_timeout: Option<Seconds>,
    ) -> Result<Received, Error> {
        let receipt = Receipt {
            queue: queue.id,
            message,
            token: Uuid::new_v4(),
        };
        let timeout = visibility_timeout.unwrap_or(queue.settings.visibility_timeout);
        let taken = params![
            message,
            self.now,
            self.now.plus(timeout),
            receipt.token.to_string()
        ];
        let (received, attributes) =
            self.transaction
                .prepare_cached(TAKE)?
                .query_row(taken, |row| {
                    let received = Received {
                        message_id: uuid(row, 0)?,
                        receipt,
                        body: row.get(1)?,
                        attributes: Attributes::default(),
                        trace_header: row.get(3)?,
                        group: row.get(4)?,
                        deduplication: row.get(5)?,
                        sequence: queue.settings.fifo.is_some().then_some(message),
                        sent_at: row.get(6)?,
                        first_received_at: row.get(7)?,
                        receives: row.get(8)?,
                        dead_letter_source: row.get(9)?,
                    };
                    Ok((received, row.get::<_, String>(2)?))
                })?;
        Ok(Received {
            attributes: serde_json::from_str(&attributes)?,
            ..received
        })
    }
}
