//! The erasure of an owner: first a tombstone, then all of the owner's rows, in an order in which no row is created
//! again.
//!
//! ```text
//!  tombstone ─▶ settings, integration ─▶ repositories ─▶ findings ─▶ analyses ─▶ commands ─▶ keys ─▶ audit events
//! ```
//!
//! A transaction that creates a row checks a row that is deleted earlier: settings and integration check the tombstone,
//! repositories the integration, findings their repository, analyses their finding, audit events what they record. So
//! after a step, queued or running work cannot create its rows again. An admission reads the tombstone before its write,
//! not with it, because a transaction costs twice the write. So an admission that comes after the tombstone is refused,
//! and a second sweep, 20 s after the start ([`SETTLES_AFTER`]), deletes the commands of those that were in flight.

mod sessions;

use std::time::Duration;

use aws_sdk_dynamodb::types::{DeleteRequest, ReturnConsumedCapacity, WriteRequest};
use tokio::time::Instant;

use crate::{
    pace::Pace,
    table::{
        Attributes, Cause, Caused, DueKind, Expression, Item, OwnerRow, Partition,
        THROTTLE_BACKOFF, Table, Transacted, Unreadable, Writes, due_items, ms, n, s,
    },
};
use domain::{Timestamp, owner::Owner};

/// How long after its start an erasure makes its last sweep. No API request, and so no admission, lasts that long.
pub const SETTLES_AFTER: Duration = Duration::from_secs(20);

/// How long after its start an unfinished erasure is resumed.
pub const RESUMED_AFTER: Duration = Duration::from_secs(90);

/// How long a finished erasure is shown.
const SHOWN_FOR: Duration = Duration::from_secs(30 * 86_400);

/// The most rows in one `BatchWriteItem`: DynamoDB's limit.
const BATCH: usize = 25;

/// The write units that a deletion is expected to consume: those of the row and of its entries in indexes.
const UNITS_PER_ROW: usize = 8;

/// A requested erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// When it was requested.
    pub requested_at: Timestamp,
    /// When no row was left; `None` until then.
    pub completed_at: Option<Timestamp>,
    /// When its row expires; `None` until it is done.
    pub expires_at: Option<Timestamp>,
}

impl Erasure {
    fn expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// Erases owners.
#[derive(Clone, Debug)]
pub struct Erasures {
    table: Table,
}

/// The result of a sweep.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// No row is left.
    Everything {
        /// Rows deleted by this sweep.
        deleted: u64,
    },
    /// The sweep ran out of time; there may be more rows.
    OutOfTime {
        /// Rows deleted by this sweep.
        deleted: u64,
    },
}

/// An owner whose erasure is not done according to the `due` index. The index lags, so the guard decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueErasure {
    /// The owner.
    pub owner: Owner,
    /// When the reconciler had to look.
    pub due_at: Timestamp,
}

/// The table could not be read or written. Repeating the call is safe.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted}")]
pub struct ErasureError {
    attempted: &'static str,
    #[source]
    source: Cause,
}

impl Caused for ErasureError {
    fn cause(&self) -> Option<&Cause> {
        Some(&self.source)
    }
}

fn failed(attempted: &'static str) -> impl Fn(Cause) -> ErasureError {
    move |source| ErasureError { attempted, source }
}

impl Erasures {
    /// The owners in this table.
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    /// Writes the tombstone, or returns the existing one if its erasure is not done. The tombstone comes before every
    /// deletion: from then on saving and connecting are refused, so no deleted row is created again.
    pub async fn begin(&self, owner: &Owner, now: Timestamp) -> Result<Erasure, ErasureError> {
        let attempted = "begin an owner's erasure";
        let mut e = Expression::default();
        let condition = format!(
            "{} OR {}",
            e.absent("requested_at"),
            e.exists("completed_at")
        );
        e.set("requested_at", ms(now));
        e.remove("completed_at");
        e.remove("expires_at");
        e.set("due_at", ms(now + RESUMED_AFTER));
        e.set("due_shard", s(DueKind::Erasure.shard(0)));
        let put = self
            .table
            .update(OwnerRow::Erasure.key(owner), e, Some(condition));
        let transacted = self.table.transact(&put).await.map_err(failed(attempted))?;
        let begun = Erasure {
            requested_at: now,
            completed_at: None,
            expires_at: None,
        };
        match transacted {
            Transacted::Written => Ok(begun),
            // An unfinished erasure's tombstone, or our own earlier try: the caller continues that erasure.
            Transacted::Refused(_) => Ok(self.read(owner, now).await?.unwrap_or(begun)),
        }
    }

    /// The erasure of this owner, if one was requested. An expired one counts as absent.
    pub async fn read(
        &self,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Option<Erasure>, ErasureError> {
        let item = self.table.get(OwnerRow::Erasure.key(owner)).await;
        let item = item.map_err(failed("read an owner's erasure"))?;
        let erasure = item
            .as_ref()
            .map(read)
            .transpose()
            .map_err(|error| failed("read an owner's erasure")(error.into()))?;
        Ok(erasure.filter(|erasure| !erasure.expired(now)))
    }

    /// Deletes all rows of an owner except the tombstone, until `until`, at the pace that a partition serves.
    pub async fn sweep(&self, owner: &Owner, until: Instant) -> Result<Swept, ErasureError> {
        let mut deleted = 0;
        // The order matters: each step deletes the rows that creating a row of the next steps checks.
        let steps: [(Partition, &[OwnerRow]); 7] = [
            (
                Partition::Owner,
                &[OwnerRow::Settings, OwnerRow::Integration],
            ),
            (Partition::Repositories, &[]),
            (Partition::Findings, &[]),
            (Partition::Owner, &[OwnerRow::Analyses]),
            (Partition::Commands, &[]),
            (Partition::IdempotencyKeys, &[]),
            (Partition::AuditEvents, &[]),
        ];
        for (partition, rows) in steps {
            let pace = Pace::steady(until);
            loop {
                let keys = if rows.is_empty() {
                    self.keys(owner, partition).await?
                } else {
                    self.present(owner, rows).await?
                };
                if keys.is_empty() {
                    break;
                }
                for batch in keys.chunks(BATCH) {
                    let Some(turn) = pace.turn(batch.len() * UNITS_PER_ROW).await else {
                        return Ok(Swept::OutOfTime { deleted });
                    };
                    match self.delete(batch.to_vec()).await {
                        Ok(done) => {
                            turn.consumed(done.units);
                            deleted += done.rows;
                            if done.left > 0 {
                                pace.rest(THROTTLE_BACKOFF.after(1));
                            }
                        }
                        // The rows are listed again.
                        Err(error) if error.is_throttled() => {
                            pace.rest(THROTTLE_BACKOFF.after(1));
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(Swept::Everything { deleted })
    }

    /// Records that no row is left. `false` if the current erasure is not the one requested at `requested_at`.
    pub async fn complete(
        &self,
        owner: &Owner,
        requested_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, ErasureError> {
        let mut e = Expression::default();
        let same = e.compare("requested_at", "=", ms(requested_at));
        e.set("completed_at", ms(now));
        e.set("expires_at", n((now + SHOWN_FOR).as_seconds()));
        e.remove("due_at");
        e.remove("due_shard");
        let update = self
            .table
            .update(OwnerRow::Erasure.key(owner), e, Some(same));
        let transacted = self.table.transact(&update).await;
        match transacted.map_err(failed("complete an owner's erasure"))? {
            Transacted::Written => Ok(true),
            Transacted::Refused(_) => Ok(false),
        }
    }

    /// Postpones the reconciler's next look. `false` if another reconciler has.
    pub async fn postpone(&self, due: &DueErasure, until: Timestamp) -> Result<bool, ErasureError> {
        let mut e = Expression::default();
        let unmoved = e.compare("due_at", "=", ms(due.due_at));
        e.set("due_at", ms(until));
        let update = self
            .table
            .update(OwnerRow::Erasure.key(&due.owner), e, Some(unmoved));
        let transacted = self.table.transact(&update).await;
        match transacted.map_err(failed("postpone an owner's erasure"))? {
            Transacted::Written => Ok(true),
            Transacted::Refused(_) => Ok(false),
        }
    }

    /// The erasures that were due by `now` and are not done.
    pub async fn due(
        &self,
        shard: u8,
        limit: u32,
        after: Option<Item>,
        now: Timestamp,
    ) -> Result<(Vec<DueErasure>, Option<Item>), ErasureError> {
        let (items, next) = due_items(&self.table, DueKind::Erasure, shard, limit, after, now)
            .await
            .map_err(failed("list due erasures"))?;
        let due = items.iter().filter_map(|item| {
            Some(DueErasure {
                owner: Partition::Owner.owner(item.text("pk").ok()?)?,
                due_at: item.time("due_at").ok()?,
            })
        });
        Ok((due.collect(), next))
    }

    /// One page of a partition's keys; empty if the partition is.
    async fn keys(&self, owner: &Owner, partition: Partition) -> Result<Vec<Item>, ErasureError> {
        let page = self
            .table
            .client
            .query()
            .table_name(&self.table.name)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", partition.of(owner))
            .projection_expression("pk, sk")
            .send()
            .await
            .map_err(|error| failed("list an owner's remaining rows")(error.into()))?;
        Ok(page.items.unwrap_or_default())
    }

    /// The keys of those of these rows that exist in the owner's own partition.
    async fn present(&self, owner: &Owner, rows: &[OwnerRow]) -> Result<Vec<Item>, ErasureError> {
        let keys = self.keys(owner, Partition::Owner).await?;
        let wanted = |item: &Item| {
            item.text("sk")
                .is_ok_and(|sk| rows.iter().any(|row| row.as_str() == sk))
        };
        Ok(keys.into_iter().filter(wanted).collect())
    }

    /// Deletes these rows. The sweep lists rows that DynamoDB left unprocessed again.
    #[expect(
        clippy::disallowed_methods,
        reason = "an erasure deletes the owner's rows whatever they contain"
    )]
    async fn delete(&self, keys: Vec<Item>) -> Result<Deleted, ErasureError> {
        let attempted = failed("delete an owner's rows");
        let asked = keys.len();
        let deletions: Vec<WriteRequest> = keys
            .into_iter()
            .map(|key| {
                let delete = DeleteRequest::builder().set_key(Some(key)).build()?;
                Ok(WriteRequest::builder().delete_request(delete).build())
            })
            .collect::<Result<_, aws_sdk_dynamodb::error::BuildError>>()
            .map_err(|error| attempted(error.into()))?;
        let answer = self
            .table
            .client
            .batch_write_item()
            .request_items(&self.table.name, deletions)
            .return_consumed_capacity(ReturnConsumedCapacity::Indexes)
            .send()
            .await
            .map_err(|error| attempted(error.into()))?;
        let left = answer.unprocessed_items.into_iter().flatten();
        let left = left.flat_map(|(_, rows)| rows).count();
        let consumed = answer.consumed_capacity.unwrap_or_default();
        Ok(Deleted {
            rows: asked.saturating_sub(left) as u64,
            left,
            units: consumed.iter().filter_map(|it| it.capacity_units).sum(),
        })
    }
}

/// What a batch of deletions has done.
#[derive(Clone, Copy, Debug)]
struct Deleted {
    rows: u64,
    /// Rows that DynamoDB left unprocessed: their partition is out of units.
    left: usize,
    /// The write units that it consumed.
    units: f64,
}

/// Reads a tombstone.
fn read(item: &Item) -> Result<Erasure, Unreadable> {
    Ok(Erasure {
        requested_at: item.time("requested_at")?,
        completed_at: item.maybe("completed_at", Attributes::time)?,
        expires_at: item
            .maybe("expires_at", Attributes::number)?
            .map(Timestamp::from_seconds),
    })
}

/// Whether the erasure of this tombstone is not done.
pub(crate) fn is_running(tombstone: &Item) -> bool {
    tombstone.has("requested_at") && !tombstone.has("completed_at")
}

/// The key of an owner's tombstone.
pub(crate) fn tombstone(owner: &Owner) -> Item {
    OwnerRow::Erasure.key(owner)
}

/// The check that the owner is not being erased. A transaction with it creates no row that an erasure could miss.
pub(crate) fn none(table: &Table, owner: &Owner) -> Writes {
    let mut e = Expression::default();
    let free = format!(
        "{} OR {}",
        e.absent("requested_at"),
        e.exists("completed_at")
    );
    table.check(OwnerRow::Erasure.key(owner), e, free)
}
