//! The function's configuration, from its environment.

use agent::{AgentConfig, CallbackUrl};
use domain::command::CommandQueue;
use github::GithubConfig;
use outbound::secrets::SecretName;
use runtime::{
    environment::{self, InvalidEnvironment},
    function::FunctionConfig,
    worker::WorkerConfig,
};

/// The function's configuration, as set by template.yaml.
#[derive(Clone, Debug)]
pub struct Config {
    /// `STACK`, `TABLE`.
    pub function: FunctionConfig,
    /// `ANALYSE_QUEUE_URL` for launches of analyses, `MALFORMED_QUEUE_URL`, `MAX_RECEIVES`, `ACCEPTED_TIMEOUT_SECONDS`,
    /// `RUNNING_TIMEOUT_SECONDS`, `RETENTION_DAYS`.
    pub worker: WorkerConfig,
    /// `GITHUB_API_URL`, `GITHUB_API_VERSION`, `GITHUB_APP_ID`, `GITHUB_PRIVATE_KEY_SECRET`.
    pub github: GithubConfig,
    /// `AGENT_URL`, `AGENT_TOKEN_SECRET`.
    pub agent: AgentConfig,
    /// `CALLBACK_URL`: the URL for the agent's callbacks.
    pub callback_url: CallbackUrl,
    /// `CALLBACK_KEYS_SECRET`: the keys that sign callback tokens.
    pub callback_keys: SecretName,
}

impl Config {
    /// Reads the environment; the error names the variable.
    pub fn from_env() -> Result<Self, InvalidEnvironment> {
        Ok(Self {
            function: environment::function()?,
            worker: environment::worker(CommandQueue::Analyse)?,
            github: environment::github()?,
            agent: AgentConfig {
                base_url: environment::read("AGENT_URL")?,
                token: environment::secret("AGENT_TOKEN_SECRET")?,
            },
            callback_url: environment::read("CALLBACK_URL")?,
            callback_keys: environment::secret("CALLBACK_KEYS_SECRET")?,
        })
    }
}
