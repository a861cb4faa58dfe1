//! The analyse function: has the agent begin to analyse a finding.
//!
//! The finding's slot is taken by a conditional write before the agent is asked, and is given back on every way out: when
//! the agent refuses, when no delivery is left, and, should all of that fail, by the reconciler after a quarter of an hour.
//! The launch is named after the command, so that a delivery that follows another meets that one's session.

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

/// The function's surroundings.
#[derive(Clone, Debug)]
pub struct Analyse {
    /// What every worker does around its effect.
    pub worker: Worker,
    /// Configuration and integration.
    pub owners: Owners,
    /// The findings.
    pub findings: Findings,
    /// Their analyses, and the slots.
    pub analyses: Analyses,
    /// What was done, by whom.
    pub audit: Audit,
    /// GitHub.
    pub github: Github,
    /// The analysis service.
    pub agent: Agent,
    /// Signs the right to call back.
    pub callback_tokens: CallbackTokens,
    /// Where the agent calls back.
    pub callback_url: CallbackUrl,
}

impl Work for Analyse {
    async fn effect(&self, claim: &Claim, command: &Command, invocation: Invocation) -> Effected {
        let Action::StartAnalysis(options) = &command.action else {
            error!("a command of another worker's type");
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
