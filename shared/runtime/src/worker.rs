//! What every worker does with a delivery, around the effect that is its own: read the message, claim the command, do
//! the effect, and settle, hand on or give back. Every way out of here does one of those.

mod invocation;

use backoff::{Backoff, Jitter};
use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use tracing::{error, info, warn};

use crate::{
    aws::Services,
    quarantine::Quarantine,
    queue::{MAX_DELAY, Message, QueueUrl, Sender},
    sqs::{Delivery, Disposition, Inbox},
};
use domain::{
    Timestamp,
    command::{Command, CommandKey, LastError, Progress},
    lifecycle::{CLAIM_MARGIN, Stage, Timeouts, Waits, is_last_delivery},
    result_code::ResultCode,
};
use store::{
    abandon::Cleaner,
    clock::Clock,
    ledger::{Claim, Claimed, Ending, Ledger, LedgerError, Outcome, Together},
    table::Writes,
};
use telemetry::{
    chain,
    metrics::{self, Metric},
};

pub use invocation::Invocation;

/// A worker's surroundings.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The commands.
    pub ledger: Ledger,
    /// The queues it reads.
    pub inbox: Inbox,
    /// Sends continuations.
    pub sender: Sender,
    /// Where the command's messages are queued.
    pub queue: QueueUrl,
    /// Takes messages that cannot be used.
    pub quarantine: Quarantine,
    /// Gives back what commands hold that end here unfinished.
    pub cleaner: Cleaner,
    /// How often a message is delivered at most.
    pub max_receives: u32,
    /// The time.
    pub clock: Clock,
}

/// What a worker of commands is told.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// `ACCEPTED_TIMEOUT_SECONDS`, `RUNNING_TIMEOUT_SECONDS`, `RETENTION_DAYS`: what commands are written with.
    pub timeouts: Timeouts,
    /// The queue of its commands.
    pub queue: QueueUrl,
    /// `MALFORMED_QUEUE_URL`: what nobody can read.
    pub malformed_queue: QueueUrl,
    /// `MAX_RECEIVES`: the queue's maxReceiveCount.
    pub max_receives: u32,
}

/// What became of an effect.
#[derive(Debug)]
pub enum Effected {
    /// The command has ended.
    Ended(Ending),
    /// It may work another time.
    Transient {
        /// What went wrong.
        error: LastError,
        /// Not before this long; otherwise the usual backoff.
        after: Option<Duration>,
    },
    /// There is more to do, in a later delivery.
    Continues {
        /// When.
        at: Timestamp,
        /// Whether it is held up until then.
        waits: Waits,
        /// How far it came, if that is counted.
        progress: Option<Progress>,
        /// What holds it up.
        error: Option<LastError>,
    },
    /// The effect has ended the command itself, together with what it changed.
    Settled {
        /// How.
        code: ResultCode,
        /// What became of that write.
        written: Box<Outcome>,
    },
    /// The claim is lost: another worker has the command.
    Fenced,
}

/// What one kind of worker does: the rest is the same for all.
pub trait Work {
    /// Does what a claimed command asks for.
    fn effect(
        &self,
        claim: &Claim,
        command: &Command,
        invocation: Invocation,
    ) -> impl Future<Output = Effected>;

    /// Deals with a message that is not a command's.
    fn other(
        &self,
        delivery: &Delivery,
        message: Message,
        invocation: Invocation,
    ) -> impl Future<Output = Disposition> {
        let _ = (message, invocation);
        let id = delivery.message_id.clone();
        async move {
            error!(sqs.message_id = id, "a message of another worker's kind");
            Disposition::Retry
        }
    }
}

impl Worker {
    /// A worker that reads this one queue.
    pub fn new(services: &Services, config: WorkerConfig) -> Self {
        let Services {
            table,
            queues,
            clock,
            ..
        } = services;
        Self {
            quarantine: Quarantine::new(services, config.timeouts, config.malformed_queue),
            ledger: Ledger::new(table.clone(), config.timeouts),
            cleaner: Cleaner::new(table),
            sender: Sender::new(queues.clone()),
            inbox: Inbox::new(queues.clone(), vec![config.queue.clone()]),
            queue: config.queue,
            max_receives: config.max_receives,
            clock: clock.clone(),
        }
    }

    /// When a command that began at `began` and has this budget goes on if GitHub wants to be left alone `until` then. `None` if it may not
    /// live that long.
    pub fn resumes_at(
        &self,
        until: Timestamp,
        began: Timestamp,
        budget: Duration,
    ) -> Option<Timestamp> {
        // GitHub's clock and ours differ, and its windows end on whole seconds.
        let at = until + Duration::from_secs(1);
        let deadline = self.clock.now() + self.ledger.timeouts().running;
        (at < deadline && at < began + budget).then_some(at)
    }

    /// Takes one delivery to its verdict.
    pub async fn deliver(
        &self,
        work: &impl Work,
        delivery: &Delivery,
        invocation: Invocation,
    ) -> Disposition {
        let message = match Message::parse(&delivery.body) {
            Ok(message) => message,
            Err(unusable) => {
                let now = self.clock.now();
                return self.quarantine.receive(delivery, &unusable, now).await;
            }
        };
        let about = message.clone();
        let work = async {
            match message {
                Message::Command { key, stage } => {
                    self.command(work, delivery, invocation, &key, stage).await
                }
                message => work.other(delivery, message, invocation).await,
            }
        };
        delivery.follow(&about, work).await
    }

    /// Ends a command together with what it changed, and says whether it could. `None` if another row is not as `beside`
    /// demands.
    pub async fn settle(
        &self,
        claim: &Claim,
        claimed: &Command,
        ending: Ending,
        beside: Writes,
    ) -> Option<Effected> {
        let now = self.clock.now();
        let code = ending.code;
        let settled = self
            .ledger
            .settle_with(claim, claimed, ending, beside, now)
            .await;
        match settled {
            Ok(Together::Command(written)) => Some(Effected::Settled { code, written }),
            Ok(Together::Unsettled) => None,
            Err(error) => {
                // If the settlement has landed after all, the release is refused, and nothing is lost.
                error!(error = %chain(&error), "the command could not be settled");
                Some(transient(LastError::StoreUnavailable))
            }
        }
    }

    async fn command(
        &self,
        work: &impl Work,
        delivery: &Delivery,
        invocation: Invocation,
        key: &CommandKey,
        stage: Stage,
    ) -> Disposition {
        // Should this worker die from here on, the message comes back just after its claim has lapsed.
        let takeover = invocation.left() + CLAIM_MARGIN + Duration::from_secs(2);
        self.inbox.set_visibility(delivery, takeover).await;
        let now = self.clock.now();
        let until = now + invocation.left() + CLAIM_MARGIN;
        let (claim, command) = match self.ledger.claim(key, stage, until, now).await {
            Ok(Claimed::Held(claim, command)) => (claim, command),
            Ok(Claimed::HeldElsewhere { until } | Claimed::Waiting { until }) => {
                info!("the command is held or waits; its message comes again");
                self.inbox
                    .set_visibility(delivery, until.since(now) + Duration::from_secs(1))
                    .await;
                return Disposition::Retry;
            }
            Ok(Claimed::Ended(found)) => {
                info!(
                    command.status = found.status().as_str(),
                    "late delivery of a command that has ended"
                );
                return Disposition::Ack;
            }
            Ok(Claimed::Superseded(found)) => {
                info!(
                    message.stage = stage.0,
                    command.stage = found.standing.stage.0,
                    "a later message carries the command"
                );
                return Disposition::Ack;
            }
            Ok(Claimed::Missing) => {
                info!("no such command: erased or expired");
                return Disposition::Ack;
            }
            Err(error) => return self.unwritten(delivery, &error).await,
        };
        telemetry::about_row(&command);
        let effect = AssertUnwindSafe(work.effect(&claim, &command, invocation)).catch_unwind();
        let effected = match tokio::time::timeout_at(invocation.work_until(), effect).await {
            Ok(Ok(effected)) => effected,
            Ok(Err(_)) => {
                error!("the effect panicked");
                transient(LastError::Unexpected)
            }
            Err(_) => {
                warn!("the effect did not end in time");
                transient(LastError::OutOfTime)
            }
        };
        self.conclude(delivery, &claim, stage, effected).await
    }

    async fn conclude(
        &self,
        delivery: &Delivery,
        claim: &Claim,
        stage: Stage,
        effected: Effected,
    ) -> Disposition {
        let now = self.clock.now();
        let key = claim.key();
        match effected {
            Effected::Ended(ending) => {
                let settled = self.ledger.settle(claim, ending, now).await;
                self.ended(delivery, claim, ending.code, settled).await
            }
            Effected::Settled { code, written } => {
                self.ended(delivery, claim, code, Ok(*written)).await
            }
            Effected::Transient { error, .. }
                if is_last_delivery(delivery.receives, self.max_receives) =>
            {
                let code = ResultCode::QueueRetriesExhausted;
                let exhausted = self
                    .ledger
                    .exhaust(key, Some(claim), stage, code, Some(error), now)
                    .await;
                let ended = match exhausted {
                    Ok(Outcome::Applied(abandoned) | Outcome::AlreadyApplied(abandoned)) => Ok(
                        Outcome::Applied(self.cleaner.clean_up(abandoned, now).await),
                    ),
                    Ok(Outcome::Refused(found)) => Ok(Outcome::Refused(found)),
                    Ok(Outcome::Missing) => Ok(Outcome::Missing),
                    Err(error) => Err(error),
                };
                self.ended(delivery, claim, code, ended).await
            }
            Effected::Transient { error, after, .. } => {
                self.release(claim, error).await;
                let pause = after.unwrap_or_else(|| backoff(delivery.receives));
                warn!(receives = delivery.receives, error = %error, "the command is given back and comes again");
                self.inbox.set_visibility(delivery, pause).await;
                Disposition::Retry
            }
            Effected::Continues {
                at,
                waits,
                progress,
                error,
            } => {
                match self
                    .ledger
                    .continue_later(claim, at, waits, progress, error, now)
                    .await
                {
                    Ok(outcome) => self.hand_on(outcome, at, now).await,
                    Err(error) => {
                        self.release(claim, LastError::StoreUnavailable).await;
                        self.unwritten(delivery, &error).await
                    }
                }
            }
            Effected::Fenced => {
                fenced("another worker has taken the command over");
                // The message is the other worker's now: acknowledging it could delete it under its hands.
                Disposition::Retry
            }
        }
    }

    async fn hand_on(&self, outcome: Outcome, at: Timestamp, now: Timestamp) -> Disposition {
        let Some(command) = outcome.made() else {
            fenced("the command could not be handed on");
            return Disposition::Retry;
        };
        let stage = command.standing.stage;
        let message = Message::of(&command);
        let delay = at.since(now).min(MAX_DELAY);
        match self.sender.send(&self.queue, &message, delay).await {
            Ok(()) => {
                info!(
                    command.stage = stage.0,
                    "the command continues in a later delivery"
                );
            }
            // The row is the outbox: the reconciler sends what nobody claims.
            Err(error) => {
                error!(error = %chain(&error), "the continuation was not sent; the reconciler will");
            }
        }
        Disposition::Ack
    }

    async fn ended(
        &self,
        delivery: &Delivery,
        claim: &Claim,
        code: ResultCode,
        written: Result<Outcome, LedgerError>,
    ) -> Disposition {
        match written {
            Ok(Outcome::Applied(command) | Outcome::AlreadyApplied(command)) => {
                let age = command.updated_at.since(command.accepted_at);
                info!(
                    command.status = command.status().as_str(),
                    command.code = code.as_str(),
                    age_ms = age.as_millis() as u64,
                    "the command has ended"
                );
                Disposition::Ack
            }
            Ok(Outcome::Refused(found)) if found.status().is_terminal() => {
                fenced("the command had ended otherwise");
                Disposition::Ack
            }
            Ok(Outcome::Refused(_)) => {
                fenced("another worker has taken the command over");
                Disposition::Retry
            }
            Ok(Outcome::Missing) => {
                info!("the command was erased meanwhile");
                Disposition::Ack
            }
            Err(error) => {
                // If the settlement has landed after all, the release is refused, and nothing is lost.
                self.release(claim, LastError::StoreUnavailable).await;
                self.unwritten(delivery, &error).await
            }
        }
    }

    async fn release(&self, claim: &Claim, error: LastError) {
        if let Err(error) = self
            .ledger
            .release(claim, error, self.clock.now())
            .await
            .map(Outcome::made)
        {
            warn!(error = %chain(&error), "the claim could not be released and will lapse");
        }
    }

    async fn unwritten(&self, delivery: &Delivery, error: &LedgerError) -> Disposition {
        error!(sqs.message_id = delivery.message_id, error = %chain(error), "the ledger could not be written; the message comes again");
        self.inbox
            .set_visibility(delivery, backoff(delivery.receives))
            .await;
        Disposition::Retry
    }
}

fn fenced(why: &'static str) {
    metrics::record(Metric::WorkerFenced);
    warn!("fenced: {why}");
}

const fn transient(error: LastError) -> Effected {
    Effected::Transient { error, after: None }
}

/// 5 s, 15 s, 45 s, 90 s, each spread by a quarter.
const REDELIVERY: Backoff = Backoff {
    first: Duration::from_secs(5),
    factor: 3,
    longest: Duration::from_secs(90),
    jitter: Jitter::Quarter,
};

/// How long a message stays away after its n-th failed delivery.
pub fn backoff(receives: u32) -> Duration {
    REDELIVERY.after(receives)
}

#[cfg(test)]
mod tests;
