//! What the function reads from its environment.

use domain::lifecycle::Timeouts;
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
    /// `SYNC_DEAD_LETTER_QUEUE_URL`: messages of commands that no delivery could settle.
    pub sync_dead_letters: QueueUrl,
    /// `DISMISS_DEAD_LETTER_QUEUE_URL`: dismissals that no delivery could settle.
    pub dismiss_dead_letters: QueueUrl,
    /// `ANALYSE_DEAD_LETTER_QUEUE_URL`: launches that no delivery could settle.
    pub analyse_dead_letters: QueueUrl,
    /// `MALFORMED_QUEUE_URL`: what nobody can read.
    pub malformed_queue: QueueUrl,
}

impl Config {
    /// Reads the environment; the error names the variable.
    pub fn from_env() -> Result<Self, InvalidEnvironment> {
        Ok(Self {
            function: environment::function()?,
            timeouts: environment::timeouts()?,
            sync_dead_letters: environment::read("SYNC_DEAD_LETTER_QUEUE_URL")?,
            dismiss_dead_letters: environment::read("DISMISS_DEAD_LETTER_QUEUE_URL")?,
            analyse_dead_letters: environment::read("ANALYSE_DEAD_LETTER_QUEUE_URL")?,
            malformed_queue: environment::read("MALFORMED_QUEUE_URL")?,
        })
    }
}
