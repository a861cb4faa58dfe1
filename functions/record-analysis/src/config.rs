//! The function's configuration, from its environment.

use domain::{command::PausedCommands, lifecycle::Timeouts};
use runtime::{
    environment::{self, InvalidEnvironment},
    function::FunctionConfig,
    queue::QueueUrl,
};

/// The function's configuration, as set by template.yaml.
#[derive(Clone, Debug)]
pub struct Config {
    /// `STACK`, `TABLE`.
    pub function: FunctionConfig,
    /// `ACCEPTED_TIMEOUT_SECONDS`, `RUNNING_TIMEOUT_SECONDS`, `RETENTION_DAYS`.
    pub timeouts: Timeouts,
    /// `CALLBACK_QUEUE_URL`: the queue of callbacks, which the function reads.
    pub queue: QueueUrl,
    /// `DISMISS_QUEUE_URL`: the queue of dismissals, for automatic ones.
    pub dismiss_queue: QueueUrl,
    /// `ANALYSE_QUEUE_URL`: the queue of launches, for automatic ones.
    pub analyse_queue: QueueUrl,
    /// `MALFORMED_QUEUE_URL`: the queue of messages that cannot be parsed.
    pub malformed_queue: QueueUrl,
    /// `PAUSED_COMMANDS`: the command types that are not admitted.
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
