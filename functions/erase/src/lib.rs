//! The erase function: deletes everything of an owner who asked for it, and says so only when nothing is left.
//!
//! A delivery sweeps as long as it may and sends the rest on. Once everything is gone it waits for the last admissions that
//! may have been under way, sweeps once more, and notes the end. Whatever stops it in between is resumed by the message's
//! next delivery, or by the reconciler, which knows every erasure that is not done.

mod config;

pub use config::Config;

use std::time::Duration;

use domain::{Timestamp, owner::Owner};
use runtime::{
    quarantine::Quarantine,
    queue::{Message, QueueUrl, Sender},
    sqs::{Delivery, Disposition, Inbox},
    worker::{Invocation, backoff},
};
use store::{
    clock::Clock,
    erasure::{ErasureError, Erasures, SETTLES_AFTER, Swept},
};
use telemetry::chain;
use tracing::{error, info, warn};

/// The function's surroundings.
#[derive(Clone, Debug)]
pub struct Eraser {
    /// The owners' rows.
    pub erasures: Erasures,
    /// The queue it reads.
    pub inbox: Inbox,
    /// Sends what is left to a later delivery.
    pub sender: Sender,
    /// Where erasures are queued.
    pub queue: QueueUrl,
    /// Takes messages that cannot be used.
    pub quarantine: Quarantine,
    /// The time.
    pub clock: Clock,
}

/// What a delivery leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Nothing: the erasure is done, or was done, or is another by now.
    Nothing,
    /// Another sweep, after this long.
    More(Duration),
}

impl Eraser {
    /// Takes one delivery to its verdict.
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
                "a message of another worker's kind"
            );
            return Disposition::Retry;
        };
        let after = match self.erase(owner, *requested_at, invocation).await {
            Ok(Left::Nothing) => return Disposition::Ack,
            Ok(Left::More(after)) => after,
            Err(error) => {
                warn!(error = %chain(&error), "an erasure was interrupted; its message comes again");
                let pause = backoff(delivery.receives);
                self.inbox.set_visibility(delivery, pause).await;
                return Disposition::Retry;
            }
        };
        match self.sender.send(&self.queue, message, after).await {
            Ok(()) => Disposition::Ack,
            Err(error) => {
                error!(error = %chain(&error), "the rest of an erasure was not sent on; this message comes again");
                Disposition::Retry
            }
        }
    }

    async fn erase(
        &self,
        owner: &Owner,
        requested_at: Timestamp,
        invocation: Invocation,
    ) -> Result<Left, ErasureError> {
        let began = self.clock.now();
        let standing = self.erasures.read(owner, began).await?;
        let is_this = standing.is_some_and(|erasure| {
            erasure.requested_at == requested_at && erasure.completed_at.is_none()
        });
        if !is_this {
            info!("an erasure that is done, or another by now");
            return Ok(Left::Nothing);
        }
        let settled = requested_at + SETTLES_AFTER;
        match self.erasures.sweep(owner, invocation.work_until()).await? {
            Swept::OutOfTime { deleted } => {
                info!(deleted, "an erasure goes on in a later delivery");
                Ok(Left::More(Duration::ZERO))
            }
            Swept::Everything { deleted } if began < settled => {
                info!(
                    deleted,
                    "an owner's rows are gone; once more, when all admissions have ended"
                );
                Ok(Left::More(settled.since(self.clock.now())))
            }
            Swept::Everything { deleted } => {
                let now = self.clock.now();
                let completed = self.erasures.complete(owner, requested_at, now).await?;
                info!(deleted, completed, "an owner is erased");
                Ok(Left::Nothing)
            }
        }
    }
}
