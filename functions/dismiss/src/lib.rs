//! The dismiss function: dismisses a finding's alert at GitHub, then ignores the finding here.
//!
//! Everything that can be refused is refused before GitHub is asked. After that the alert's own state decides, and is
//! recorded with the audit event and the command's end in one transaction.
//!
//! | the alert | the command |
//! | --- | --- |
//! | dismissed, by this command | `FINDING_DISMISSED` |
//! | dismissed by somebody else, or by a rule | `ALREADY_IGNORED` |
//! | fixed | `ALREADY_FIXED` |
//! | withdrawn (410) | `ALERT_WITHDRAWN`; the finding is closed |
//! | open although GitHub accepted | `DISMISSAL_PENDING_REVIEW` |
//! | open because GitHub refused | `DISMISSAL_REJECTED` |
//! | open, and it is not known whether GitHub got the request | tried again |

mod changing;
mod config;
mod dismissal;
mod reopening;
#[cfg(test)]
mod samples;
mod shown;
mod wish;

pub use config::Config;

use std::cell::Cell;

use domain::{
    Timestamp,
    command::{Action, Command, LastError},
    finding::FindingId,
};
use github::Github;
use runtime::worker::{Effected, Invocation, Work, Worker};
use store::{audit::Audit, findings::Findings, ledger::Claim, owners::Owners};
use tracing::error;

use changing::Changing;
use dismissal::Dismissal;
use reopening::Reopening;

/// The function's surroundings.
#[derive(Clone, Debug)]
pub struct Dismiss {
    /// What every worker does around its effect.
    pub worker: Worker,
    /// Configuration and integration.
    pub owners: Owners,
    /// The findings.
    pub findings: Findings,
    /// What was done, by whom.
    pub audit: Audit,
    /// GitHub.
    pub github: Github,
}

impl Work for Dismiss {
    async fn effect(&self, claim: &Claim, command: &Command, invocation: Invocation) -> Effected {
        let began = command.started_at.unwrap_or(command.accepted_at);
        match &command.action {
            Action::DismissFinding(asked_for) => {
                let dismissal = Dismissal { asked_for, began };
                let finding = asked_for.finding;
                let changing = self.changing(claim, command, finding, dismissal, began, invocation);
                changing.run().await
            }
            Action::ReopenFinding(asked_for) => {
                let (finding, reopening) = (asked_for.finding, Reopening { began });
                let changing = self.changing(claim, command, finding, reopening, began, invocation);
                changing.run().await
            }
            Action::Sync(_) | Action::StartAnalysis(_) => {
                error!("a command of another worker's type");
                Effected::Transient {
                    error: LastError::Unexpected,
                    after: None,
                }
            }
        }
    }
}

impl Dismiss {
    const fn changing<'a, W>(
        &'a self,
        claim: &'a Claim,
        command: &'a Command,
        finding: FindingId,
        wish: W,
        began: Timestamp,
        invocation: Invocation,
    ) -> Changing<'a, W> {
        Changing {
            dismiss: self,
            claim,
            command,
            finding,
            wish,
            began,
            invocation,
            undone: Cell::new(false),
        }
    }
}
