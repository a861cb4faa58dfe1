//! The function's configuration, from its environment.

use domain::{command::PausedCommands, lifecycle::Timeouts};
use runtime::{
    environment::{self, InvalidEnvironment},
    function::FunctionConfig,
    queue::{CommandQueues, QueueUrl},
};

/// The function's configuration, as set by template.yaml.
#[derive(Clone, Debug)]
pub struct Config {
    /// `STACK`, `TABLE`.
    pub function: FunctionConfig,
    /// `ACCEPTED_TIMEOUT_SECONDS`, `RUNNING_TIMEOUT_SECONDS`, `RETENTION_DAYS`.
    pub timeouts: Timeouts,
    /// `SYNC_QUEUE_URL`, `DISMISS_QUEUE_URL`, `ANALYSE_QUEUE_URL`: the queues of commands.
    pub queues: CommandQueues,
    /// `CALLBACK_QUEUE_URL`: the queue of callbacks.
    pub callback_queue: QueueUrl,
    /// `ERASE_QUEUE_URL`: the queue of erasures.
    pub erase_queue: QueueUrl,
    /// `SCHEDULED_SYNC_QUEUE_URL`: the queue of scheduled syncs.
    pub scheduled_sync_queue: QueueUrl,
    /// `PAUSED_COMMANDS`: the command types that are not admitted.
    pub paused: PausedCommands,
}

impl Config {
    /// Reads the environment; the error names the variable.
    pub fn from_env() -> Result<Self, InvalidEnvironment> {
        Ok(Self {
            function: environment::function()?,
            timeouts: environment::timeouts()?,
            queues: environment::command_queues()?,
            callback_queue: environment::read("CALLBACK_QUEUE_URL")?,
            erase_queue: environment::read("ERASE_QUEUE_URL")?,
            scheduled_sync_queue: environment::read("SCHEDULED_SYNC_QUEUE_URL")?,
            paused: environment::read("PAUSED_COMMANDS")?,
        })
    }
}
