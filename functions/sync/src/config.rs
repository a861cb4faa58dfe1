//! What the function reads from its environment.

use domain::command::CommandQueue;
use domain::command::PausedCommands;
use github::GithubConfig;
use runtime::{
    environment::{self, InvalidEnvironment},
    function::FunctionConfig,
    queue::QueueUrl,
    worker::WorkerConfig,
};

/// The function's configuration, as template.yaml sets it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `STACK`, `TABLE`.
    pub function: FunctionConfig,
    /// `SYNC_QUEUE_URL` for syncs that were asked for, `MALFORMED_QUEUE_URL`, `MAX_RECEIVES` of both queues,
    /// `ACCEPTED_TIMEOUT_SECONDS`, `RUNNING_TIMEOUT_SECONDS`, `RETENTION_DAYS`.
    pub worker: WorkerConfig,
    /// `SCHEDULED_SYNC_QUEUE_URL`: syncs on schedule.
    pub scheduled_sync_queue: QueueUrl,
    /// `ANALYSE_QUEUE_URL`: launches of analyses, for automation's own.
    pub analyse_queue: QueueUrl,
    /// `GITHUB_API_URL`, `GITHUB_API_VERSION`, `GITHUB_APP_ID`, `GITHUB_PRIVATE_KEY_SECRET`.
    pub github: GithubConfig,
    /// `PAUSED_COMMANDS`: which command types are not admitted for now.
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
