//! What is left to do for a command that has ended because nobody could finish it, whoever ended it: the worker on the last
//! delivery, the dead-letter function, the reconciler.

use tracing::{info, warn};

use crate::{
    Timestamp,
    analyses::Analyses,
    analysis::{Analysis, AnalysisOutcome, BegunBy, FailureCode},
    audit::{Audit, AuditAction, AuditEvent, ResourceType},
    command::{Action, Actor, Command},
    finding::FindingId,
    findings::{FindingRecord, Findings},
    owner::Owner,
    table::Writes,
    telemetry::chain,
};

/// Frees the slot of an analysis that its command will not launch any more. Should that fail, the reconciler does it when the
/// analysis has been pending for too long.
pub async fn free_slot(
    findings: &Findings,
    analyses: &Analyses,
    audit: &Audit,
    command: &Command,
    now: Timestamp,
) {
    let finding = match &command.action {
        Action::StartAnalysis { finding, .. } => finding,
        Action::Sync { .. } | Action::DismissFinding { .. } => return,
    };
    let Some(ended) = command.ended else {
        return;
    };
    let owner = &command.key.owner;
    let record = match findings.read_alone(owner, *finding).await {
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
    let outcome = AnalysisOutcome::Failed(FailureCode::from(ended.code));
    let writes = failed(analyses, audit, owner, &record, seen, &outcome, now);
    match analyses
        .write(*finding, "the end of an analysis", writes)
        .await
    {
        Ok(freed) => {
            info!(finding.id = %finding, freed, "the slot of a command that has ended");
        }
        Err(error) => {
            warn!(error = %chain(&error), "the command's slot could not be freed; the reconciler will");
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
        BegunBy::Automation => analyses.put_off(owner, record, seen, outcome, now),
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
