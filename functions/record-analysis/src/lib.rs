//! The record-analysis function: records the agent's callbacks.
//!
//! The API stores a callback on the finding's row before it acknowledges it; the message only points to the row.
//! Result, freed slot, audit event and, if the owner wants it, the recommended dismissal are one transaction. A message
//! of an earlier attempt, an ended analysis or an erased owner is stale and acknowledged. If every delivery fails, the
//! callback stays on the row, and the reconciler sends another message.

mod config;

pub use config::Config;

use domain::{
    Timestamp,
    analysis::{
        Analysis, AnalysisOutcome, AnalysisResult, Callback, Exploitability, SuggestedAction,
    },
    command::{
        Action, Actor, Command, CommandId, CommandType, DismissComment, DismissFinding, Origin,
    },
    finding::{DismissReason, FindingId, FindingStatus},
    owner::Owner,
    settings::Settings,
};
use runtime::{
    automation::{self, Automation},
    quarantine::Quarantine,
    queue::{Message, QueueUrl},
    sqs::{Delivery, Disposition, Inbox},
    worker::backoff,
};
use store::{
    abandon::analysis_event, audit::Audit, clock::Clock, findings::FindingRecord,
    ledger::NewCommand, table::Writes,
};
use telemetry::chain;
use tracing::{error, info, warn};

/// How often to read and write again if the finding changes in between.
const TRIES: usize = 5;

/// The function's dependencies.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// Starts what follows from a result; has the stores.
    pub automation: Automation,
    /// The audit events.
    pub audit: Audit,
    /// The queue that the function reads.
    pub inbox: Inbox,
    /// The queue of dismissals.
    pub dismiss_queue: QueueUrl,
    /// Keeps messages that cannot be parsed.
    pub quarantine: Quarantine,
    /// DynamoDB's time.
    pub clock: Clock,
}

/// The outcome of a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Recorded {
    /// The callback is recorded, with the dismissal that was admitted for it.
    Now(Option<Box<Command>>),
    /// There is nothing to record.
    Stale,
    /// The finding changed on every try.
    Contended,
}

type Failure = Box<dyn std::error::Error>;

impl Recorder {
    /// Handles one delivery.
    pub async fn deliver(&self, delivery: &Delivery) -> Disposition {
        let message = match Message::parse(&delivery.body) {
            Ok(message) => message,
            Err(unusable) => {
                let now = self.clock.now();
                return self.quarantine.receive(delivery, &unusable, now).await;
            }
        };
        delivery
            .follow(&message, self.deliver_message(delivery, &message))
            .await
    }

    async fn deliver_message(&self, delivery: &Delivery, message: &Message) -> Disposition {
        let Message::Callback {
            owner,
            finding,
            attempt,
        } = message
        else {
            error!(
                sqs.message_id = delivery.message_id,
                "the message is for another worker"
            );
            return Disposition::Retry;
        };
        let (finding, attempt) = (*finding, *attempt);
        match self.record(owner, finding, attempt).await {
            Ok(Recorded::Now(dismissal)) => {
                if let Some(dismissal) = dismissal {
                    let sender = &self.automation.sender;
                    automation::send(sender, &self.dismiss_queue, &dismissal).await;
                }
                if let Err(error) = self.automation.advance(owner, self.clock.now()).await {
                    automation::log_failure(owner, &error);
                }
                Disposition::Ack
            }
            Ok(Recorded::Stale) => {
                info!(finding.id = %finding, "the callback is stale or already recorded");
                Disposition::Ack
            }
            Ok(Recorded::Contended) => self.again(delivery, None).await,
            Err(error) => self.again(delivery, Some(error.as_ref())).await,
        }
    }

    async fn record(
        &self,
        owner: &Owner,
        finding: FindingId,
        attempt: CommandId,
    ) -> Result<Recorded, Failure> {
        let Automation {
            owners,
            findings,
            analyses,
            ..
        } = &self.automation;
        for _ in 0..TRIES {
            let (record, configured) =
                tokio::join!(findings.read_alone(owner, finding), owners.read(owner));
            let (record, settings) = (record?, configured?.settings);
            let Some(record) = record else {
                return Ok(Recorded::Stale);
            };
            let Some((seen, callback)) = waiting(record.analysis.as_ref(), attempt) else {
                return Ok(Recorded::Stale);
            };
            let (now, outcome) = (self.clock.now(), &callback.outcome);
            let event = analysis_event(finding, seen, outcome, now);
            let (dismissal, admission) = self.dismissal(owner, &settings, &record, outcome, now);
            let writes = analyses
                .ended(owner, finding, seen, outcome, now)
                .and(self.audit.record(owner, &event))
                .and(admission);
            if analyses.write(finding, "a callback", writes).await? {
                info!(
                    finding.id = %finding,
                    command.id = %attempt,
                    analysis.status = event.action.as_str(),
                    "the callback is recorded"
                );
                return Ok(Recorded::Now(dismissal.map(Box::new)));
            }
        }
        Ok(Recorded::Contended)
    }

    /// Returns the dismissal that a result recommends, if the owner wants it: the command and the write that admits it.
    fn dismissal(
        &self,
        owner: &Owner,
        settings: &Settings,
        record: &FindingRecord,
        outcome: &AnalysisOutcome,
        now: Timestamp,
    ) -> (Option<Command>, Writes) {
        let AnalysisOutcome::Completed(result) = outcome else {
            return (None, Writes::default());
        };
        // A dismissal that is recommended while dismissals are paused is not made up for: it is left to people.
        let paused = self.automation.paused.contain(CommandType::DismissFinding);
        if paused || !is_to_be_dismissed(settings, record.finding.status, result) {
            return (None, Writes::default());
        }
        let new = NewCommand {
            owner: owner.clone(),
            action: Action::from(DismissFinding {
                finding: record.finding.id,
                reason: reason(result),
                comment: comment(),
            }),
            origin: Origin::AutoDismiss,
            actor: Actor::SecurityAgent,
            key: None,
        };
        let (command, admission) = self.automation.ledger.admission(&new, now);
        (Some(command), admission)
    }

    async fn again(
        &self,
        delivery: &Delivery,
        error: Option<&(dyn std::error::Error + 'static)>,
    ) -> Disposition {
        let error = error.map_or_else(|| "the finding keeps changing".to_owned(), chain);
        warn!(
            receives = delivery.receives,
            error, "cannot record the callback; its message is redelivered"
        );
        let pause = backoff(delivery.receives);
        self.inbox.set_visibility(delivery, pause).await;
        Disposition::Retry
    }
}

/// Returns this attempt's analysis and its callback that is not recorded yet.
fn waiting(analysis: Option<&Analysis>, attempt: CommandId) -> Option<(&Analysis, &Callback)> {
    let waits = |seen: &&Analysis| seen.attempt == attempt && seen.status.in_flight();
    let seen = analysis.filter(waits)?;
    Some((seen, seen.called_back.as_ref()?))
}

/// Whether the owner wants a finding with this status dismissed for this result.
fn is_to_be_dismissed(
    settings: &Settings,
    finding: FindingStatus,
    result: &AnalysisResult,
) -> bool {
    let Settings {
        enabled,
        auto_dismiss,
        ..
    } = settings;
    *enabled
        && auto_dismiss.enabled
        && finding == FindingStatus::Open
        && result.suggested_action == SuggestedAction::Dismiss
        && result.confidence.at_least(auto_dismiss.min_confidence)
}

/// Returns GitHub's reason for a dismissal that the agent recommends.
fn reason(result: &AnalysisResult) -> DismissReason {
    match result.exploitability {
        Exploitability::NotExploitable if result.usage_locations.is_empty() => {
            DismissReason::NotUsed
        }
        Exploitability::NotExploitable | Exploitability::Exploitable | Exploitability::Unknown => {
            DismissReason::TolerableRisk
        }
    }
}

fn comment() -> Option<DismissComment> {
    "Dismissed by Security Agent, as its analysis recommends and its configuration allows."
        .parse()
        .ok()
}

#[cfg(test)]
mod tests;
