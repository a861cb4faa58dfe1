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

mod config;
mod dismissal;
mod request;
#[cfg(test)]
mod samples;
mod shown;

pub use config::Config;

use std::cell::Cell;

use domain::command::{Action, Command, DismissFinding, LastError};
use github::Github;
use runtime::worker::{Effected, Invocation, Work, Worker};
use store::{audit::Audit, findings::Findings, ledger::Claim, owners::Owners};
use tracing::error;

use dismissal::Dismissal;
use request::Request;

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
        let Action::DismissFinding(DismissFinding {
            finding,
            reason,
            comment,
        }) = &command.action
        else {
            error!("a command of another worker's type");
            return Effected::Transient {
                error: LastError::Unexpected,
                after: None,
            };
        };
        let dismissal = Dismissal {
            dismiss: self,
            claim,
            command,
            finding: *finding,
            request: Request {
                reason: *reason,
                comment: comment.as_ref(),
                began: command.started_at.unwrap_or(command.accepted_at),
            },
            invocation,
            undone: Cell::new(false),
        };
        dismissal.run().await
    }
}
