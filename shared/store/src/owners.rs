//! An owner's configuration, its integration with the last sync, and its analyses in flight. The rows share a
//! partition, so one query reads them all.
//!
//! While an owner is being erased, none of these rows is created: saving and connecting check the tombstone in the
//! transaction that writes.

pub(crate) mod integration;

use std::time::Duration;

use crate::{
    analyses::{self, Analyses, OwnerAnalyses},
    audit::{Audit, AuditEvent},
    erasure,
    table::{
        Attributes, Cause, Caused, DueKind, Expression, Item, OwnerRow, Partition, Refusal, Table,
        Transacted, Unreadable, Updated, Writes, due_items, ms, n, s, spread,
    },
};
use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    Timestamp, command::Actor, installation::InstallationId, owner::Owner, settings::Settings,
};

pub use integration::{AUTH_INVALID_FOR, Integration};

/// The interval of an owner's scheduled syncs.
pub const SYNC_EVERY: Duration = Duration::from_secs(6 * 3600);

/// How often connecting is tried: each time it loses, somebody else has connected the owner.
const CONNECT_TRIES: u32 = 10;

/// The owners' rows.
#[derive(Clone, Debug)]
pub struct Owners {
    table: Table,
}

/// Everything about one owner. Absent rows are the defaults: version 0, not connected, never synced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerRecord {
    /// The configuration.
    pub settings: Settings,
    /// Grows by one with each save; 0 before the first.
    pub version: u64,
    /// Since when automation analyses new findings; `None` if it is off.
    pub auto_analysis_since: Option<Timestamp>,
    /// The connection to GitHub, if there is one.
    pub integration: Option<Integration>,
    /// When the last full sync began in which every repository succeeded or was skipped.
    pub last_synced_at: Option<Timestamp>,
    /// The analyses in flight, and the counts of all analyses.
    pub analyses: OwnerAnalyses,
    /// Whether the owner is being erased.
    pub being_erased: bool,
}

/// The answer of a save.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Saved {
    /// Saved under this version.
    Saved {
        /// The new version.
        version: u64,
    },
    /// Another save came first.
    Conflict,
    /// The owner is being erased.
    BeingErased,
}

/// An owner whose scheduled sync is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueOwner {
    /// The owner.
    pub owner: Owner,
    /// When the sync is due. The reconciler that moves it on starts the sync.
    pub due_at: Timestamp,
}

/// A store's failure.
#[derive(Debug, thiserror::Error)]
pub enum OwnersError {
    /// A read failed.
    #[error("cannot read {what}")]
    Unread {
        /// What was to be read.
        what: &'static str,
        /// The client's error.
        #[source]
        source: Cause,
    },
    /// The write may or may not have landed. Repeating it is safe.
    #[error("outcome of writing {what} is unknown")]
    Unwritten {
        /// What was to be written.
        what: &'static str,
        /// The client's error.
        #[source]
        source: Cause,
    },
    /// The row exists, but this version cannot read it.
    #[error("stored {what} of an owner is invalid")]
    Unreadable {
        /// The row.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: Cause,
    },
    /// The owner is being erased.
    #[error("the owner is being erased")]
    BeingErased,
}

impl Caused for OwnersError {
    fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Unread { source, .. } | Self::Unwritten { source, .. } => Some(source),
            Self::Unreadable { .. } | Self::BeingErased => None,
        }
    }
}

impl Owners {
    /// The owners in this table.
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    /// Everything about an owner, strongly consistent. One query.
    pub async fn read(&self, owner: &Owner) -> Result<OwnerRecord, OwnersError> {
        let page = self
            .table
            .client
            .query()
            .table_name(&self.table.name)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", Partition::Owner.of(owner))
            .send()
            .await
            .map_err(|error| OwnersError::Unread {
                what: "an owner",
                source: error.into(),
            })?;
        let mut record = OwnerRecord::default();
        for item in page.items() {
            match item.text("sk").ok().and_then(OwnerRow::of) {
                Some(OwnerRow::Settings) => {
                    (record.settings, record.version) = settings(item)?;
                    let since = item.maybe("auto_analysis_since", Attributes::time);
                    record.auto_analysis_since = since.map_err(of(OwnerRow::Settings))?;
                }
                Some(OwnerRow::Integration) => {
                    let read = integration::read(item).map_err(of(OwnerRow::Integration))?;
                    record.integration = Some(read);
                    let synced = item.maybe("last_synced_at", Attributes::time);
                    record.last_synced_at = synced.map_err(of(OwnerRow::Integration))?;
                }
                Some(OwnerRow::Analyses) => {
                    let read = analyses::owner_analyses(item);
                    record.analyses = read.map_err(of(OwnerRow::Analyses))?;
                }
                Some(OwnerRow::Erasure) => record.being_erased = erasure::is_running(item),
                // An unknown row belongs to a later version.
                None => {}
            }
        }
        Ok(record)
    }

    /// Saves the configuration if its version is still the one of `seen`. The same transaction schedules or cancels the
    /// next sync, makes automation due if it is on, and makes the writes of `beside`.
    pub async fn save(
        &self,
        owner: &Owner,
        settings: &Settings,
        seen: &OwnerRecord,
        beside: Writes,
        now: Timestamp,
    ) -> Result<Saved, OwnersError> {
        let what = "the configuration";
        let version = seen.version + 1;
        let text = serde_json::to_string(settings).map_err(|error| OwnersError::Unwritten {
            what,
            source: error.into(),
        })?;
        let writer = uuid::Uuid::new_v4().simple().to_string();
        let due = (settings.enabled && settings.auto_sync).then(|| next_sync(owner, now));
        let automatic = settings.enabled && settings.auto_analysis.enabled;

        let mut e = Expression::default();
        let condition = match seen.version {
            0 => e.absent("version"),
            seen => e.compare("version", "=", n(seen)),
        };
        e.set("settings", s(text));
        e.set("version", n(version));
        e.set("writer", s(&writer));
        e.put("due_at", due.map(ms));
        e.put("due_shard", due.map(|_| s(shard(owner))));
        let since = seen.auto_analysis_since.unwrap_or(now);
        e.put("auto_analysis_since", automatic.then(|| ms(since)));
        let mut writes = self
            .table
            .update(OwnerRow::Settings.key(owner), e, Some(condition))
            .and(erasure::none(&self.table, owner));
        if automatic && settings != &seen.settings {
            writes = writes.and(Analyses::new(self.table.clone()).look_for_more(owner, now));
        }
        let transacted = self.table.transact(&writes.and(beside)).await;
        let transacted = transacted.map_err(|source| OwnersError::Unwritten { what, source })?;
        let Transacted::Refused(refusals) = transacted else {
            return Ok(Saved::Saved { version });
        };
        Ok(match refusals.as_slice() {
            // Our own earlier try, whose answer was lost: the row's writer is this save.
            [Refusal::Condition(Some(item)), ..] if item.get("writer") == Some(&s(&writer)) => {
                Saved::Saved { version }
            }
            // Whatever the version: the erasure may have deleted the settings.
            [_, erasure, ..] if !erasure.held() => Saved::BeingErased,
            _ => Saved::Conflict,
        })
    }

    /// Connects an owner to an installation, or updates the connection. If that changes anything, the same transaction
    /// writes its audit event, with the connection before and after.
    pub async fn connect(
        &self,
        owner: &Owner,
        installation: InstallationId,
        can_read_alerts: bool,
        now: Timestamp,
    ) -> Result<(), OwnersError> {
        let what = "the integration";
        let key = OwnerRow::Integration.key(owner);
        let seen = self.table.get(key.clone()).await;
        let mut seen = seen.map_err(|source| OwnersError::Unread { what, source })?;
        let after = Integration {
            installation,
            can_read_alerts,
            auth_invalid_at: None,
        };
        let after = after.audited();
        let writer = uuid::Uuid::new_v4();
        let by = s(writer.to_string());
        for _ in 0..CONNECT_TRIES {
            let mut e = Expression::default();
            let unchanged = integration::unchanged(&mut e, seen.as_ref());
            e.set("installation", n(installation));
            e.set("can_read_alerts", AttributeValue::Bool(can_read_alerts));
            e.set("connected_at", ms(now));
            e.set("connected_by", by.clone());
            e.remove("auth_invalid_at");
            let mut writes = self
                .table
                .update(key.clone(), e, Some(unchanged))
                .and(erasure::none(&self.table, owner));
            // A row that cannot be read is replaced, as if there were none.
            let before = seen.as_ref().and_then(|row| integration::read(row).ok());
            let before = before.as_ref().map(Integration::audited);
            if before.as_ref() != Some(&after) {
                let event = AuditEvent::of_connection(owner, writer, Actor::Operator, now)
                    .with("before", before)
                    .with("after", &after);
                writes = writes.and(Audit::new(self.table.clone()).record(owner, &event));
            }
            let transacted = self.table.transact(&writes).await;
            let transacted =
                transacted.map_err(|source| OwnersError::Unwritten { what, source })?;
            let Transacted::Refused(refusals) = transacted else {
                return Ok(());
            };
            match refusals.as_slice() {
                // Our own earlier try, whose answer was lost.
                [Refusal::Condition(Some(row)), ..] if row.get("connected_by") == Some(&by) => {
                    return Ok(());
                }
                [_, erasure, ..] if !erasure.held() => return Err(OwnersError::BeingErased),
                [Refusal::Condition(row), ..] => seen.clone_from(row),
                _ => {}
            }
        }
        Err(OwnersError::Unwritten {
            what,
            source: "others connected the owner at the same time".into(),
        })
    }

    /// Marks that GitHub rejected the credentials at `at`.
    pub async fn mark_auth_invalid(&self, owner: &Owner, at: Timestamp) -> Result<(), OwnersError> {
        let mut e = Expression::default();
        e.set("auth_invalid_at", ms(at));
        let connected = format!("attribute_exists({})", e.name("installation"));
        self.write(
            owner,
            OwnerRow::Integration,
            "the integration",
            e,
            connected,
        )
        .await
    }

    /// Removes the mark `seen`: GitHub accepts the credentials again. A newer mark stays.
    pub async fn clear_auth_invalid(
        &self,
        owner: &Owner,
        seen: Timestamp,
    ) -> Result<(), OwnersError> {
        let mut e = Expression::default();
        let unchanged = e.compare("auth_invalid_at", "=", ms(seen));
        e.remove("auth_invalid_at");
        self.write(
            owner,
            OwnerRow::Integration,
            "the integration",
            e,
            unchanged,
        )
        .await
    }

    /// Sets the time of the owner's last full sync, if the owner is connected and the time is newer.
    pub async fn mark_synced(&self, owner: &Owner, began: Timestamp) -> Result<(), OwnersError> {
        let mut e = Expression::default();
        let newer = format!(
            "{} AND ({} OR {})",
            e.exists("installation"),
            e.absent("last_synced_at"),
            e.compare("last_synced_at", "<", ms(began))
        );
        e.set("last_synced_at", ms(began));
        self.write(owner, OwnerRow::Integration, "the freshness", e, newer)
            .await
    }

    /// The owners of one shard whose scheduled sync was due by `now`, oldest first. A row with invalid data is an `Err`
    /// entry and hides no other row.
    pub async fn due(
        &self,
        shard: u8,
        limit: u32,
        after: Option<Item>,
        now: Timestamp,
    ) -> Result<(Vec<Result<DueOwner, OwnersError>>, Option<Item>), OwnersError> {
        let (items, next) = due_items(&self.table, DueKind::Schedule, shard, limit, after, now)
            .await
            .map_err(|source| OwnersError::Unread {
                what: "due scheduled syncs",
                source,
            })?;
        Ok((items.iter().map(due_owner).collect(), next))
    }

    /// Moves an owner's next scheduled sync from `seen` to `to`. `false` if another reconciler has moved it, or if it
    /// was cancelled.
    pub async fn move_turn(
        &self,
        owner: &Owner,
        seen: Timestamp,
        to: Timestamp,
    ) -> Result<bool, OwnersError> {
        let mut e = Expression::default();
        let mover = uuid::Uuid::new_v4().simple().to_string();
        let unmoved = e.compare("due_at", "=", ms(seen));
        e.set("due_at", ms(to));
        e.set("moved_by", s(&mover));
        let key = OwnerRow::Settings.key(owner);
        let updated = self.table.update_row(key, &e, &unmoved).await;
        match updated.map_err(|source| OwnersError::Unwritten {
            what: "the next scheduled sync",
            source,
        })? {
            Updated::Written => Ok(true),
            // The row names its mover, because the time cannot tell two reconcilers apart: both compute the same one.
            // If it is us, this is our own earlier try, whose answer was lost.
            Updated::Refused(Some(item)) => Ok(item.get("moved_by") == Some(&s(&mover))),
            Updated::Refused(None) => Ok(false),
        }
    }

    async fn write(
        &self,
        owner: &Owner,
        row: OwnerRow,
        what: &'static str,
        expression: Expression,
        condition: String,
    ) -> Result<(), OwnersError> {
        let written = self
            .table
            .update_row(row.key(owner), &expression, &condition)
            .await;
        match written.map_err(|source| OwnersError::Unwritten { what, source })? {
            // A refusal means that a newer write came first, or the owner is not connected. Nothing is lost.
            Updated::Written | Updated::Refused(_) => Ok(()),
        }
    }
}

fn of<E: Into<Cause>>(row: OwnerRow) -> impl Fn(E) -> OwnersError {
    move |source| OwnersError::Unreadable {
        what: row.as_str(),
        source: source.into(),
    }
}

fn settings(item: &Item) -> Result<(Settings, u64), OwnersError> {
    let text = item.text("settings").map_err(of(OwnerRow::Settings))?;
    let settings = serde_json::from_str(text).map_err(of(OwnerRow::Settings))?;
    Ok((
        settings,
        item.number("version").map_err(of(OwnerRow::Settings))?,
    ))
}

fn due_owner(item: &Item) -> Result<DueOwner, OwnersError> {
    let read = || -> Result<DueOwner, Unreadable> {
        Ok(DueOwner {
            owner: item.parsed("pk", |pk| Partition::Owner.owner(pk))?,
            due_at: item.time("due_at")?,
        })
    };
    read().map_err(of(OwnerRow::Settings))
}

/// The time of an owner's next scheduled sync. Each owner has its own phase in the cycle, which spreads the load.
pub fn next_sync(owner: &Owner, now: Timestamp) -> Timestamp {
    let cycle = SYNC_EVERY.as_millis() as i64;
    let phase = i64::from(spread(owner));
    let since = (now.as_millis() - phase).rem_euclid(cycle);
    Timestamp::from_millis(now.as_millis() - since + cycle)
}

fn shard(owner: &Owner) -> String {
    DueKind::Schedule.shard_of(spread(owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheduled_syncs_run_once_a_cycle_and_are_spread() {
        let now = Timestamp::from_millis(1_795_435_200_000);
        let mut phases = std::collections::BTreeSet::new();
        for id in 0..100 {
            let owner: Owner = format!("user:{id}").parse().expect("valid");
            let next = next_sync(&owner, now);
            assert!(next > now && next <= now + SYNC_EVERY);
            assert_eq!(next_sync(&owner, next), next + SYNC_EVERY);
            phases.insert(next.since(now).as_secs() / 3600);
        }
        assert_eq!(phases.len(), 6, "each hour of the cycle has its share");
    }
}
