//! Automatic analyses: starts analyses of new findings within automation's share of the owner's slots.
//!
//! One transaction takes the slot, marks the finding and admits the command, so concurrent runs neither exceed the
//! share nor start a finding twice. A finding without a slot stays in the index of findings that were never analysed.
//! The transaction that frees a slot sets `due_at` on the owner's row, and the reconciler runs automation again.

use std::time::Duration;

use tracing::{error, info, warn};

use crate::{
    aws::Services,
    queue::{Message, QueueUrl, Sender},
};
use domain::{
    Timestamp,
    analysis::BegunBy,
    command::{Actor, Command, CommandType, Origin, PausedCommands, StartAnalysis},
    finding::{FindingId, Severity},
    lifecycle::Timeouts,
    owner::Owner,
    settings::{AutoAnalysis, MinSeverity},
};
use store::{
    analyses::{Analyses, AnalysesError, Beginning, Begun},
    findings::{Findings, FindingsError},
    ledger::{Ledger, NewCommand},
    owners::{OwnerRecord, Owners, OwnersError},
    table::{Cause, Caused},
};
use telemetry::{
    chain,
    metrics::{self, Metric},
};

/// The findings in one query.
const PAGE: u32 = 50;
/// The most findings of out-of-scope repositories that one run skips: some 60 read units. If more of them sort before
/// the findings in scope, automation starts nothing for this owner until they are closed or in scope again.
const PASSED_OVER: usize = 5_000;

/// Starts automatic analyses.
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
    /// The queue of `start_analysis` commands.
    pub queue: QueueUrl,
    /// The command types that an operator has paused; automation starts none of them.
    pub paused: PausedCommands,
}

/// Automation stopped before it was done. Repeating the call is safe.
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

impl Caused for AutomationError {
    fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Owners(error) => error.cause(),
            Self::Findings(error) => error.cause(),
            Self::Analyses(error) => error.cause(),
        }
    }
}

impl Automation {
    /// Automation that admits commands with these timeouts and sends them to `queue`.
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

    /// Starts analyses while findings wait and slots are free. Returns the number of analyses started.
    pub async fn advance(&self, owner: &Owner, now: Timestamp) -> Result<usize, AutomationError> {
        // While paused, the owner's row stays due, so automation runs again after the pause.
        if self.paused.contain(CommandType::StartAnalysis) {
            return Ok(0);
        }
        let record = self.owners.read(owner).await?;
        let begun = match eligible(&record, now) {
            Some(eligible) => self.begin_all(owner, &record, eligible, now).await?,
            None => 0,
        };
        // Race: a slot is freed while this run looks. That transaction sets a later `due_at`; `looked` clears only the
        // one that was read, so the reconciler still runs automation again.
        if let Some(due) = record.analyses.automation_due.filter(|due| *due <= now) {
            self.analyses.looked(owner, due).await?;
        }
        Ok(begun)
    }

    async fn begin_all(
        &self,
        owner: &Owner,
        record: &OwnerRecord,
        eligible: Eligible,
        now: Timestamp,
    ) -> Result<usize, AutomationError> {
        let slots = record.analyses.automatic_slots_left();
        let mut begun = 0;
        let mut passed_over = 0;
        for severity in eligible.severities() {
            let mut after = None;
            while begun < slots && passed_over < PASSED_OVER {
                let page = self
                    .findings
                    .unanalysed(owner, severity, eligible.since, PAGE, after)
                    .await?;
                for finding in page.findings {
                    if begun == slots {
                        break;
                    }
                    if !record.settings.covers(finding.repository) {
                        passed_over += 1;
                        continue;
                    }
                    match self.begin(owner, finding, now).await? {
                        Attempted::Begun => begun += 1,
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
        // A user started an analysis first, and automation never restarts one. `Analyses::begin` checks again.
        let analysis = seen.analysis.as_ref();
        if analysis.is_some_and(|analysis| analysis.status.in_flight()) {
            return Ok(Attempted::Ineligible);
        }
        let new = NewCommand {
            owner: owner.clone(),
            action: StartAnalysis::of(finding).into(),
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
            // Race: the finding changed or another writer started its analysis since the read. The next run reads it again.
            Begun::Changed => Ok(Attempted::Ineligible),
        }
    }
}

/// Sends the message of a command that automation has admitted. If the send fails, the reconciler sends it.
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
            error!(command.id = %id, command.origin = origin, error = %chain(&error), "an automatic command's message was not sent; the reconciler sends it");
        }
    }
}

enum Attempted {
    Begun,
    NoSlot,
    Ineligible,
}

/// The findings that automation may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Eligible {
    /// The minimum severity.
    least: Severity,
    /// Only findings that are new since then.
    since: Timestamp,
}

impl Eligible {
    /// The eligible severities, the most severe first.
    fn severities(self) -> impl Iterator<Item = Severity> {
        let all = Severity::ALL.iter().copied();
        all.filter(move |severity| *severity >= self.least)
    }
}

/// What automation may start for this owner now. `None` if it is off, not connected or in its cooldown.
fn eligible(record: &OwnerRecord, now: Timestamp) -> Option<Eligible> {
    let chosen = record.auto_analysis_since?;
    record.integration.as_ref()?;
    let AutoAnalysis {
        min_severity,
        include_existing,
        ..
    } = record.settings.auto_analysis;
    let rests = record.analyses.automation_due.is_some_and(|due| due > now);
    (!rests).then_some(Eligible {
        least: match min_severity {
            MinSeverity::Critical => Severity::Critical,
            MinSeverity::High => Severity::High,
            MinSeverity::Medium => Severity::Medium,
            MinSeverity::All => Severity::Low,
        },
        since: if include_existing {
            Timestamp::from_millis(0)
        } else {
            chosen
        },
    })
}

/// Logs a failed run. The owner stays due, so the reconciler retries it.
pub fn log_failure(owner: &Owner, error: &AutomationError) {
    warn!(owner = owner.hashed(), error = %chain(error), "automation failed; the reconciler retries it");
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::installation::InstallationId;
    use store::{analyses::OwnerAnalyses, owners::Integration};

    const NOON: Timestamp = Timestamp::from_millis(1_795_435_200_000);

    /// An owner with automation switched on since noon, with these choices.
    fn record(min_severity: MinSeverity, include_existing: bool) -> OwnerRecord {
        let mut record = OwnerRecord {
            auto_analysis_since: Some(NOON),
            integration: Some(Integration {
                installation: InstallationId::new(1),
                can_read_alerts: true,
                auth_invalid_at: None,
            }),
            ..OwnerRecord::default()
        };
        record.settings.auto_analysis = AutoAnalysis {
            enabled: true,
            min_severity,
            include_existing,
        };
        record
    }

    #[test]
    fn the_chosen_severities_are_eligible_most_severe_first() {
        use Severity::{Critical, High, Low, Medium};
        for (least, expected) in [
            (MinSeverity::Critical, &[Critical][..]),
            (MinSeverity::High, &[Critical, High]),
            (MinSeverity::Medium, &[Critical, High, Medium]),
            (MinSeverity::All, &[Critical, High, Medium, Low]),
        ] {
            let eligible = eligible(&record(least, false), NOON).expect("it is switched on");
            let severities: Vec<Severity> = eligible.severities().collect();
            assert_eq!(severities, expected, "{least:?}");
        }
    }

    #[test]
    fn existing_findings_are_eligible_only_if_chosen() {
        let since = |existing| {
            let eligible = eligible(&record(MinSeverity::All, existing), NOON);
            eligible.expect("it is switched on").since
        };
        assert_eq!(since(false), NOON);
        assert_eq!(since(true), Timestamp::from_millis(0));
    }

    #[test]
    fn nothing_is_eligible_while_off_in_cooldown_or_not_connected() {
        let on = record(MinSeverity::All, true);
        let due = |at| OwnerRecord {
            analyses: OwnerAnalyses {
                automation_due: Some(at),
                ..OwnerAnalyses::default()
            },
            ..on.clone()
        };
        let just_after = Timestamp::from_millis(NOON.as_millis() + 1);
        let off = OwnerRecord {
            auto_analysis_since: None,
            ..on.clone()
        };
        let unconnected = OwnerRecord {
            integration: None,
            ..on.clone()
        };
        for (name, record, expected) in [
            ("on", &on, true),
            ("off", &off, false),
            ("not connected", &unconnected, false),
            ("to look now", &due(NOON), true),
            ("resting", &due(just_after), false),
        ] {
            assert_eq!(eligible(record, NOON).is_some(), expected, "{name}");
        }
    }
}
