//! What workers and `dead-letter` do with messages that this version cannot use.

use domain::{Timestamp, lifecycle::Timeouts, result_code::ResultCode};
use store::{
    abandon::Cleaner,
    ledger::{Ledger, Outcome},
};
use telemetry::{
    chain,
    metrics::{self, Metric},
};
use tracing::{error, info, warn};

use crate::{
    aws::Services,
    queue::{QueueUrl, Recovered, Sender, Unusable},
    sqs::{Delivery, Disposition},
};

/// Moves malformed messages to a queue for operators.
#[derive(Clone, Debug)]
pub struct Quarantine {
    /// The commands that such messages seem to be about.
    pub ledger: Ledger,
    /// Frees the slots of those commands.
    pub cleaner: Cleaner,
    /// Sends the messages to the operators' queue.
    pub sender: Sender,
    /// The operators' queue.
    pub queue: QueueUrl,
}

impl Quarantine {
    /// A quarantine that moves messages to `queue`.
    pub fn new(services: &Services, timeouts: Timeouts, queue: QueueUrl) -> Self {
        let Services { table, queues, .. } = services;
        Self {
            ledger: Ledger::new(table.clone(), timeouts),
            cleaner: Cleaner::new(table),
            sender: Sender::new(queues.clone()),
            queue,
        }
    }

    /// Handles a message that this version cannot use: a newer one is redelivered, a malformed one is kept.
    pub async fn receive(
        &self,
        delivery: &Delivery,
        unusable: &Unusable,
        now: Timestamp,
    ) -> Disposition {
        match unusable {
            Unusable::Newer { .. } => {
                warn!(sqs.message_id = delivery.message_id, error = %chain(unusable), "the message is newer than this code; the queue redelivers it");
                Disposition::Retry
            }
            Unusable::Malformed { .. } => self.keep_malformed(delivery, unusable, now).await,
        }
    }

    /// Copies a message unchanged to the operators' queue. `Ack` once SQS has accepted the copy.
    pub async fn keep(&self, delivery: &Delivery, unusable: &Unusable) -> Disposition {
        let kept = self
            .sender
            .keep(&self.queue, &delivery.body, &delivery.queue)
            .await;
        if let Err(error) = kept {
            error!(sqs.message_id = delivery.message_id, error = %chain(&error), "the message could not be kept for inspection; the queue redelivers it");
            return Disposition::Retry;
        }
        let kept = match unusable {
            Unusable::Newer { .. } => "a newer message was kept for inspection",
            Unusable::Malformed { .. } => "a malformed message was kept for inspection",
        };
        error!(sqs.message_id = delivery.message_id, queue = delivery.queue, error = %chain(unusable), "{kept}");
        metrics::record(Metric::MalformedMessageKept);
        Disposition::Ack
    }

    /// Keeps a malformed message, and ends the command that it seems to be about.
    pub async fn keep_malformed(
        &self,
        delivery: &Delivery,
        unusable: &Unusable,
        now: Timestamp,
    ) -> Disposition {
        if self.keep(delivery, unusable).await == Disposition::Retry {
            return Disposition::Retry;
        }
        let Some(Recovered { key, stage }) = unusable.command() else {
            return Disposition::Ack;
        };
        let code = ResultCode::MalformedMessage;
        let ended = match self
            .ledger
            .exhaust(key, None, *stage, code, None, now)
            .await
        {
            Ok(Outcome::Applied(abandoned) | Outcome::AlreadyApplied(abandoned)) => {
                Some(self.cleaner.clean_up(abandoned, now).await)
            }
            Ok(Outcome::Refused(_) | Outcome::Missing) => None,
            Err(error) => {
                // The redelivery keeps the message a second time. That does less harm than a command that never ends.
                error!(command.id = %key.id, error = %chain(&error), "the command of a malformed message could not be ended");
                return Disposition::Retry;
            }
        };
        info!(
            command.id = %key.id,
            owner = key.owner.hashed(),
            ended = ended.is_some(),
            command.type_name = ended.as_ref().map(|it| it.action.type_name()),
            command.status = ended.as_ref().map(|it| it.status().as_str()),
            command.code = ended.as_ref().map(|_| code.as_str()),
            "a malformed message named a command"
        );
        Disposition::Ack
    }
}
