//! The environment, read once by each function's `Config::from_env`. A missing or invalid variable stops the function's
//! start, and the error names the variable.

use std::{
    env,
    fmt::{self, Display},
    num::NonZeroU32,
    str::FromStr,
    time::Duration,
};

use crate::{
    function::FunctionConfig,
    queue::{CommandQueues, QueueUrl},
    worker::WorkerConfig,
};
use domain::{
    command::CommandQueue,
    lifecycle::{LEAST_ACCEPTED, Timeouts},
};
use github::GithubConfig;
use outbound::secrets::SecretName;

/// A variable that cannot be used.
#[derive(thiserror::Error)]
pub enum InvalidEnvironment {
    /// Not set, or not text.
    #[error("environment variable {name} is not set")]
    Missing {
        /// The variable.
        name: &'static str,
    },
    /// Set to an invalid value.
    #[error("environment variable {name} is {value:?}: {problem}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with the value.
        problem: String,
    },
}

// A `main` that returns an error prints its debug form; the person who sets the variable reads it.
impl fmt::Debug for InvalidEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Reads a variable of any type that is parsed from text.
pub fn read<T: FromStr<Err: Display>>(name: &'static str) -> Result<T, InvalidEnvironment> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    let value = env::var(name).map_err(|_| InvalidEnvironment::Missing { name })?;
    value
        .parse()
        .map_err(|problem: T::Err| InvalidEnvironment::Invalid {
            name,
            problem: problem.to_string(),
            value,
        })
}

/// Reads a positive integer.
pub fn positive(name: &'static str) -> Result<NonZeroU32, InvalidEnvironment> {
    let value: String = read(name)?;
    value.parse().map_err(|_| InvalidEnvironment::Invalid {
        name,
        value,
        problem: format!("it must be a positive integer of at most {}", u32::MAX),
    })
}

/// Reads the timeouts that every command is written with.
pub fn timeouts() -> Result<Timeouts, InvalidEnvironment> {
    let seconds = |name| positive(name).map(|value| Duration::from_secs(value.get().into()));
    let retention = positive("RETENTION_DAYS")?.get();
    let accepted = seconds("ACCEPTED_TIMEOUT_SECONDS")?;
    // `template.yaml` rejects such a value; a local trial may want it.
    if accepted < LEAST_ACCEPTED {
        tracing::warn!(
            "ACCEPTED_TIMEOUT_SECONDS is {}, less than {}: commands fail before all re-sends of a lost message",
            accepted.as_secs(),
            LEAST_ACCEPTED.as_secs()
        );
    }
    Ok(Timeouts {
        accepted,
        running: seconds("RUNNING_TIMEOUT_SECONDS")?,
        retention: Duration::from_secs(u64::from(retention) * 86_400),
    })
}

/// Reads GitHub's address and the App's credentials there.
pub fn github() -> Result<GithubConfig, InvalidEnvironment> {
    Ok(GithubConfig {
        base_url: read("GITHUB_API_URL")?,
        api_version: read("GITHUB_API_VERSION")?,
        app_id: read("GITHUB_APP_ID")?,
        private_key: secret("GITHUB_PRIVATE_KEY_SECRET")?,
    })
}

/// Reads the name of a secret.
pub fn secret(name: &'static str) -> Result<SecretName, InvalidEnvironment> {
    read::<String>(name).map(SecretName::new)
}

/// Reads the queues of commands.
pub fn command_queues() -> Result<CommandQueues, InvalidEnvironment> {
    CommandQueues::each(|queue| read(queue.variable()))
}

/// Reads the dead-letter queues of commands.
pub fn dead_letters() -> Result<Vec<QueueUrl>, InvalidEnvironment> {
    let queues = CommandQueue::ALL.into_iter();
    queues
        .map(|queue| read(queue.dead_letters_variable()))
        .collect()
}

/// Reads the configuration that every function with a table has.
pub fn function() -> Result<FunctionConfig, InvalidEnvironment> {
    Ok(FunctionConfig {
        stack: read("STACK")?,
        table: read("TABLE")?,
    })
}

/// Reads the configuration of this queue's worker.
pub fn worker(queue: CommandQueue) -> Result<WorkerConfig, InvalidEnvironment> {
    Ok(WorkerConfig {
        timeouts: timeouts()?,
        queue: read(queue.variable())?,
        malformed_queue: read("MALFORMED_QUEUE_URL")?,
        max_receives: positive("MAX_RECEIVES")?.get(),
    })
}
