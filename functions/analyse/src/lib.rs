//! The analyse function: has the agent start the analysis of a finding.
//!
//! A conditional write takes the finding's slot before the agent is asked. Every failure gives the slot back: when the
//! agent refuses, when no delivery is left, and otherwise by the reconciler after 15 minutes. The launch's idempotency
//! key is the command's id, so that a redelivery gets the first delivery's session.

mod config;
mod launching;
mod wanted;

pub use config::Config;

use agent::{Agent, CallbackUrl, callback_token::CallbackTokens};
use domain::command::{Action, Command, LastError};
use github::Github;
use runtime::worker::{Effected, Invocation, Work, Worker};
use store::{analyses::Analyses, audit::Audit, findings::Findings, ledger::Claim, owners::Owners};
use tracing::error;

use launching::Launching;

/// The function's dependencies.
#[derive(Clone, Debug)]
pub struct Analyse {
    /// The frame that all workers share.
    pub worker: Worker,
    /// Configurations and integrations.
    pub owners: Owners,
    /// The findings.
    pub findings: Findings,
    /// The findings' analyses, and the slots.
    pub analyses: Analyses,
    /// The audit events.
    pub audit: Audit,
    /// GitHub.
    pub github: Github,
    /// The analysis service.
    pub agent: Agent,
    /// Signs callback tokens.
    pub callback_tokens: CallbackTokens,
    /// The URL for the agent's callbacks.
    pub callback_url: CallbackUrl,
}

impl Work for Analyse {
    async fn effect(&self, claim: &Claim, command: &Command, invocation: Invocation) -> Effected {
        let Action::StartAnalysis(options) = &command.action else {
            error!("the command is of another worker's type");
            return Effected::Transient {
                error: LastError::Unexpected,
                after: None,
            };
        };
        let launching = Launching {
            analyse: self,
            claim,
            command,
            finding: options.finding,
            options,
            invocation,
        };
        launching.run().await
    }
}
