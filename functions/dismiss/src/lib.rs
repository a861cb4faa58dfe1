//! The dismiss function: dismisses or reopens a finding's alert on GitHub, then updates the finding.
//!
//! Commands that cannot succeed end before GitHub is asked. Otherwise the alert's state decides. The finding, the audit
//! event and the command's end are written in one transaction.
//!
//! | the alert | a dismissal ends as | a reopening ends as |
//! | --- | --- | --- |
//! | changed by this command | `FINDING_DISMISSED` | `FINDING_REOPENED` |
//! | changed by someone else, or by a rule | `ALREADY_IGNORED` | `ALREADY_OPEN` |
//! | fixed | `ALREADY_FIXED` | `ALREADY_FIXED` |
//! | withdrawn (410) | `ALERT_WITHDRAWN` | `ALERT_WITHDRAWN` |
//! | unchanged although GitHub accepted | `DISMISSAL_PENDING_REVIEW` | `REOPEN_REJECTED` |
//! | unchanged because GitHub rejected the request | `DISMISSAL_REJECTED` | `REOPEN_REJECTED` |
//! | unchanged, and GitHub may not have received the request | retried | retried |

mod changing;
mod config;
mod dismissal;
mod reopening;
mod request;
#[cfg(test)]
mod samples;
mod shown;

pub use config::Config;

use std::cell::Cell;

use domain::{
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

/// The function's dependencies.
#[derive(Clone, Debug)]
pub struct Dismiss {
    /// The part that every worker shares.
    pub worker: Worker,
    /// Settings and integrations.
    pub owners: Owners,
    /// The findings.
    pub findings: Findings,
    /// The audit log.
    pub audit: Audit,
    /// GitHub.
    pub github: Github,
}

impl Work for Dismiss {
    async fn effect(&self, claim: &Claim, command: &Command, invocation: Invocation) -> Effected {
        match &command.action {
            Action::DismissFinding(asked_for) => {
                let request = Dismissal { asked_for };
                let changing =
                    self.changing(claim, command, asked_for.finding, request, invocation);
                changing.run().await
            }
            Action::ReopenFinding(asked_for) => {
                let changing =
                    self.changing(claim, command, asked_for.finding, Reopening, invocation);
                changing.run().await
            }
            Action::Sync(_) | Action::StartAnalysis(_) => {
                error!("the command is for another worker");
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
        request: W,
        invocation: Invocation,
    ) -> Changing<'a, W> {
        Changing {
            dismiss: self,
            claim,
            command,
            finding,
            request,
            invocation,
            undone: Cell::new(false),
        }
    }
}
