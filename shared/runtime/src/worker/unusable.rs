//! Messages that this version cannot use, for workers and the dead-letter consumer alike.

use tracing::{error, info, warn};

use crate::{
    queue::{QueueUrl, Recovered, Sender, Unusable},
    sqs::{Delivery, Verdict},
};
use domain::{Timestamp, result_code::ResultCode};
use store::ledger::Ledger;
use telemetry::{
    chain,
    metrics::{self, Metric},
};

/// Deals with a message that this version cannot use: hands a newer one back, keeps what nobody can read.
pub async fn unused(
    ledger: &Ledger,
    sender: &Sender,
    kept_in: &QueueUrl,
    delivery: &Delivery,
    unusable: &Unusable,
    now: Timestamp,
) -> Verdict {
    match unusable {
        Unusable::Newer { .. } => {
            warn!(sqs.message_id = delivery.message_id, error = %chain(unusable), "a newer message is handed back");
            Verdict::Again
        }
        Unusable::Malformed { .. } => {
            keep_malformed(ledger, sender, kept_in, delivery, unusable, now).await
        }
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
    metrics::record(Metric::MalformedMessageKept);
    let Some(Recovered { key, stage }) = unusable.command() else {
        return Verdict::Done;
    };
    let code = ResultCode::MalformedMessage;
    match ledger.exhaust(key, None, *stage, code, None, now).await {
        Ok(outcome) => {
            let ended = outcome.made();
            info!(
                command.id = %key.id,
                owner = key.owner.hashed(),
                ended = ended.is_some(),
                command.type_name = ended.as_ref().map(|it| it.action.type_name()),
                command.status = ended.as_ref().map(|it| it.status().as_str()),
                command.code = ended.as_ref().map(|_| code.as_str()),
                "the command of a malformed message"
            );
            Verdict::Done
        }
        Err(error) => {
            // Kept twice does less harm than a command that nobody ends.
            error!(command.id = %key.id, error = %chain(&error), "the command of a malformed message could not be ended");
            Verdict::Again
        }
    }
}
