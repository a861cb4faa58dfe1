//! What starts by itself: analyses of new findings, within automation's share of the owner's slots.
//!
//! A slot, the finding and the command that launches the analysis are taken in one transaction, so the share is never
//! exceeded and no finding is begun twice, however many look at once. What has no slot waits in an index of findings that
//! were never analysed; whoever frees a slot leaves a note for the reconciler that there is more to do.

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
};
use telemetry::{
    chain,
    metrics::{self, Metric},
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
        let begun = match eligible(&record, now) {
            Some(eligible) => self.begin_all(owner, &record, eligible, now).await?,
            None => 0,
        };
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
        // Somebody was quicker, and automation restarts nothing.
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

/// What automation may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Eligible {
    /// At least so severe.
    least: Severity,
    /// And new since then.
    since: Timestamp,
}

impl Eligible {
    /// The worst first.
    fn severities(self) -> impl Iterator<Item = Severity> {
        let all = Severity::ALL.iter().copied();
        all.filter(move |severity| *severity >= self.least)
    }
}

/// What may begin now by itself for this owner; `None` if nothing may.
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

/// What could not be advanced is looked at again by the reconciler.
pub fn log_failure(owner: &Owner, error: &AutomationError) {
    warn!(owner = owner.hashed(), error = %chain(error), "automation could not look for findings; the reconciler will");
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::installation::InstallationId;
    use store::{analyses::OwnerAnalyses, owners::Integration};

    const NOON: Timestamp = Timestamp::from_millis(1_795_435_200_000);

    /// An owner for whom analyses have begun by themselves since noon, with these choices.
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
    fn the_chosen_severities_are_looked_at_and_the_worst_first() {
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
    fn what_was_there_before_is_looked_at_only_if_chosen() {
        let since = |existing| {
            let eligible = eligible(&record(MinSeverity::All, existing), NOON);
            eligible.expect("it is switched on").since
        };
        assert_eq!(since(false), NOON);
        assert_eq!(since(true), Timestamp::from_millis(0));
    }

    #[test]
    fn nothing_begins_while_automation_is_off_rests_or_knows_no_installation() {
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
