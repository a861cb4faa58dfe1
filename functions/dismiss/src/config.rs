//! The function's environment variables.

use domain::command::CommandQueue;
use github::GithubConfig;
use runtime::{
    environment::{self, InvalidEnvironment},
    function::FunctionConfig,
    worker::WorkerConfig,
};

/// The function's configuration, as template.yaml sets it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `STACK`, `TABLE`.
    pub function: FunctionConfig,
    /// `DISMISS_QUEUE_URL` for dismissals, `MALFORMED_QUEUE_URL`, `MAX_RECEIVES`, `ACCEPTED_TIMEOUT_SECONDS`,
    /// `RUNNING_TIMEOUT_SECONDS`, `RETENTION_DAYS`.
    pub worker: WorkerConfig,
    /// `GITHUB_API_URL`, `GITHUB_API_VERSION`, `GITHUB_APP_ID`, `GITHUB_PRIVATE_KEY_SECRET`.
    pub github: GithubConfig,
}

impl Config {
    /// Reads the environment; the error names the variable.
    pub fn from_env() -> Result<Self, InvalidEnvironment> {
        Ok(Self {
            function: environment::function()?,
            worker: environment::worker(CommandQueue::Dismiss)?,
            github: environment::github()?,
        })
    }
}
