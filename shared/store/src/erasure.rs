//! Erasing an owner: a tombstone first, then everything that belongs to it, in an order in which nothing comes back.
//!
//! ```text
//!  tombstone ─▶ settings, integration ─▶ repositories ─▶ findings ─▶ analyses ─▶ commands ─▶ keys ─▶ audit events
//! ```
//!
//! Whatever brings a row into being checks, in the same transaction, a row that goes earlier: saving and connecting check
//! the tombstone, repositories the integration, findings their repository, analyses and what comes of them their finding,
//! audit events what they tell of. So once a step is done, work that is still under way or queued can write nothing of its
//! kind. Only the admission of a command checks nothing, for its one write's sake: the erasure goes over everything again
//! once every admission that was under way when it began has ended, and is done only then.

use std::time::Duration;

use aws_sdk_dynamodb::types::{DeleteRequest, WriteRequest};
use tokio::time::Instant;

use crate::table::{
    Attributes, Cause, DueKind, Expression, Item, OwnerRow, Partition, Table, Transacted,
    Unreadable, Writes, due_items, ms, n, s,
};
use domain::{Timestamp, owner::Owner};

/// How long after its beginning an erasure looks for the last time: no request of the API lives that long.
pub const SETTLES_AFTER: Duration = Duration::from_secs(20);

/// After how long an erasure that is not done is begun again.
pub const RESUMED_AFTER: Duration = Duration::from_secs(90);

/// For how long a finished erasure can be seen.
const SHOWN_FOR: Duration = Duration::from_secs(30 * 86_400);

/// As many as one request takes.
const BATCH: usize = 25;

/// How long the sweep lets DynamoDB alone for each row that it did not take.
const PAUSE_PER_ROW: Duration = Duration::from_millis(10);

/// An erasure that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When nothing was left.
    pub completed_at: Option<Timestamp>,
    /// When it is forgotten, if it is done.
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

/// How far a sweep came.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Everything is gone; so many rows went in this sweep.
    Everything {
        /// Rows deleted.
        deleted: u64,
    },
    /// The time was up: there may be more.
    OutOfTime {
        /// Rows deleted.
        deleted: u64,
    },
}

/// An owner whose erasure is not done. Only a nomination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueErasure {
    /// Whose.
    pub owner: Owner,
    /// When the reconciler was to look.
    pub due_at: Timestamp,
}

/// The table could not be read or written. Repeating the call is safe.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted} of an owner")]
pub struct ErasureError {
    attempted: &'static str,
    #[source]
    source: Cause,
}

fn failed(attempted: &'static str) -> impl Fn(Cause) -> ErasureError {
    move |source| ErasureError { attempted, source }
}

impl Erasures {
    /// The owners in this table.
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    /// Puts the tombstone, unless one stands whose erasure is not done; gives the one that stands then.
    pub async fn begin(&self, owner: &Owner, now: Timestamp) -> Result<Erasure, ErasureError> {
        let attempted = "begin the erasure";
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
            Transacted::Refused(_) => Ok(self.read(owner, now).await?.unwrap_or(begun)),
        }
    }

    /// The erasure of this owner, if one was asked for. One that has expired counts as absent.
    pub async fn read(
        &self,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Option<Erasure>, ErasureError> {
        let answer = self
            .table
            .client
            .get_item()
            .table_name(&self.table.name)
            .set_key(Some(OwnerRow::Erasure.key(owner)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("read the erasure")(Box::new(error)))?;
        let item = answer.item.as_ref();
        let erasure = item
            .map(read)
            .transpose()
            .map_err(|error| failed("read the erasure")(error.into()))?;
        Ok(erasure.filter(|erasure| !erasure.expired(now)))
    }

    /// Deletes everything of an owner but the tombstone, in the order that lets nothing come back, until the time is up.
    pub async fn sweep(&self, owner: &Owner, until: Instant) -> Result<Swept, ErasureError> {
        let mut deleted = 0;
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
                    if Instant::now() >= until {
                        return Ok(Swept::OutOfTime { deleted });
                    }
                    deleted += self.delete(batch.to_vec()).await?;
                }
            }
        }
        Ok(Swept::Everything { deleted })
    }

    /// Notes that nothing is left. `false` if the erasure is not the one that was asked for at `requested_at`.
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
        match transacted.map_err(failed("complete the erasure"))? {
            Transacted::Written => Ok(true),
            Transacted::Refused(_) => Ok(false),
        }
    }

    /// Puts off the reconciler's next look. `false` if another has.
    pub async fn postpone(&self, due: &DueErasure, until: Timestamp) -> Result<bool, ErasureError> {
        let mut e = Expression::default();
        let unmoved = e.compare("due_at", "=", ms(due.due_at));
        e.set("due_at", ms(until));
        let update = self
            .table
            .update(OwnerRow::Erasure.key(&due.owner), e, Some(unmoved));
        let transacted = self.table.transact(&update).await;
        match transacted.map_err(failed("put off the erasure"))? {
            Transacted::Written => Ok(true),
            Transacted::Refused(_) => Ok(false),
        }
    }

    /// The erasures that should have been done by `now`.
    pub async fn due(
        &self,
        shard: u8,
        limit: u32,
        after: Option<Item>,
        now: Timestamp,
    ) -> Result<(Vec<DueErasure>, Option<Item>), ErasureError> {
        let (items, next) = due_items(&self.table, DueKind::Erasure, shard, limit, after, now)
            .await
            .map_err(failed("find the erasures that are due"))?;
        let due = items.iter().filter_map(|item| {
            Some(DueErasure {
                owner: Partition::Owner.owner(item.text("pk").ok()?)?,
                due_at: item.time("due_at").ok()?,
            })
        });
        Ok((due.collect(), next))
    }

    /// Some keys of a partition; none if it is empty.
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
            .map_err(|error| failed("find what is left")(Box::new(error)))?;
        Ok(page.items.unwrap_or_default())
    }

    /// Which of these rows of the owner's own partition are there.
    async fn present(&self, owner: &Owner, rows: &[OwnerRow]) -> Result<Vec<Item>, ErasureError> {
        let keys = self.keys(owner, Partition::Owner).await?;
        let wanted = |item: &Item| {
            item.text("sk")
                .is_ok_and(|sk| rows.iter().any(|row| row.as_str() == sk))
        };
        Ok(keys.into_iter().filter(wanted).collect())
    }

    /// Asks for these rows to be deleted; gives how many are. What DynamoDB does not take the sweep finds again.
    #[expect(
        clippy::disallowed_methods,
        reason = "rows of an owner whose erasure has begun go whatever they hold"
    )]
    async fn delete(&self, keys: Vec<Item>) -> Result<u64, ErasureError> {
        let attempted = failed("delete rows");
        let asked = keys.len();
        let deletions: Vec<WriteRequest> = keys
            .into_iter()
            .map(|key| {
                let delete = DeleteRequest::builder().set_key(Some(key)).build()?;
                Ok(WriteRequest::builder().delete_request(delete).build())
            })
            .collect::<Result<_, aws_sdk_dynamodb::error::BuildError>>()
            .map_err(|error| attempted(Box::new(error)))?;
        let answer = self
            .table
            .client
            .batch_write_item()
            .request_items(&self.table.name, deletions)
            .send()
            .await
            .map_err(|error| attempted(Box::new(error)))?;
        let left = answer.unprocessed_items.into_iter().flatten();
        let left = left.flat_map(|(_, rows)| rows).count();
        tokio::time::sleep(PAUSE_PER_ROW * left as u32).await;
        Ok(asked.saturating_sub(left) as u64)
    }
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

/// The check that the owner is not being erased: what is written with it outlives no erasure.
pub(crate) fn none(table: &Table, owner: &Owner) -> Writes {
    let mut e = Expression::default();
    let free = format!(
        "{} OR {}",
        e.absent("requested_at"),
        e.exists("completed_at")
    );
    table.check(OwnerRow::Erasure.key(owner), e, free)
}
