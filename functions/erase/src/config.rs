//! The function's configuration, from its environment.

use agent::AgentConfig;
use domain::lifecycle::Timeouts;
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
    /// `ERASE_QUEUE_URL`: the queue of erasures.
    pub queue: QueueUrl,
    /// `MALFORMED_QUEUE_URL`: the queue of messages that cannot be parsed.
    pub malformed_queue: QueueUrl,
    /// `AGENT_URL`, `AGENT_TOKEN_SECRET`: the analysis service, whose sessions are interrupted.
    pub agent: AgentConfig,
}

impl Config {
    /// Reads the environment; the error names the variable.
    pub fn from_env() -> Result<Self, InvalidEnvironment> {
        Ok(Self {
            function: environment::function()?,
            timeouts: environment::timeouts()?,
            queue: environment::read("ERASE_QUEUE_URL")?,
            malformed_queue: environment::read("MALFORMED_QUEUE_URL")?,
            agent: AgentConfig {
                base_url: environment::read("AGENT_URL")?,
                token: environment::secret("AGENT_TOKEN_SECRET")?,
            },
        })
    }
}
