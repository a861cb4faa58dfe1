//! What every worker does with a delivery, around the effect that is its own: read the message, claim the command, do
//! the effect, and settle, hand on or give back. Every way out of here does one of those.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use tokio::time::Instant;
use tracing::{Instrument, error, info, warn};

use crate::{
    Timestamp,
    clock::Clock,
    command::{Command, CommandKey, LastError, Progress},
    ledger::{CLAIM_MARGIN, Claim, Claimed, Ending, Ledger, LedgerError, Outcome},
    lifecycle::{Stage, Waits},
    queue::{MAX_DELAY, Message, QueueUrl, Recovered, Sender, Unusable},
    result_code::ResultCode,
    sqs::{Delivery, Inbox, Verdict},
    telemetry::chain,
};

/// A worker's surroundings.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The commands.
    pub ledger: Ledger,
    /// The queues it reads.
    pub inbox: Inbox,
    /// Sends continuations, and what nobody can read.
    pub sender: Sender,
    /// Where the command's messages are queued.
    pub queue: QueueUrl,
    /// Where unreadable messages are kept for an operator.
    pub malformed: QueueUrl,
    /// How often a message is delivered at most.
    pub max_receives: u32,
    /// The time.
    pub clock: Clock,
}

/// One invocation's time.
#[derive(Clone, Copy, Debug)]
pub struct Invocation {
    /// When the platform kills it.
    pub killed: Instant,
}

impl Invocation {
    /// How long before its end the invocation stops working, to write down what became of the work.
    const WIND_UP: Duration = Duration::from_secs(3);

    /// The invocation that the platform kills at `killed_at`, by the machine's clock, which shows `now`.
    pub fn until(killed_at: Timestamp, now: Timestamp) -> Self {
        Self {
            killed: Instant::now() + killed_at.since(now),
        }
    }

    /// How long it has.
    fn left(&self) -> Duration {
        self.killed.saturating_duration_since(Instant::now())
    }

    /// When work must have ended.
    pub fn work_until(&self) -> Instant {
        self.killed - Self::WIND_UP
    }
}

/// What became of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        /// How far it came.
        progress: Progress,
        /// What holds it up.
        error: Option<LastError>,
    },
    /// The claim is lost: another worker has the command.
    Fenced,
}

impl Worker {
    /// Works on one delivery: the `effect` of a claimed command, or a `scheduled` sync.
    pub async fn deliver(
        &self,
        delivery: &Delivery,
        invocation: Invocation,
        effect: impl AsyncFnOnce(&Claim, &Command) -> Effected,
        other: impl AsyncFnOnce(Message) -> Verdict,
    ) -> Verdict {
        match Message::parse(&delivery.body) {
            Ok(Message::Command { key, stage }) => {
                self.command(delivery, invocation, &key, stage, effect)
                    .await
            }
            Ok(message) => other(message).await,
            Err(error @ Unusable::Newer { .. }) => {
                warn!(sqs.message_id = delivery.message_id, error = %chain(&error), "a newer message is handed back");
                Verdict::Again
            }
            Err(error @ Unusable::Malformed { .. }) => self.malformed(delivery, &error).await,
        }
    }

    /// Keeps a message that nobody can read, and ends the command that it seems to be about.
    pub async fn malformed(&self, delivery: &Delivery, unusable: &Unusable) -> Verdict {
        keep_malformed(
            &self.ledger,
            &self.sender,
            &self.malformed,
            delivery,
            unusable,
            self.clock.now(),
        )
        .await
    }

    async fn command(
        &self,
        delivery: &Delivery,
        invocation: Invocation,
        key: &CommandKey,
        stage: Stage,
        effect: impl AsyncFnOnce(&Claim, &Command) -> Effected,
    ) -> Verdict {
        // Should this worker die from here on, the message comes back just after its claim has lapsed.
        let takeover = invocation.left() + CLAIM_MARGIN + Duration::from_secs(2);
        self.inbox.come_again_after(delivery, takeover).await;
        let now = self.clock.now();
        let until = now + invocation.left() + CLAIM_MARGIN;
        let (claim, command) = match self.ledger.claim(key, stage, until, now).await {
            Ok(Claimed::Held(claim, command)) => (claim, command),
            Ok(Claimed::HeldElsewhere { until } | Claimed::Waiting { until }) => {
                info!(command.id = %key.id, "the command is held or waits; its message comes again");
                self.inbox
                    .come_again_after(delivery, until.since(now) + Duration::from_secs(1))
                    .await;
                return Verdict::Again;
            }
            Ok(Claimed::Ended(found)) => {
                info!(command.id = %key.id, command.status = found.status().as_str(), "late delivery of a command that has ended");
                return Verdict::Done;
            }
            Ok(Claimed::Superseded(found)) => {
                info!(command.id = %key.id, message.stage = stage.0, command.stage = found.standing.stage.0, "a later message carries the command");
                return Verdict::Done;
            }
            Ok(Claimed::Missing) => {
                info!(command.id = %key.id, "no such command: erased or expired");
                return Verdict::Done;
            }
            Err(error) => return self.unwritten(delivery, &error).await,
        };
        let span = tracing::info_span!(
            "command",
            command.id = %key.id,
            owner = key.owner.hashed(),
            command.type_name = command.action.type_name(),
            command.attempt = command.standing.attempt,
        );
        let work = async {
            let effect = AssertUnwindSafe(effect(&claim, &command)).catch_unwind();
            match tokio::time::timeout_at(invocation.work_until(), effect).await {
                Ok(Ok(effected)) => effected,
                Ok(Err(_)) => {
                    error!(command.id = %key.id, "the effect panicked");
                    transient(LastError::Unexpected)
                }
                Err(_) => {
                    warn!(command.id = %key.id, "the effect did not end in time");
                    transient(LastError::OutOfTime)
                }
            }
        };
        async {
            let effected = work.await;
            self.conclude(delivery, &claim, stage, effected).await
        }
        .instrument(span)
        .await
    }

    async fn conclude(
        &self,
        delivery: &Delivery,
        claim: &Claim,
        stage: Stage,
        effected: Effected,
    ) -> Verdict {
        let now = self.clock.now();
        let key = claim.key();
        match effected {
            Effected::Ended(ending) => {
                let settled = self.ledger.settle(claim, ending, now).await;
                self.ended(delivery, claim, ending.code, settled).await
            }
            Effected::Transient { error, .. } if delivery.receives >= self.max_receives => {
                let code = ResultCode::QueueRetriesExhausted;
                let exhausted = self
                    .ledger
                    .exhaust(key, Some(claim), stage, code, Some(error), now)
                    .await;
                self.ended(delivery, claim, code, exhausted).await
            }
            Effected::Transient { error, after, .. } => {
                self.release(claim, error).await;
                let pause = after.unwrap_or_else(|| backoff(delivery.receives));
                warn!(command.id = %key.id, receives = delivery.receives, error = %error, "the command is given back and comes again");
                self.inbox.come_again_after(delivery, pause).await;
                Verdict::Again
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
                    Ok(outcome) => self.hand_on(claim, outcome, at, now).await,
                    Err(error) => {
                        self.release(claim, LastError::StoreUnavailable).await;
                        self.unwritten(delivery, &error).await
                    }
                }
            }
            Effected::Fenced => {
                warn!(command.id = %key.id, "fenced: another worker has taken the command over");
                // The message is the other worker's now: acknowledging it could delete it under its hands.
                Verdict::Again
            }
        }
    }

    async fn hand_on(
        &self,
        claim: &Claim,
        outcome: Outcome,
        at: Timestamp,
        now: Timestamp,
    ) -> Verdict {
        let Some(command) = outcome.made() else {
            warn!(command.id = %claim.key().id, "fenced while handing on");
            return Verdict::Again;
        };
        let stage = command.standing.stage;
        let message = Message::Command {
            key: command.key,
            stage,
        };
        let delay = at.since(now).min(MAX_DELAY);
        match self.sender.send(&self.queue, &message, delay).await {
            Ok(()) => {
                info!(command.id = %claim.key().id, command.stage = stage.0, "the command continues in a later delivery");
            }
            // The row is the outbox: the reconciler sends what nobody claims.
            Err(error) => {
                error!(command.id = %claim.key().id, error = %chain(&error), "the continuation was not sent; the reconciler will");
            }
        }
        Verdict::Done
    }

    async fn ended(
        &self,
        delivery: &Delivery,
        claim: &Claim,
        code: ResultCode,
        written: Result<Outcome, LedgerError>,
    ) -> Verdict {
        let id = claim.key().id;
        match written {
            Ok(Outcome::Applied(command) | Outcome::AlreadyApplied(command)) => {
                let age = command.updated_at.since(command.accepted_at);
                info!(command.id = %id, command.status = command.status().as_str(), command.code = code.as_str(), age_ms = age.as_millis() as u64, "the command has ended");
                Verdict::Done
            }
            Ok(Outcome::Refused(found)) if found.status().is_terminal() => {
                warn!(command.id = %id, command.status = found.status().as_str(), "fenced: the command had ended otherwise");
                Verdict::Done
            }
            Ok(Outcome::Refused(_)) => {
                warn!(command.id = %id, "fenced: another worker has taken the command over");
                Verdict::Again
            }
            Ok(Outcome::Missing) => {
                info!(command.id = %id, "the command was erased meanwhile");
                Verdict::Done
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
            warn!(command.id = %claim.key().id, error = %chain(&error), "the claim could not be released and will lapse");
        }
    }

    async fn unwritten(&self, delivery: &Delivery, error: &LedgerError) -> Verdict {
        error!(sqs.message_id = delivery.message_id, error = %chain(error), "the ledger could not be written; the message comes again");
        self.inbox
            .come_again_after(delivery, backoff(delivery.receives))
            .await;
        Verdict::Again
    }
}

/// Keeps a message that nobody can read where an operator finds it, and ends the command that it seems to be about. One
/// way for workers and for the dead-letter consumer.
pub async fn keep_malformed(
    ledger: &Ledger,
    sender: &Sender,
    kept_in: &QueueUrl,
    delivery: &Delivery,
    unusable: &Unusable,
    now: Timestamp,
) -> Verdict {
    if let Err(error) = sender.keep(kept_in, &delivery.body, &delivery.queue).await {
        error!(sqs.message_id = delivery.message_id, error = %chain(&error), "a malformed message could not be kept and comes again");
        return Verdict::Again;
    }
    error!(sqs.message_id = delivery.message_id, queue = delivery.queue, error = %chain(unusable), "a malformed message was kept for inspection");
    let Some(Recovered { key, stage }) = unusable.command() else {
        return Verdict::Done;
    };
    let code = ResultCode::MalformedMessage;
    match ledger.exhaust(key, None, *stage, code, None, now).await {
        Ok(outcome) => {
            let ended = outcome.made().is_some();
            info!(command.id = %key.id, ended, "the command of a malformed message");
            Verdict::Done
        }
        Err(error) => {
            // Kept twice does less harm than a command that nobody ends.
            error!(command.id = %key.id, error = %chain(&error), "the command of a malformed message could not be ended");
            Verdict::Again
        }
    }
}

const fn transient(error: LastError) -> Effected {
    Effected::Transient { error, after: None }
}

/// How long a message stays away after its n-th failed delivery: 5 s, 15 s, 45 s, 90 s, each spread by a quarter.
fn backoff(receives: u32) -> Duration {
    let base = 5_000_u64 * 3_u64.pow(receives.saturating_sub(1).min(3));
    let base = base.min(90_000);
    let spread = u64::from(uuid::Uuid::new_v4().as_fields().0) % (base / 4);
    Duration::from_millis(base + spread)
}
