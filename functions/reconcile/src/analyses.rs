//! Due analyses: sends a message again for a callback that is not recorded, and fails an analysis that is lost. Also
//! due owners, for whom automation looks for findings to analyse.

use std::time::Duration;

use domain::{
    Timestamp,
    analysis::{Analysis, AnalysisOutcome, AnalysisStatus, FailureCode},
};
use runtime::{automation::log_failure, queue::Message};
use store::{
    abandon,
    analyses::{AnalysesError, DueAnalysis},
    findings::FindingRecord,
};
use telemetry::{
    chain,
    metrics::{self, Metric},
};
use tracing::{error, warn};

use crate::{PAGE, Reconciler, Run, each_page};

/// How long to wait for a callback's message before sending another.
const SENT_ON_FOR: Duration = Duration::from_secs(120);

impl Reconciler {
    /// Handles one shard's due analyses, oldest first.
    pub(crate) async fn analyses(&self, run: &Run, shard: u8) {
        let analyses = &self.automation.analyses;
        let read = async |after| analyses.due(shard, PAGE, after, run.now).await;
        each_page(run, read, async |due| {
            for due in due {
                if !run.has_time() {
                    return;
                }
                self.attend_to_analysis(run, &due).await;
            }
        })
        .await;
    }

    async fn attend_to_analysis(&self, run: &Run, due: &DueAnalysis) {
        let DueAnalysis { owner, finding } = due;
        let record = match self.automation.findings.read_alone(owner, *finding).await {
            Ok(record) => record,
            Err(error) => {
                error!(finding.id = %finding, error = %chain(&error), "cannot read a due analysis");
                return run.count(|report| report.errors += 1);
            }
        };
        let now = self.clock.now();
        let seen = record.and_then(|record| {
            let analysis = record.analysis.clone()?;
            (analysis.status.in_flight() && analysis.due_at.is_some_and(|due| due <= now))
                .then_some((record, analysis))
        });
        let Some((record, seen)) = seen else {
            return run.count(|report| report.raced += 1);
        };
        let attended = match &seen.called_back {
            Some(_) => self.send_on(run, due, &seen, now).await,
            None => self.lose(run, due, &record, &seen, now).await,
        };
        match attended {
            Ok(true) => {}
            // Race: the worker, a callback or an overlapping run was faster.
            Ok(false) => run.count(|report| report.raced += 1),
            Err(error) => {
                error!(finding.id = %finding, error = %chain(&error), "cannot handle a due analysis; the next run retries it");
                run.count(|report| report.errors += 1);
            }
        }
    }

    /// Sends a message for a callback that is on the row but not recorded: its message was lost or failed on every
    /// delivery.
    async fn send_on(
        &self,
        run: &Run,
        due: &DueAnalysis,
        seen: &Analysis,
        now: Timestamp,
    ) -> Result<bool, AnalysesError> {
        let DueAnalysis { owner, finding } = due;
        let analyses = &self.automation.analyses;
        // Postponed before the send: if this run dies or the message is lost again, the row becomes due again.
        if !analyses
            .postpone(owner, *finding, seen, now + SENT_ON_FOR)
            .await?
        {
            return Ok(false);
        }
        let message = Message::Callback {
            owner: owner.clone(),
            finding: *finding,
            attempt: seen.attempt,
        };
        let sent = self
            .sender
            .send(&self.callback_queue, &message, Duration::ZERO)
            .await;
        match sent {
            Ok(()) => run.count(|report| report.sent_on += 1),
            Err(error) => {
                error!(command.id = %seen.attempt, error = %chain(&error), "cannot queue the callback's message; it is retried in two minutes");
                run.count(|report| report.unsent += 1);
            }
        }
        Ok(true)
    }

    /// Fails an analysis without a callback in time, and frees its slot.
    async fn lose(
        &self,
        run: &Run,
        due: &DueAnalysis,
        record: &FindingRecord,
        seen: &Analysis,
        now: Timestamp,
    ) -> Result<bool, AnalysesError> {
        let DueAnalysis { owner, finding } = due;
        let analyses = &self.automation.analyses;
        let outcome = AnalysisOutcome::Failed(FailureCode::run_lost());
        let writes = if seen.status == AnalysisStatus::Pending {
            abandon::failed(analyses, &self.audit, owner, record, seen, &outcome, now)
        } else {
            let event = abandon::analysis_event(*finding, seen, &outcome, now);
            analyses
                .ended(owner, *finding, seen, &outcome, now)
                .and(self.audit.record(owner, &event))
        };
        let lost = analyses.write(*finding, "a lost analysis", writes).await?;
        if lost {
            warn!(
                owner = owner.hashed(),
                finding.id = %finding,
                command.id = %seen.attempt,
                analysis.status = seen.status.as_str(),
                age_ms = u64::try_from(now.since(seen.begun_at).as_millis()).unwrap_or(u64::MAX),
                "the analysis has failed: no callback arrived in time"
            );
            metrics::record(Metric::AnalysisLost);
            run.count(|report| report.lost += 1);
        }
        Ok(lost)
    }

    /// Handles one shard's due owners: automation looks for findings to analyse.
    pub(crate) async fn automation(&self, run: &Run, shard: u8) {
        let analyses = &self.automation.analyses;
        let read = async |after| analyses.due_automation(shard, PAGE, after, run.now).await;
        each_page(run, read, async |due| {
            for due in due {
                if !run.has_time() {
                    return;
                }
                match self.automation.advance(&due.owner, self.clock.now()).await {
                    Ok(begun) => {
                        let begun = u32::try_from(begun).unwrap_or(u32::MAX);
                        run.count(|report| report.automated += begun);
                    }
                    Err(error) => {
                        log_failure(&due.owner, &error);
                        run.count(|report| report.errors += 1);
                    }
                }
            }
        })
        .await;
    }
}
