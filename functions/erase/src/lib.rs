//! The erase function: deletes all data of an owner on request, and completes the erasure only when nothing is left.
//!
//! A delivery interrupts the agent's sessions of the owner, as far as the agent answers: an erasure waits for nobody. It
//! sweeps until its time is up and continues in another message. When everything is deleted, it waits until
//! admissions that may have been in flight have ended, sweeps once more, and records the completion. After a failure,
//! the redelivery or the reconciler resumes the erasure.

mod config;

pub use config::Config;

use std::time::Duration;

use agent::Agent;
use domain::{Timestamp, owner::Owner};
use futures::future::join_all;
use runtime::{
    quarantine::Quarantine,
    queue::{Message, QueueUrl, Sender},
    sqs::{Delivery, Disposition, Inbox},
    worker::{Invocation, backoff},
};
use store::{
    clock::Clock,
    erasure::{ErasureError, Erasures, SETTLES_AFTER, Swept},
    table::Caused as _,
};
use telemetry::{
    chain,
    metrics::{self, Metric},
};
use tokio::time::Instant;
use tracing::{error, info, warn};

/// How long a delivery tries to interrupt sessions. An agent that is down may not delay the erasure.
const INTERRUPTED_WITHIN: Duration = Duration::from_secs(5);

/// The function's dependencies.
#[derive(Clone, Debug)]
pub struct Eraser {
    /// The owners' rows.
    pub erasures: Erasures,
    /// The queue that the function reads.
    pub inbox: Inbox,
    /// Sends the continuation.
    pub sender: Sender,
    /// The queue of erasures.
    pub queue: QueueUrl,
    /// Keeps messages that cannot be parsed.
    pub quarantine: Quarantine,
    /// The agent, whose sessions are interrupted.
    pub agent: Agent,
    /// DynamoDB's time.
    pub clock: Clock,
}

/// What is left after a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Nothing: the erasure is completed, or a later erasure has replaced it.
    Nothing,
    /// Another sweep, after this delay.
    More(Duration),
}

impl Eraser {
    /// Handles one delivery.
    pub async fn deliver(&self, delivery: &Delivery, invocation: Invocation) -> Disposition {
        let message = match Message::parse(&delivery.body) {
            Ok(message) => message,
            Err(unusable) => {
                let now = self.clock.now();
                return self.quarantine.receive(delivery, &unusable, now).await;
            }
        };
        let work = self.deliver_message(delivery, &message, invocation);
        delivery.follow(&message, work).await
    }

    async fn deliver_message(
        &self,
        delivery: &Delivery,
        message: &Message,
        invocation: Invocation,
    ) -> Disposition {
        let Message::Erase {
            owner,
            requested_at,
        } = message
        else {
            error!(
                sqs.message_id = delivery.message_id,
                "the message is for another worker"
            );
            return Disposition::Retry;
        };
        let after = match self.erase(owner, *requested_at, invocation).await {
            Ok(Left::Nothing) => return Disposition::Ack,
            Ok(Left::More(after)) => after,
            // What is left waits in a continuation, which spends no delivery.
            Err(error) if error.is_throttled() => {
                warn!(error = %chain(&error), "the erasure is throttled and continues later");
                backoff(1)
            }
            Err(error) => {
                warn!(error = %chain(&error), "the erasure was interrupted; its message is redelivered");
                let pause = backoff(delivery.receives);
                self.inbox.set_visibility(delivery, pause).await;
                return Disposition::Retry;
            }
        };
        match self.sender.send(&self.queue, message, after).await {
            Ok(()) => Disposition::Ack,
            Err(error) => {
                error!(error = %chain(&error), "cannot queue the erasure's continuation; this message is redelivered");
                Disposition::Retry
            }
        }
    }

    /// Interrupts the sessions that may run for the owner. Best effort: a session that goes on reaches nothing here,
    /// because its callback is stale.
    async fn interrupt_sessions(&self, owner: &Owner, until: Instant) -> Result<(), ErasureError> {
        let sessions = self.erasures.close_analyses(owner).await?;
        let now = self.clock.now();
        let interruptions = sessions
            .iter()
            .map(|id| self.agent.interrupt(id, now, until));
        for interrupted in join_all(interruptions).await {
            match interrupted {
                Ok(()) => info!("a session of the owner is interrupted"),
                Err(error) => {
                    metrics::record(Metric::SessionLeft);
                    warn!(error = %chain(&error), "cannot interrupt a session of the owner; it runs to its own end");
                }
            }
        }
        Ok(())
    }

    async fn erase(
        &self,
        owner: &Owner,
        requested_at: Timestamp,
        invocation: Invocation,
    ) -> Result<Left, ErasureError> {
        let began = self.clock.now();
        let state = self.erasures.read(owner, began).await?;
        let is_this = state.is_some_and(|erasure| {
            erasure.requested_at == requested_at && erasure.completed_at.is_none()
        });
        if !is_this {
            info!("the erasure is completed, or a later one has replaced it");
            return Ok(Left::Nothing);
        }
        // Before the sweep, which deletes the rows that name the sessions.
        let until = Instant::now() + INTERRUPTED_WITHIN;
        self.interrupt_sessions(owner, until.min(invocation.work_until()))
            .await?;
        let settled = requested_at + SETTLES_AFTER;
        match self.erasures.sweep(owner, invocation.work_until()).await? {
            Swept::OutOfTime { deleted } => {
                info!(deleted, "the erasure continues in a later delivery");
                Ok(Left::More(Duration::ZERO))
            }
            Swept::Everything { deleted } if began < settled => {
                info!(
                    deleted,
                    "the owner's rows are deleted; they are swept again when all admissions have ended"
                );
                Ok(Left::More(settled.since(self.clock.now())))
            }
            Swept::Everything { deleted } => {
                let now = self.clock.now();
                let completed = self.erasures.complete(owner, requested_at, now).await?;
                info!(deleted, completed, "the owner is erased");
                Ok(Left::Nothing)
            }
        }
    }
}
