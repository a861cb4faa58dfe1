//! The function's configuration, from its environment.

use domain::command::CommandQueue;
use domain::command::PausedCommands;
use github::GithubConfig;
use runtime::{
    environment::{self, InvalidEnvironment},
    function::FunctionConfig,
    queue::QueueUrl,
    worker::WorkerConfig,
};

/// The function's configuration, as set by template.yaml.
#[derive(Clone, Debug)]
pub struct Config {
    /// `STACK`, `TABLE`.
    pub function: FunctionConfig,
    /// `SYNC_QUEUE_URL` for commands, `MALFORMED_QUEUE_URL`, `MAX_RECEIVES` of both queues,
    /// `ACCEPTED_TIMEOUT_SECONDS`, `RUNNING_TIMEOUT_SECONDS`, `RETENTION_DAYS`.
    pub worker: WorkerConfig,
    /// `SCHEDULED_SYNC_QUEUE_URL`: the queue of scheduled syncs.
    pub scheduled_sync_queue: QueueUrl,
    /// `ANALYSE_QUEUE_URL`: the queue of launches, for automatic ones.
    pub analyse_queue: QueueUrl,
    /// `GITHUB_API_URL`, `GITHUB_API_VERSION`, `GITHUB_APP_ID`, `GITHUB_PRIVATE_KEY_SECRET`.
    pub github: GithubConfig,
    /// `PAUSED_COMMANDS`: the command types that are not admitted.
    pub paused: PausedCommands,
}

impl Config {
    /// Reads the environment; the error names the variable.
    pub fn from_env() -> Result<Self, InvalidEnvironment> {
        Ok(Self {
            function: environment::function()?,
            worker: environment::worker(CommandQueue::Sync)?,
            scheduled_sync_queue: environment::read("SCHEDULED_SYNC_QUEUE_URL")?,
            analyse_queue: environment::read("ANALYSE_QUEUE_URL")?,
            github: environment::github()?,
            paused: environment::read("PAUSED_COMMANDS")?,
        })
    }
}
