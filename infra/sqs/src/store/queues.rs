//! Queues: create, find, configure, count, purge, delete.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Row, params};

use super::{QueueId, Session};
use crate::clock::{Seconds, Timestamp};
use crate::error::{Code, Error};
use crate::name::QueueName;
use crate::settings::Settings;

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) id: QueueId,
    pub(crate) name: QueueName,
    pub(crate) settings: Settings,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
    purged_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) visible: i64,
    pub(crate) in_flight: i64,
    pub(crate) delayed: i64,
}

const COLUMNS: &str = "id, name, attributes, tags, created_at, modified_at, purged_at";

impl Session<'_> {
    /// Creates the queue unless it exists. An existing one must have the same value for every given attribute.
    pub(crate) fn create_queue(
        &mut self,
        name: &QueueName,
        attributes: &BTreeMap<String, String>,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        if let Some(existing) = self.find_queue(name)? {
            let mut asked = existing.settings.clone();
            for (attribute, value) in attributes {
                asked.set(attribute, value)?;
                if asked != existing.settings {
                    return Err(Error::refused(
                        Code::QueueNameExists,
                        format!(
                            "A queue already exists with the same name and a different value for attribute {attribute}"
                        ),
                    ));
                }
            }
            return Ok(());
        }
        let mut settings = Settings::new(name);
        for (attribute, value) in attributes {
            settings.set(attribute, value)?;
        }
        self.check_redrive(name, &settings)?;
        self.transaction.execute(
            "INSERT INTO queue (name, attributes, tags, created_at, modified_at) VALUES (?1, ?2, ?3, ?4, ?4)",
            params![
                name,
                serde_json::to_string(&settings.attributes())?,
                serde_json::to_string(tags)?,
                self.now
            ],
        )?;
        Ok(())
    }

    pub(crate) fn queue(&self, name: &QueueName) -> Result<Queue, Error> {
        self.find_queue(name)?.ok_or_else(Error::no_such_queue)
    }

    pub(super) fn find_queue(&self, name: &QueueName) -> Result<Option<Queue>, Error> {
        self.transaction
            .prepare_cached(&format!("SELECT {COLUMNS} FROM queue WHERE name = ?1"))?
            .query_row([name], |row| Ok(read(row)))
            .optional()?
            .transpose()
    }

    /// Sorted by name.
    pub(crate) fn queues(&self) -> Result<Vec<Queue>, Error> {
        self.transaction
            .prepare_cached(&format!("SELECT {COLUMNS} FROM queue ORDER BY name"))?
            .query_and_then([], read)?
            .collect()
    }

    /// Sets all attributes, or none if one of them is refused.
    pub(crate) fn set_attributes(
        &mut self,
        name: &QueueName,
        attributes: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let mut queue = self.queue(name)?;
        for (attribute, value) in attributes {
            queue.settings.set(attribute, value)?;
        }
        self.check_redrive(name, &queue.settings)?;
        self.transaction.execute(
            "UPDATE queue SET attributes = ?2, modified_at = ?3 WHERE id = ?1",
            params![
                queue.id,
                serde_json::to_string(&queue.settings.attributes())?,
                self.now
            ],
        )?;
        self.stirred.insert(queue.id);
        Ok(())
    }

    pub(crate) fn set_tags(
        &mut self,
        queue: QueueId,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        self.transaction.execute(
            "UPDATE queue SET tags = ?2 WHERE id = ?1",
            params![queue, serde_json::to_string(tags)?],
        )?;
        Ok(())
    }

    pub(crate) fn delete_queue(&mut self, name: &QueueName) -> Result<QueueId, Error> {
        let queue = self.queue(name)?;
        self.transaction
            .execute("DELETE FROM queue WHERE id = ?1", [queue.id])?;
        self.stirred.insert(queue.id);
        Ok(queue.id)
    }

    /// Deletes every message, including those in flight and delayed ones.
    pub(crate) fn purge_queue(&mut self, name: &QueueName) -> Result<(), Error> {
        let queue = self.queue(name)?;
        if queue
            .purged_at
            .is_some_and(|purged| purged.plus(Seconds(60)) > self.now)
        {
            return Err(Error::refused(
                Code::PurgeQueueInProgress,
                format!("Only one PurgeQueue operation on {name} is allowed every 60 seconds."),
            ));
        }
        self.transaction
            .execute("DELETE FROM message WHERE queue = ?1", [queue.id])?;
        self.transaction.execute(
            "UPDATE queue SET purged_at = ?2 WHERE id = ?1",
            params![queue.id, self.now],
        )?;
        Ok(())
    }

    pub(crate) fn counts(&mut self, queue: &Queue) -> Result<Counts, Error> {
        self.expire(queue)?;
        Ok(self
            .transaction
            .prepare_cached(
                "SELECT count(*) FILTER (WHERE visible_at <= ?2),
                        count(*) FILTER (WHERE visible_at > ?2 AND receipt IS NOT NULL),
                        count(*) FILTER (WHERE visible_at > ?2 AND receipt IS NULL)
                 FROM message WHERE queue = ?1",
            )?
            .query_row(params![queue.id, self.now], |row| {
                Ok(Counts {
                    visible: row.get(0)?,
                    in_flight: row.get(1)?,
                    delayed: row.get(2)?,
                })
            })?)
    }

    /// Checks that the dead-letter queue exists and is of the same type.
    fn check_redrive(&self, name: &QueueName, settings: &Settings) -> Result<(), Error> {
        let Some(redrive) = &settings.redrive else {
            return Ok(());
        };
        let refuse = |reason| Err(Error::invalid("RedrivePolicy", redrive.policy(), reason));
        if redrive.target.is_fifo() != name.is_fifo() {
            return refuse("Dead-letter queue must be same type of queue as the source.");
        }
        if redrive.target != *name && self.find_queue(&redrive.target)?.is_none() {
            return refuse("Dead letter target does not exist.");
        }
        Ok(())
    }
}

fn read(row: &Row<'_>) -> Result<Queue, Error> {
    let name: QueueName = row.get("name")?;
    let mut settings = Settings::new(&name);
    let attributes: BTreeMap<String, String> = serde_json::from_str(
        row.get_ref("attributes")?
            .as_str()
            .map_err(rusqlite::Error::from)?,
    )?;
    for (attribute, value) in &attributes {
        settings.set(attribute, value)?;
    }
    Ok(Queue {
        id: row.get("id")?,
        settings,
        tags: serde_json::from_str(
            row.get_ref("tags")?
                .as_str()
                .map_err(rusqlite::Error::from)?,
        )?,
        created_at: row.get("created_at")?,
        modified_at: row.get("modified_at")?,
        purged_at: row.get("purged_at")?,
        name,
    })
}
