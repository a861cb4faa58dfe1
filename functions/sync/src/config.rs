//! What the function reads from its environment.

use security_agent::{
    command::PausedCommands,
    environment::{self, InvalidEnvironment},
    github::GithubConfig,
    lifecycle::Timeouts,
    metrics::StackName,
    queue::QueueUrl,
};

/// The function's configuration, as template.yaml sets it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `STACK`: the name of the stack, which metrics are told apart by.
    pub stack: StackName,
    /// `TABLE`: the table of everything.
    pub table: String,
    /// `ACCEPTED_TIMEOUT_SECONDS`, `RUNNING_TIMEOUT_SECONDS`, `RETENTION_DAYS`.
    pub timeouts: Timeouts,
    /// `SYNC_QUEUE_URL`: syncs that were asked for.
    pub sync_queue: QueueUrl,
    /// `SCHEDULED_SYNC_QUEUE_URL`: syncs on schedule.
    pub scheduled_sync_queue: QueueUrl,
    /// `ANALYSE_QUEUE_URL`: launches of analyses, for automation's own.
    pub analyse_queue: QueueUrl,
    /// `MALFORMED_QUEUE_URL`: what nobody can read.
    pub malformed_queue: QueueUrl,
    /// `MAX_RECEIVES`: the queues' maxReceiveCount.
    pub max_receives: u32,
    /// `GITHUB_API_URL`, `GITHUB_API_VERSION`, `GITHUB_APP_ID`, `GITHUB_PRIVATE_KEY_SECRET`.
    pub github: GithubConfig,
    /// `PAUSED_COMMANDS`: which command types are not admitted for now.
    pub paused: PausedCommands,
}

impl Config {
    /// Reads the environment; the error names the variable.
    pub fn from_env() -> Result<Self, InvalidEnvironment> {
        Ok(Self {
            stack: environment::stack()?,
            table: environment::read("TABLE")?,
            timeouts: environment::timeouts()?,
            sync_queue: environment::read("SYNC_QUEUE_URL")?,
            scheduled_sync_queue: environment::read("SCHEDULED_SYNC_QUEUE_URL")?,
            analyse_queue: environment::read("ANALYSE_QUEUE_URL")?,
            malformed_queue: environment::read("MALFORMED_QUEUE_URL")?,
            max_receives: environment::positive("MAX_RECEIVES")?.get(),
            github: environment::github()?,
            paused: environment::read("PAUSED_COMMANDS")?,
        })
    }
}
