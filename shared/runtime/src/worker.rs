//! What every worker does with a delivery: read the message, claim the command, run its own [`Work::effect`], then
//! settle, continue or release. Every path after a claim ends in one of the three.

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
    table::{Caused, Writes},
};
use telemetry::{
    chain,
    metrics::{self, Metric},
};

pub use invocation::Invocation;

/// What every worker needs.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The commands.
    pub ledger: Ledger,
    /// The queues it reads.
    pub inbox: Inbox,
    /// Sends continuations.
    pub sender: Sender,
    /// The queue of its commands' messages.
    pub queue: QueueUrl,
    /// Handles messages that this version cannot use.
    pub quarantine: Quarantine,
    /// Frees the slots of commands that end here unfinished.
    pub cleaner: Cleaner,
    /// The most deliveries of a message.
    pub max_receives: u32,
    /// The clock, which follows DynamoDB's.
    pub clock: Clock,
}

/// The configuration of a worker.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// `ACCEPTED_TIMEOUT_SECONDS`, `RUNNING_TIMEOUT_SECONDS`, `RETENTION_DAYS`: the timeouts of commands.
    pub timeouts: Timeouts,
    /// The queue of its commands.
    pub queue: QueueUrl,
    /// `MALFORMED_QUEUE_URL`: the queue for messages that no version can read.
    pub malformed_queue: QueueUrl,
    /// `MAX_RECEIVES`: the queue's maxReceiveCount.
    pub max_receives: u32,
}

/// The result of an effect.
#[derive(Debug)]
pub enum Effected {
    /// The work is done; the worker settles the command.
    Ended(Ending),
    /// A later delivery may succeed.
    Transient {
        /// What went wrong.
        error: LastError,
        /// How long to wait; `None` for the usual backoff.
        after: Option<Duration>,
    },
    /// There is more to do, in a continuation.
    Continues {
        /// When the continuation is due.
        at: Timestamp,
        /// Whether the command must wait until then.
        waits: Waits,
        /// The progress, if it is counted.
        progress: Option<Progress>,
        /// Why the command waits.
        error: Option<LastError>,
    },
    /// The effect has settled the command in the transaction that wrote its changes.
    Settled {
        /// The result code.
        code: ResultCode,
        /// The outcome of that transaction for the command's row.
        written: Box<Outcome>,
    },
    /// The lease is lost: another worker has the command.
    Fenced,
}

/// What one kind of worker does; [`Worker`] does the rest.
pub trait Work {
    /// Does what a claimed command asks for.
    fn effect(
        &self,
        claim: &Claim,
        command: &Command,
        invocation: Invocation,
    ) -> impl Future<Output = Effected>;

    /// Handles a message that is not about a command.
    fn other(
        &self,
        delivery: &Delivery,
        message: Message,
        invocation: Invocation,
    ) -> impl Future<Output = Disposition> {
        let _ = (message, invocation);
        let id = delivery.message_id.clone();
        async move {
            error!(sqs.message_id = id, "the message is for another worker");
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

    /// When a command that began at `began` may continue if GitHub's rate limit ends at `until`. `None` if its budget
    /// or its deadline ends first.
    pub fn resumes_at(
        &self,
        until: Timestamp,
        began: Timestamp,
        budget: Duration,
    ) -> Option<Timestamp> {
        // GitHub's clock differs from ours, and its rate-limit windows end on whole seconds.
        let at = until + Duration::from_secs(1);
        let deadline = self.clock.now() + self.ledger.timeouts().running;
        (at < deadline && at < began + budget).then_some(at)
    }

    /// The effect of a failure of the data store on work that began at `began` and can be handed on. Throttling is waited
    /// for in a continuation, which spends no delivery; any other failure by a redelivery.
    pub fn unavailable(
        &self,
        error: &(impl std::error::Error + Caused + 'static),
        began: Timestamp,
        budget: Duration,
    ) -> Effected {
        warn!(error = %chain(error), "cannot read or write the data store");
        let until = self.throttled_until();
        match self.resumes_at(until, began, budget) {
            Some(at) if error.is_throttled() => Effected::Continues {
                at,
                waits: Waits::UntilThen,
                progress: None,
                error: Some(LastError::StoreThrottled(at)),
            },
            Some(_) | None => transient(LastError::StoreUnavailable),
        }
    }

    /// Until when work waits whose owner's partition was throttled for as long as a delivery should wait.
    pub fn throttled_until(&self) -> Timestamp {
        self.clock.now() + THROTTLED.after(1)
    }

    /// Handles one delivery and decides whether the queue deletes or redelivers it.
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

    /// Ends a command and writes what it changed, in one transaction. `None` if the condition on a row of `beside`
    /// failed; nothing was written then.
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
                // The settlement may have landed. The release that follows is refused then, because the command is
                // terminal, and the redelivery finds it ended.
                error!(error = %chain(&error), "outcome of settling the command is unknown");
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
        // The message is hidden before the claim: a worker that dies after either call leaves a message that SQS
        // redelivers 2 s after the lease expires. Claimed first, a worker that dies in between would leave the message
        // hidden for the queue's own, longer visibility timeout.
        let takeover = invocation.left() + CLAIM_MARGIN + Duration::from_secs(2);
        self.inbox.set_visibility(delivery, takeover).await;
        let now = self.clock.now();
        // The lease outlives the function's timeout: a write sent just before the kill may still land after it.
        let until = now + invocation.left() + CLAIM_MARGIN;
        let (claim, command) = match self.ledger.claim(key, stage, until, now).await {
            Ok(Claimed::Held(claim, command)) => (claim, command),
            Ok(Claimed::HeldElsewhere { until } | Claimed::Waiting { until }) => {
                info!("the command is leased or waits; its message is redelivered");
                // Redelivery just after the lease or the wait ends: an earlier one would only spend a receive.
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
                    command.stage = found.state.stage.0,
                    "a later message carries the command"
                );
                return Disposition::Ack;
            }
            Ok(Claimed::Missing) => {
                info!("no such command: erased or expired");
                return Disposition::Ack;
            }
            // The claim may have landed. The redelivery then waits until that lease expires.
            Err(error) => return self.unwritten(delivery, &error).await,
        };
        telemetry::about_row(&command);
        let effect = AssertUnwindSafe(work.effect(&claim, &command, invocation)).catch_unwind();
        let effected = match tokio::time::timeout_at(invocation.work_until(), effect).await {
            Ok(Ok(effected)) => effected,
            Ok(Err(_)) => {
                error!("the worker's effect panicked");
                transient(LastError::Unexpected)
            }
            Err(_) => {
                warn!("the worker's effect ran out of time");
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
            // The dead-letter queue would end the command too, but only once the lease has expired.
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
                // Released before the message becomes visible, or the redelivery would find a live lease.
                self.release(claim, error).await;
                let pause = after.unwrap_or_else(|| backoff(delivery.receives));
                warn!(receives = delivery.receives, error = %error, "the lease is released; the message is redelivered");
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
                        // If the continuation landed, the release only ends a lease that has ended already. This
                        // message is superseded then, and the reconciler sends the next stage's.
                        self.release(claim, LastError::StoreUnavailable).await;
                        self.unwritten(delivery, &error).await
                    }
                }
            }
            Effected::Fenced => {
                fenced("another worker has taken the command over");
                // The other worker may be on a redelivery of this very message and still need it. Acknowledging it here
                // could delete it.
                Disposition::Retry
            }
        }
    }

    async fn hand_on(&self, outcome: Outcome, at: Timestamp, now: Timestamp) -> Disposition {
        let Some(command) = outcome.made() else {
            fenced("the command could not be continued");
            return Disposition::Retry;
        };
        let stage = command.state.stage;
        let message = Message::of(&command);
        let delay = at.since(now).min(MAX_DELAY);
        match self.sender.send(&self.queue, &message, delay).await {
            Ok(()) => {
                info!(
                    command.stage = stage.0,
                    "the command continues in a later message"
                );
            }
            // The row is the outbox: the reconciler sends the message of a stage that nobody claims.
            Err(error) => {
                error!(error = %chain(&error), "the continuation was not sent; the reconciler sends it");
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
                fenced("another writer has ended the command");
                Disposition::Ack
            }
            Ok(Outcome::Refused(_)) => {
                fenced("another worker has taken the command over");
                Disposition::Retry
            }
            Ok(Outcome::Missing) => {
                info!("the command was erased while it ran");
                Disposition::Ack
            }
            Err(error) => {
                // The settlement may have landed. The release is refused then, because the command is terminal, and the
                // redelivery finds it ended.
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
            warn!(error = %chain(&error), "the lease could not be released; the next claim waits until it expires");
        }
    }

    async fn unwritten(&self, delivery: &Delivery, error: &LedgerError) -> Disposition {
        error!(sqs.message_id = delivery.message_id, error = %chain(error), "the ledger could not be written; the message is redelivered");
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

/// 5 s, 15 s, 45 s, 90 s, each with up to a quarter of jitter.
const REDELIVERY: Backoff = Backoff {
    first: Duration::from_secs(5),
    factor: 3,
    longest: Duration::from_secs(90),
    jitter: Jitter::Quarter,
};

/// How long throttled work waits. A partition has a whole second's units again after a second; what else writes to it
/// needs some.
const THROTTLED: Backoff = Backoff::doubling(Duration::from_secs(15), Jitter::Quarter);

/// The backoff after this many deliveries: how long the message stays hidden.
pub fn backoff(receives: u32) -> Duration {
    REDELIVERY.after(receives)
}

#[cfg(test)]
mod tests;
