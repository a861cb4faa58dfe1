//! What the function reads from its environment.

use domain::{command::PausedCommands, lifecycle::Timeouts};
use runtime::{
    environment::{self, InvalidEnvironment},
    function::FunctionConfig,
    queue::QueueUrl,
};

/// The function's configuration, as template.yaml sets it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `STACK`, `TABLE`.
    pub function: FunctionConfig,
    /// `ACCEPTED_TIMEOUT_SECONDS`, `RUNNING_TIMEOUT_SECONDS`, `RETENTION_DAYS`.
    pub timeouts: Timeouts,
    /// `CALLBACK_QUEUE_URL`: what the agent called back with.
    pub queue: QueueUrl,
    /// `DISMISS_QUEUE_URL`: dismissals, for automation's own.
    pub dismiss_queue: QueueUrl,
    /// `ANALYSE_QUEUE_URL`: launches of analyses, for automation's own.
    pub analyse_queue: QueueUrl,
    /// `MALFORMED_QUEUE_URL`: what nobody can read.
    pub malformed_queue: QueueUrl,
    /// `PAUSED_COMMANDS`: which command types are not admitted for now.
    pub paused: PausedCommands,
}

impl Config {
    /// Reads the environment; the error names the variable.
    pub fn from_env() -> Result<Self, InvalidEnvironment> {
        Ok(Self {
            function: environment::function()?,
            timeouts: environment::timeouts()?,
            queue: environment::read("CALLBACK_QUEUE_URL")?,
            dismiss_queue: environment::read("DISMISS_QUEUE_URL")?,
            analyse_queue: environment::read("ANALYSE_QUEUE_URL")?,
            malformed_queue: environment::read("MALFORMED_QUEUE_URL")?,
            paused: environment::read("PAUSED_COMMANDS")?,
        })
    }
}
