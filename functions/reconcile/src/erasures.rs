//! Due erasures: sends the message of an erasure that has not completed in time again.

use std::time::Duration;

use runtime::queue::Message;
use store::erasure::{DueErasure, ErasureError, RESUMED_AFTER};
use telemetry::chain;
use tracing::{error, warn};

use crate::{PAGE, Reconciler, Run, each_page};

impl Reconciler {
    /// Handles one shard's due erasures.
    pub(crate) async fn erasures(&self, run: &Run, shard: u8) {
        let read = async |after| self.erasures.due(shard, PAGE, after, run.now).await;
        each_page(run, read, async |due| {
            for due in due {
                if !run.has_time() {
                    return;
                }
                match self.resume(run, &due).await {
                    Ok(true) => {}
                    Ok(false) => run.count(|report| report.raced += 1),
                    Err(error) => {
                        error!(owner = due.owner.hashed(), error = %chain(&error), "cannot resume an erasure; the next run retries it");
                        run.count(|report| report.errors += 1);
                    }
                }
            }
        })
        .await;
    }

    async fn resume(&self, run: &Run, due: &DueErasure) -> Result<bool, ErasureError> {
        let now = self.clock.now();
        if !self.erasures.postpone(due, now + RESUMED_AFTER).await? {
            return Ok(false);
        }
        let Some(erasure) = self.erasures.read(&due.owner, now).await? else {
            return Ok(false);
        };
        if erasure.completed_at.is_some() {
            return Ok(false);
        }
        let message = Message::Erase {
            owner: due.owner.clone(),
            requested_at: erasure.requested_at,
        };
        match self
            .sender
            .send(&self.erase_queue, &message, Duration::ZERO)
            .await
        {
            Ok(()) => {
                warn!(
                    owner = due.owner.hashed(),
                    "an incomplete erasure is resumed"
                );
                run.count(|report| report.resumed += 1);
            }
            Err(error) => {
                error!(owner = due.owner.hashed(), error = %chain(&error), "cannot send the erasure's message again");
                run.count(|report| report.unsent += 1);
            }
        }
        Ok(true)
    }
}
