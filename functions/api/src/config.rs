//! What the function reads from its environment.

use security_agent::{
    environment::{self, InvalidEnvironment},
    lifecycle::Timeouts,
    queue::QueueUrl,
    secrets::SecretName,
};

/// The function's environment.
#[derive(Clone, Debug)]
pub struct Config {
    /// `TABLE`: the one table.
    pub table: String,
    /// `ACCEPTED_TIMEOUT_SECONDS`, `RUNNING_TIMEOUT_SECONDS`, `RETENTION_DAYS`: what commands are written with.
    pub timeouts: Timeouts,
    /// `SYNC_QUEUE_URL`: where syncs are queued.
    pub sync_queue: QueueUrl,
    /// `CURSOR_KEY_SECRET`: the secret whose text seals page cursors.
    pub cursor_key: SecretName,
}

impl Config {
    /// Reads it. A failure names the variable.
    pub fn from_env() -> Result<Self, InvalidEnvironment> {
        Ok(Self {
            table: environment::read("TABLE")?,
            timeouts: environment::timeouts()?,
            sync_queue: environment::read("SYNC_QUEUE_URL")?,
            cursor_key: SecretName::new(environment::read::<String>("CURSOR_KEY_SECRET")?),
        })
    }
}
