//! Due scheduled syncs: leases an owner's turn, queues the message, then moves the turn to the next cycle.
//!
//! If a run dies in between, the turn is due again when the lease ends, not a cycle later. The sync may then be queued
//! twice, which costs one listing and changes nothing.

use std::time::Duration;

use domain::Timestamp;
use futures::future::join_all;
use runtime::queue::{Message, ScheduledSync};
use store::owners::{DueOwner, next_sync};
use telemetry::chain;
use tracing::{error, warn};
use uuid::Uuid;

use crate::{PAGE, Reconciler, Run, each_page};

/// How long a dispatch keeps other runs from the same turn.
const LEASE: Duration = Duration::from_secs(5 * 60);
/// The most messages in one `SendMessageBatch` request.
const BATCH: usize = 10;

impl Reconciler {
    /// Handles one shard's due owners, oldest first.
    pub(crate) async fn schedules(&self, run: &Run, shard: u8) {
        let read = async |after| self.owners.due(shard, PAGE, after, run.now).await;
        each_page(run, read, async |due| {
            let mut owners = Vec::with_capacity(due.len());
            for due in due {
                match due {
                    Ok(due) => owners.push(due),
                    Err(error) => {
                        error!(error = %chain(&error), "cannot read a due owner");
                        run.count(|report| report.errors += 1);
                    }
                }
            }
            for batch in owners.chunks(BATCH) {
                if !run.has_time() {
                    return;
                }
                self.dispatch(run, batch).await;
            }
        })
        .await;
    }

    async fn dispatch(&self, run: &Run, due: &[DueOwner]) {
        let now = self.clock.now();
        let lease = now + LEASE;
        let moved = join_all(
            due.iter()
                .map(async |due| (due, self.move_turn(run, due, lease).await)),
        )
        .await;
        let leased: Vec<&DueOwner> = moved
            .into_iter()
            .filter_map(|(due, moved)| moved.then_some(due))
            .collect();
        if leased.is_empty() {
            return;
        }
        let messages: Vec<Message> = leased
            .iter()
            .map(|due| {
                Message::ScheduledSync(ScheduledSync {
                    owner: due.owner.clone(),
                    pass: Uuid::new_v4(),
                    began: now,
                })
            })
            .collect();
        let refused = match self
            .sender
            .send_batch(&self.scheduled_queue, &messages)
            .await
        {
            Ok(refused) => refused,
            Err(error) => {
                error!(count = leased.len(), error = %chain(&error), "cannot queue scheduled syncs; they are due again when their lease ends");
                (0..leased.len()).collect()
            }
        };
        for place in &refused {
            warn!(
                owner = leased[*place].owner.hashed(),
                "the queue refused a scheduled sync; it is due again when its lease ends"
            );
            run.count(|report| report.refused += 1);
        }
        let taken = leased
            .iter()
            .enumerate()
            .filter(|(place, _)| !refused.contains(place));
        join_all(taken.map(async |(_, due)| {
            run.count(|report| report.dispatched += 1);
            let leased = DueOwner {
                owner: due.owner.clone(),
                due_at: lease,
            };
            // Race: if the turn is not moved, a save of the configuration has planned the next one.
            self.plan_next(run, &leased, now).await;
        }))
        .await;
    }

    /// Moves the turn. Returns whether this run has it.
    async fn move_turn(&self, run: &Run, due: &DueOwner, to: Timestamp) -> bool {
        match self.owners.move_turn(&due.owner, due.due_at, to).await {
            Ok(moved) => {
                if !moved {
                    run.count(|report| report.raced += 1);
                }
                moved
            }
            Err(error) => {
                error!(owner = due.owner.hashed(), error = %chain(&error), "cannot lease a scheduled sync");
                run.count(|report| report.errors += 1);
                false
            }
        }
    }

    async fn plan_next(&self, run: &Run, leased: &DueOwner, now: Timestamp) {
        let next = next_sync(&leased.owner, now);
        let moved = self.owners.move_turn(&leased.owner, leased.due_at, next);
        if let Err(error) = moved.await {
            error!(owner = leased.owner.hashed(), error = %chain(&error), "cannot plan the next scheduled sync; the queued one is due again when its lease ends");
            run.count(|report| report.errors += 1);
        }
    }
}
