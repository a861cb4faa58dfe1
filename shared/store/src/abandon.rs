//! Cleans up after a command that no worker could finish, whether the worker on the last delivery, `dead-letter` or
//! `reconcile` ended it.

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

/// Frees the slots of abandoned commands.
#[derive(Clone, Debug)]
pub struct Cleaner {
    findings: Findings,
    analyses: Analyses,
    audit: Audit,
}

impl Cleaner {
    /// A cleaner for the commands in this table.
    pub fn new(table: &Table) -> Self {
        Self {
            findings: Findings::new(table.clone()),
            analyses: Analyses::new(table.clone()),
            audit: Audit::new(table.clone()),
        }
    }

    /// Frees the command's slot, if it has one, and returns the command.
    pub async fn clean_up(&self, abandoned: Abandoned, now: Timestamp) -> Command {
        let Abandoned(command) = abandoned;
        match command.action.held() {
            Held::Nothing => {}
            Held::Slot(finding) => self.free_slot(&command, finding, now).await,
        }
        command
    }

    /// Frees the slot of an analysis that its command will no longer launch. If this fails, `reconcile` frees the slot
    /// once the analysis has been pending for too long.
    async fn free_slot(&self, command: &Command, finding: FindingId, now: Timestamp) {
        let Some(ended) = command.ended else { return };
        let owner = &command.key.owner;
        let record = match self.findings.read_alone(owner, finding).await {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(error) => {
                warn!(error = %chain(&error), "the command's slot could not be read; the reconciler frees it");
                return;
            }
        };
        let Some(seen) = record.analysis.as_ref().filter(|analysis| {
            analysis.attempt == command.key.id
                && analysis.status.in_flight()
                // The agent's callback is stored: `record-analysis` will record it and free the slot.
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
                info!(finding.id = %finding, freed, "an abandoned command's slot");
            }
            Err(error) => {
                warn!(error = %chain(&error), "the command's slot could not be freed; the reconciler frees it");
            }
        }
    }
}

/// The writes that end an analysis which the agent never started. A finding that automation chose is deferred.
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
