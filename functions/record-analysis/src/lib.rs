//! The record-analysis function: records what the agent called back with.
//!
//! The call back itself is on the finding's row, where the API put it before it acknowledged; a message only says that it is
//! there. Result, freed slot, audit event and, where the owner wants it, the dismissal that the result recommends are
//! written in one transaction. A message of an earlier attempt, of an analysis that has ended or of an owner who is gone
//! finds nothing to do. Should every delivery fail, the call back stays where it is, and the reconciler sends another
//! message.

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

/// How often the finding may change between our read and our write.
const TRIES: usize = 5;

/// The function's surroundings.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// What follows from a result, and the stores.
    pub automation: Automation,
    /// What was done, by whom.
    pub audit: Audit,
    /// The queue it reads.
    pub inbox: Inbox,
    /// Where dismissals are queued.
    pub dismiss_queue: QueueUrl,
    /// Takes messages that cannot be used.
    pub quarantine: Quarantine,
    /// The time.
    pub clock: Clock,
}

/// What became of a call back.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Recorded {
    /// It is recorded; with the dismissal that was admitted for it.
    Now(Option<Box<Command>>),
    /// There is nothing to record.
    Stale,
    /// The finding kept changing.
    Contended,
}

type Failure = Box<dyn std::error::Error>;

impl Recorder {
    /// Takes one delivery to its verdict.
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
                "a message of another worker's kind"
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
                info!(finding.id = %finding, "a call back that is stale, or recorded already");
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
            if analyses.write(finding, "a call back", writes).await? {
                info!(
                    finding.id = %finding,
                    command.id = %attempt,
                    analysis.status = event.action.as_str(),
                    "a call back is recorded"
                );
                return Ok(Recorded::Now(dismissal.map(Box::new)));
            }
        }
        Ok(Recorded::Contended)
    }

    /// The dismissal that a result recommends, if the owner wants it made: the command, and the write that admits it.
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
        // What is recommended while dismissals are paused is left to people.
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
            error, "a call back could not be recorded; its message comes again"
        );
        let pause = backoff(delivery.receives);
        self.inbox.set_visibility(delivery, pause).await;
        Disposition::Retry
    }
}

/// The analysis of this attempt and the call back of its that waits to be recorded.
fn waiting(analysis: Option<&Analysis>, attempt: CommandId) -> Option<(&Analysis, &Callback)> {
    let waits = |seen: &&Analysis| seen.attempt == attempt && seen.status.in_flight();
    let seen = analysis.filter(waits)?;
    Some((seen, seen.called_back.as_ref()?))
}

/// Whether the owner wants a finding that stands so dismissed for this result.
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

/// Why a finding is dismissed that the agent recommends to dismiss, in GitHub's words.
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
