//! What starts by itself: analyses of new findings, within automation's share of the owner's slots.
//!
//! A slot, the finding and the command that launches the analysis are taken in one transaction, so the share is never
//! exceeded and no finding is begun twice, however many look at once. What has no slot waits in an index of findings that
//! were never analysed; whoever frees a slot leaves a note for the reconciler that there is more to do.

use std::time::Duration;

use tracing::{error, info, warn};

use crate::{
    Timestamp,
    analyses::{Analyses, AnalysesError, Beginning, Begun},
    analysis::BegunBy,
    aws::Services,
    command::{Action, Actor, AnalysisOptions, Command, CommandType, Origin, PausedCommands},
    finding::{FindingId, FindingStatus, Severity},
    findings::{Findings, FindingsError},
    ledger::{Ledger, NewCommand},
    lifecycle::Timeouts,
    metrics::{self, Metric},
    owner::Owner,
    owners::{OwnerRecord, Owners, OwnersError},
    queue::{Message, QueueUrl, Sender},
    settings::{AutoAnalysis, MinSeverity},
    telemetry::chain,
};

/// How many findings are looked at together.
const PAGE: u32 = 50;
/// How many findings of repositories out of scope are passed over in one go: some 60 read units. Automation of an owner who
/// has more of them waiting before the others begins nothing until they are dealt with or in scope again.
const PASSED_OVER: usize = 5_000;

/// Starts what starts by itself.
#[derive(Clone, Debug)]
pub struct Automation {
    /// The commands.
    pub ledger: Ledger,
    /// Configuration and slots.
    pub owners: Owners,
    /// The findings.
    pub findings: Findings,
    /// Their analyses.
    pub analyses: Analyses,
    /// Sends the commands' messages.
    pub sender: Sender,
    /// Where launches of analyses are queued.
    pub queue: QueueUrl,
    /// What must not start by itself for now, either.
    pub paused: PausedCommands,
}

/// Automation stopped half-way. Repeating the call is safe.
#[derive(Debug, thiserror::Error)]
pub enum AutomationError {
    /// Configuration and slots could not be read.
    #[error(transparent)]
    Owners(#[from] OwnersError),
    /// The findings could not be read.
    #[error(transparent)]
    Findings(#[from] FindingsError),
    /// The slots could not be written.
    #[error(transparent)]
    Analyses(#[from] AnalysesError),
}

impl Automation {
    /// Automation whose commands are written with these timeouts, and queued there.
    pub fn new(
        services: &Services,
        timeouts: Timeouts,
        queue: QueueUrl,
        paused: PausedCommands,
    ) -> Self {
        let table = &services.table;
        Self {
            ledger: Ledger::new(table.clone(), timeouts),
            owners: Owners::new(table.clone()),
            findings: Findings::new(table.clone()),
            analyses: Analyses::new(table.clone()),
            sender: Sender::new(services.queues.clone()),
            queue,
            paused,
        }
    }

    /// Begins as many analyses as there are findings that wait and slots that are free. Gives how many that were.
    pub async fn advance(&self, owner: &Owner, now: Timestamp) -> Result<usize, AutomationError> {
        // A note that there is more to do stays until analyses may start again.
        if self.paused.contain(CommandType::StartAnalysis) {
            return Ok(0);
        }
        let record = self.owners.read(owner).await?;
        let begun = self.begin_all(owner, &record, now).await?;
        if begun > 0 {
            info!(owner = owner.hashed(), begun, "automation began analyses");
        }
        // Should a slot have been freed meanwhile, there is a later note, and it stays.
        if let Some(due) = record.analyses.automation_due.filter(|due| *due <= now) {
            self.analyses.looked(owner, due).await?;
        }
        Ok(begun)
    }

    async fn begin_all(
        &self,
        owner: &Owner,
        record: &OwnerRecord,
        now: Timestamp,
    ) -> Result<usize, AutomationError> {
        let settings = &record.settings;
        let wanted = settings.enabled && settings.auto_analysis.enabled;
        let rests = record.analyses.automation_due.is_some_and(|due| due > now);
        let (Some(since), true, false, Some(_)) = (
            record.auto_analysis_since,
            wanted,
            rests,
            &record.integration,
        ) else {
            return Ok(0);
        };
        let mut left = record.analyses.automatic_slots_left();
        let mut begun = 0;
        let mut passed_over = 0;
        for severity in severities(settings.auto_analysis) {
            let since = if settings.auto_analysis.include_existing {
                Timestamp::from_millis(0)
            } else {
                since
            };
            let mut after = None;
            while left > 0 && passed_over < PASSED_OVER {
                let page = self
                    .findings
                    .unanalysed(owner, severity, since, PAGE, after)
                    .await?;
                for finding in page.findings {
                    if left == 0 {
                        break;
                    }
                    if !settings.covers(finding.repository) {
                        passed_over += 1;
                        continue;
                    }
                    match self.begin(owner, finding, now).await? {
                        Attempted::Begun => {
                            left -= 1;
                            begun += 1;
                        }
                        Attempted::NoSlot => return Ok(begun),
                        Attempted::Ineligible => {}
                    }
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(begun)
    }

    async fn begin(
        &self,
        owner: &Owner,
        finding: FindingId,
        now: Timestamp,
    ) -> Result<Attempted, AutomationError> {
        let Some(seen) = self.findings.read_alone(owner, finding).await? else {
            return Ok(Attempted::Ineligible);
        };
        let in_flight = seen
            .analysis
            .as_ref()
            .is_some_and(|analysis| analysis.status.in_flight());
        if seen.finding.status != FindingStatus::Open || in_flight {
            self.findings.leave_to_people(owner, finding).await?;
            return Ok(Attempted::Ineligible);
        }
        let new = NewCommand {
            owner: owner.clone(),
            action: Action::StartAnalysis {
                finding,
                options: AnalysisOptions::default(),
            },
            origin: Origin::AutoAnalysis,
            actor: Actor::SecurityAgent,
            key: None,
        };
        let (command, admission) = self.ledger.admission(&new, now);
        let beginning = Beginning {
            attempt: command.key.id,
            begun_by: BegunBy::Automation,
        };
        let begun = self.analyses.begin(owner, &seen, beginning, admission, now);
        match begun.await? {
            Begun::Taken(_) => {
                send(&self.sender, &self.queue, &command).await;
                Ok(Attempted::Begun)
            }
            Begun::NoSlot => Ok(Attempted::NoSlot),
            // Somebody else has begun it, or it has changed: the next look sees it as it is.
            Begun::Changed => Ok(Attempted::Ineligible),
        }
    }
}

/// Sends the message of a command that was admitted with what led to it. Should that fail, the reconciler sends it.
pub async fn send(sender: &Sender, queue: &QueueUrl, command: &Command) {
    let (id, origin) = (command.key.id, command.origin.as_str());
    let kind = command.action.command_type();
    metrics::record(Metric::CommandAdmitted(kind));
    match sender
        .send(queue, &Message::of(command), Duration::ZERO)
        .await
    {
        Ok(()) => {
            info!(command.id = %id, command.origin = origin, owner = command.key.owner.hashed(), "automation admitted a command");
        }
        Err(error) => {
            error!(command.id = %id, command.origin = origin, error = %chain(&error), "the message of an automatic command was not sent; the reconciler will send it");
        }
    }
}

enum Attempted {
    Begun,
    NoSlot,
    Ineligible,
}

/// The severities that automation looks at, worst first.
fn severities(auto: AutoAnalysis) -> impl Iterator<Item = Severity> {
    let least = match auto.min_severity {
        MinSeverity::Critical => Severity::Critical,
        MinSeverity::High => Severity::High,
        MinSeverity::Medium => Severity::Medium,
        MinSeverity::All => Severity::Low,
    };
    Severity::ALL
        .iter()
        .copied()
        .filter(move |severity| *severity >= least)
}

/// What could not be advanced is looked at again by the reconciler.
pub fn log_failure(owner: &Owner, error: &AutomationError) {
    warn!(owner = owner.hashed(), error = %chain(error), "automation could not look for findings; the reconciler will");
}
