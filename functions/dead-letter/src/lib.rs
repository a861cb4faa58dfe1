//! The dead-letter function: ends the commands whose messages nobody could deliver, and acknowledges the messages.
//!
//! | the message | what happens |
//! | --- | --- |
//! | of a command that nobody holds | the command fails, `QUEUE_RETRIES_EXHAUSTED` |
//! | of a command that has ended, moved on, or is gone | acknowledged |
//! | of a command under a live claim | comes again when that claim can have expired |
//! | of a newer version | its command fails as above; the message is kept for an operator |
//! | that nobody can read | kept for an operator; its command fails, `MALFORMED_MESSAGE` |
//! | a scheduled sync, a call back, an erasure | acknowledged: a row brings another, in the next cycle or soon |

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

/// The function's surroundings.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    /// The commands.
    pub ledger: Ledger,
    /// Gives back what those commands hold.
    pub cleaner: Cleaner,
    /// The dead-letter queues of commands: what else comes never waits for anybody.
    pub inbox: Inbox,
    /// Takes messages that cannot be used.
    pub quarantine: Quarantine,
    /// The time.
    pub clock: Clock,
}

/// What became of one dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dealt {
    /// It ended its command.
    Settled,
    /// Its command had ended before, or is gone.
    Late,
    /// A later message carries its command.
    Superseded,
    /// A worker holds its command: it comes again.
    Held,
    /// There is no command, and a row that brings another message.
    Recurring,
    /// Nobody can read it; it is kept.
    Malformed,
    /// It comes again, because something failed.
    Failed,
}

/// How many dead letters of a batch went which way.
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
    /// Deals with a batch; what is to come again is reported, and nothing else.
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
            late, superseded, held, recurring, malformed, failed, "dead letters dealt with"
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
                warn!("a scheduled sync failed on every delivery; the next cycle brings another");
                Dealt::Recurring
            }
            Message::Callback { .. } => {
                warn!(
                    "a call back was not recorded on any delivery; the reconciler sends it again"
                );
                Dealt::Recurring
            }
            Message::Erase { .. } => {
                warn!("an erasure failed on every delivery; the reconciler resumes it");
                Dealt::Recurring
            }
        }
    }

    /// Ends the command of a message that is past its last delivery.
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
                info!("no such command: erased or expired");
                Dealt::Late
            }
            Err(error) => {
                error!(error = %chain(&error), "a dead letter could not be settled and comes again");
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
        let standing = &found.standing;
        match standing.obstacle(stage, now) {
            Obstacle::Ended => {
                info!(
                    command.status = standing.status.as_str(),
                    "a dead letter of a command that has ended"
                );
                Dealt::Late
            }
            Obstacle::Superseded => {
                info!(
                    message.stage = stage.0,
                    command.stage = standing.stage.0,
                    "a later message carries the command"
                );
                Dealt::Superseded
            }
            Obstacle::Waiting { until } | Obstacle::Held { until } => {
                // The worker may yet settle. If it died, nothing else would come for this command before its deadline.
                info!("a worker holds the command; its dead letter comes again");
                self.inbox
                    .set_visibility(delivery, until.since(now) + Duration::from_secs(1))
                    .await;
                Dealt::Held
            }
        }
    }

    /// A message that only a later version understands has been refused by every worker: its command is not carried by
    /// anything else. The body stays for an operator, who can send it again once that version is back.
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
    // Only a claim counts an attempt: without one the command was still waiting for its first worker.
    let previous = match command.standing.attempt {
        0 => Status::Accepted,
        _ => Status::Running,
    };
    warn!(
        previous_status = previous.as_str(),
        command.status = command.status().as_str(),
        command.code = ResultCode::QueueRetriesExhausted.as_str(),
        "no delivery is left; the command has failed"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_counted_apart() {
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
