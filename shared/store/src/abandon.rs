//! What is left to do for a command that has ended because nobody could finish it, whoever ended it: the worker on the last
//! delivery, the dead-letter function, the reconciler.

use tracing::{info, warn};

use crate::{
    analyses::Analyses,
    audit::{Audit, AuditAction, AuditEvent, ResourceType},
    findings::{FindingRecord, Findings},
    ledger::Abandoned,
    table::{Table, Writes},
};
use domain::{
    Timestamp,
    analysis::{Analysis, AnalysisOutcome, BegunBy, FailureCode},
    command::{Actor, Command, Held},
    finding::FindingId,
    owner::Owner,
};
use telemetry::chain;

/// Gives back what commands hold that nobody could finish.
#[derive(Clone, Debug)]
pub struct Cleaner {
    findings: Findings,
    analyses: Analyses,
    audit: Audit,
}

impl Cleaner {
    /// For the commands in this table.
    pub fn new(table: &Table) -> Self {
        Self {
            findings: Findings::new(table.clone()),
            analyses: Analyses::new(table.clone()),
            audit: Audit::new(table.clone()),
        }
    }

    /// Gives back what the command holds, and the command.
    pub async fn clean_up(&self, abandoned: Abandoned, now: Timestamp) -> Command {
        let Abandoned(command) = abandoned;
        match command.action.held() {
            Held::Nothing => {}
            Held::Slot(finding) => self.free_slot(&command, finding, now).await,
        }
        command
    }

    /// Frees the slot of an analysis that its command will not launch any more. Should that fail, the reconciler does it
    /// when the analysis has been pending for too long.
    async fn free_slot(&self, command: &Command, finding: FindingId, now: Timestamp) {
        let Some(ended) = command.ended else { return };
        let owner = &command.key.owner;
        let record = match self.findings.read_alone(owner, finding).await {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(error) => {
                warn!(error = %chain(&error), "the command's slot could not be looked at; the reconciler will");
                return;
            }
        };
        let Some(seen) = record.analysis.as_ref().filter(|analysis| {
            analysis.attempt == command.key.id
                && analysis.status.in_flight()
                // The agent has told what became of it: that counts.
                && analysis.called_back.is_none()
        }) else {
            return;
        };
        let Self {
            analyses, audit, ..
        } = self;
        let outcome = AnalysisOutcome::Failed(FailureCode::from(ended.code));
        let writes = failed(analyses, audit, owner, &record, seen, &outcome, now);
        let freed = analyses
            .write(finding, "the end of an analysis", writes)
            .await;
        match freed {
            Ok(freed) => {
                info!(finding.id = %finding, freed, "the slot of a command that has ended");
            }
            Err(error) => {
                warn!(error = %chain(&error), "the command's slot could not be freed; the reconciler will");
            }
        }
    }
}

/// The writes by which an analysis that never began ends. A finding that automation chose waits for another try.
pub fn failed(
    analyses: &Analyses,
    audit: &Audit,
    owner: &Owner,
    record: &FindingRecord,
    seen: &Analysis,
    outcome: &AnalysisOutcome,
    now: Timestamp,
) -> Writes {
    let finding = record.finding.id;
    let ended = match seen.begun_by {
        BegunBy::Request => analyses.ended(owner, finding, seen, outcome, now),
        BegunBy::Automation => analyses.defer(owner, record, seen, outcome, now),
    };
    ended.and(audit.record(owner, &analysis_event(finding, seen, outcome, now)))
}

/// The audit event of an analysis's end.
pub fn analysis_event(
    finding: FindingId,
    seen: &Analysis,
    outcome: &AnalysisOutcome,
    now: Timestamp,
) -> AuditEvent {
    let of = (ResourceType::Finding, finding);
    let event =
        |action| AuditEvent::of_command(seen.attempt, action, Actor::SecurityAgent, of, now);
    match outcome {
        AnalysisOutcome::Completed(result) => event(AuditAction::AnalysisCompleted)
            .with("exploitability", result.exploitability)
            .with("suggestedAction", result.suggested_action)
            .with("confidence", result.confidence),
        AnalysisOutcome::Failed(code) => {
            event(AuditAction::AnalysisFailed).with("failureCode", code)
        }
    }
}
