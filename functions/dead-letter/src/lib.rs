//! The dead-letter function: ends the commands whose messages ran out of deliveries, and acknowledges the messages.
//!
//! | the message | what happens |
//! | --- | --- |
//! | of an unclaimed command | the command fails, `QUEUE_RETRIES_EXHAUSTED` |
//! | of a command that has ended, is at a later stage, or is gone | acknowledged |
//! | of a command under a live claim | redelivered after the claim has expired |
//! | of a newer version | its command fails as above; the message is kept for an operator |
//! | that cannot be parsed | kept for an operator; its command fails, `MALFORMED_MESSAGE` |
//! | a scheduled sync, a callback, an erasure | acknowledged: the reconciler sends another for the row |

mod config;

use std::{cell::Cell, time::Duration};

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use domain::{
    Timestamp,
    command::{Command, CommandKey},
    lifecycle::{Obstacle, Stage, Status},
    result_code::ResultCode,
};
use runtime::{
    quarantine::Quarantine,
    queue::{Message, Unusable},
    sqs::{self, Delivery, Disposition, Inbox},
};
use store::{
    abandon::Cleaner,
    clock::Clock,
    ledger::{Ledger, Outcome},
};
use telemetry::{
    chain,
    metrics::{self, Metric},
};
use tracing::{error, info, warn};

pub use config::Config;

/// The function's dependencies.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    /// The commands.
    pub ledger: Ledger,
    /// Frees what failed commands hold.
    pub cleaner: Cleaner,
    /// The dead-letter queues of commands. Other messages never have to wait.
    pub inbox: Inbox,
    /// Keeps messages that cannot be parsed.
    pub quarantine: Quarantine,
    /// DynamoDB's time.
    pub clock: Clock,
}

/// The outcome of one dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dealt {
    /// Its command has failed.
    Settled,
    /// Its command had already ended, or is gone.
    Late,
    /// A later message carries its command.
    Superseded,
    /// A worker has claimed its command; the dead letter is redelivered.
    Held,
    /// It has no command; the reconciler sends another message for its row.
    Recurring,
    /// It cannot be parsed; the quarantine keeps it.
    Malformed,
    /// Handling it failed; the dead letter is redelivered.
    Failed,
}

/// How many dead letters of a batch had which outcome.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    settled: u32,
    late: u32,
    superseded: u32,
    held: u32,
    recurring: u32,
    malformed: u32,
    failed: u32,
}

impl DeadLetters {
    /// Handles a batch. Returns the messages to be redelivered.
    pub async fn settle_each(&self, event: &SqsEvent) -> SqsBatchResponse {
        let counts = Cell::new(Counts::default());
        let response = sqs::each_message(event, async |delivery| {
            let dealt = self.settle(&delivery).await;
            counts.set(counts.get().and(dealt));
            dealt.verdict()
        })
        .await;
        let Counts {
            settled,
            late,
            superseded,
            held,
            recurring,
            malformed,
            failed,
        } = counts.get();
        info!(
            settled,
            late, superseded, held, recurring, malformed, failed, "dead letters handled"
        );
        response
    }

    async fn settle(&self, delivery: &Delivery) -> Dealt {
        match Message::parse(&delivery.body) {
            Ok(message) => {
                delivery
                    .follow(&message, self.give_up(delivery, &message))
                    .await
            }
            Err(unusable @ Unusable::Newer { .. }) => self.newer(delivery, &unusable).await,
            Err(unusable @ Unusable::Malformed { .. }) => {
                self.keep_malformed(delivery, &unusable).await
            }
        }
    }

    async fn give_up(&self, delivery: &Delivery, message: &Message) -> Dealt {
        match message {
            Message::Command { key, stage } => self.exhaust(delivery, key, *stage).await,
            Message::ScheduledSync(_) => {
                warn!("a scheduled sync failed on every delivery; the next cycle sends another");
                Dealt::Recurring
            }
            Message::Callback { .. } => {
                warn!(
                    "a callback failed on every delivery; the reconciler sends its message again"
                );
                Dealt::Recurring
            }
            Message::Erase { .. } => {
                warn!("an erasure failed on every delivery; the reconciler resumes it");
                Dealt::Recurring
            }
        }
    }

    /// Fails the command of a message without deliveries left.
    async fn exhaust(&self, delivery: &Delivery, key: &CommandKey, stage: Stage) -> Dealt {
        let now = self.clock.now();
        let code = ResultCode::QueueRetriesExhausted;
        let exhausted = self.ledger.exhaust(key, None, stage, code, None, now).await;
        match exhausted {
            Ok(Outcome::Applied(abandoned) | Outcome::AlreadyApplied(abandoned)) => {
                let command = self.cleaner.clean_up(abandoned, now).await;
                telemetry::about_row(&command);
                log_settled(&command);
                metrics::record(Metric::DeadLetterSettled);
                Dealt::Settled
            }
            Ok(Outcome::Refused(found)) => self.refused(delivery, &found, stage, now).await,
            Ok(Outcome::Missing) => {
                info!("the command does not exist: erased or expired");
                Dealt::Late
            }
            Err(error) => {
                error!(error = %chain(&error), "cannot settle the dead letter; it is redelivered");
                Dealt::Failed
            }
        }
    }

    async fn refused(
        &self,
        delivery: &Delivery,
        found: &Command,
        stage: Stage,
        now: Timestamp,
    ) -> Dealt {
        let state = &found.state;
        match state.obstacle(stage, now) {
            Obstacle::Ended => {
                info!(
                    command.status = state.status.as_str(),
                    "the dead letter's command has already ended"
                );
                Dealt::Late
            }
            Obstacle::Superseded => {
                info!(
                    message.stage = stage.0,
                    command.stage = state.stage.0,
                    "a later message carries the command"
                );
                Dealt::Superseded
            }
            Obstacle::Waiting { until } | Obstacle::Held { until } => {
                // The worker may still settle the command. If it has died, no other message would end the command
                // before its deadline.
                info!("a worker has claimed the command; its dead letter is redelivered");
                self.inbox
                    .set_visibility(delivery, until.since(now) + Duration::from_secs(1))
                    .await;
                Dealt::Held
            }
        }
    }

    /// Handles a message that only a newer version understands. Every worker has refused it and its command has no
    /// other message, so the command fails. The body is kept: an operator can send it again once that version is back.
    async fn newer(&self, delivery: &Delivery, unusable: &Unusable) -> Dealt {
        if let Some(about) = unusable.command() {
            let message = Message::Command {
                key: about.key.clone(),
                stage: about.stage,
            };
            let dealt = delivery
                .follow(&message, self.give_up(delivery, &message))
                .await;
            if dealt.verdict() == Disposition::Retry {
                return dealt;
            }
        }
        match self.quarantine.keep(delivery, unusable).await {
            Disposition::Ack => Dealt::Malformed,
            Disposition::Retry => Dealt::Failed,
        }
    }

    async fn keep_malformed(&self, delivery: &Delivery, unusable: &Unusable) -> Dealt {
        let now = self.clock.now();
        let kept = self.quarantine.keep_malformed(delivery, unusable, now);
        match kept.await {
            Disposition::Ack => Dealt::Malformed,
            Disposition::Retry => Dealt::Failed,
        }
    }
}

impl Dealt {
    const fn verdict(self) -> Disposition {
        match self {
            Self::Settled | Self::Late | Self::Superseded | Self::Recurring | Self::Malformed => {
                Disposition::Ack
            }
            Self::Held | Self::Failed => Disposition::Retry,
        }
    }
}

impl Counts {
    const fn and(mut self, dealt: Dealt) -> Self {
        let count = match dealt {
            Dealt::Settled => &mut self.settled,
            Dealt::Late => &mut self.late,
            Dealt::Superseded => &mut self.superseded,
            Dealt::Held => &mut self.held,
            Dealt::Recurring => &mut self.recurring,
            Dealt::Malformed => &mut self.malformed,
            Dealt::Failed => &mut self.failed,
        };
        *count += 1;
        self
    }
}

fn log_settled(command: &Command) {
    // Only a claim counts an attempt: with none, the command was still waiting for its first worker.
    let previous = match command.state.attempt {
        0 => Status::Accepted,
        _ => Status::Running,
    };
    warn!(
        previous_status = previous.as_str(),
        command.status = command.status().as_str(),
        command.code = ResultCode::QueueRetriesExhausted.as_str(),
        "the command has failed: its message has no delivery left"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_counted_separately() {
        let all = [
            Dealt::Settled,
            Dealt::Late,
            Dealt::Superseded,
            Dealt::Held,
            Dealt::Recurring,
            Dealt::Malformed,
            Dealt::Failed,
        ];
        for (place, dealt) in all.into_iter().enumerate() {
            let counts = Counts::default().and(dealt).and(dealt);
            let counts = [
                counts.settled,
                counts.late,
                counts.superseded,
                counts.held,
                counts.recurring,
                counts.malformed,
                counts.failed,
            ];
            let mut expected = [0; 7];
            expected[place] = 2;
            assert_eq!(counts, expected, "{dealt:?}");
        }
    }
}
