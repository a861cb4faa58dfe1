//! The functions of the stack: the real binaries behind a Lambda runtime API.

mod chain;
mod concurrency;
mod launcher;
mod pool;
mod process;
mod runtime_api;

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backoff::{Backoff, Jitter};
use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use tokio::time::Instant;

pub use pool::{InvokeError, Status};
pub use process::InitError;
pub use runtime_api::FunctionError;

use crate::template::{Function, Topology};
pub(crate) use chain::Chain;
use concurrency::Account;
pub use concurrency::ReservationError;
use launcher::Launcher;
use pool::Pool;
use process::Blueprint;

/// The most processes of a function that HTTP routes invoke.
const HTTP_PROCESSES: u32 = 8;
/// The most processes of any other function, for each queue that invokes it.
pub(crate) const PROCESSES: u32 = 4;

/// The pauses between tries of a throttled invocation that nobody waits for. Lambda's own are documented as growing.
pub(crate) const THROTTLED: Backoff = Backoff {
    longest: Duration::from_secs(5),
    ..Backoff::doubling(Duration::from_millis(200), Jitter::Half)
};

/// The environment that functions run in.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The folder with the binaries.
    pub binaries: PathBuf,
    /// The folder for the log files.
    pub logs: PathBuf,
    /// The AWS region.
    pub region: String,
    /// The address of DynamoDB, SQS and Secrets Manager.
    pub aws: String,
    /// The account's concurrency; unlimited without one.
    pub concurrency: Option<NonZeroU32>,
}

/// Why the functions cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The thread that starts processes cannot be started.
    #[error("cannot start the thread that starts the functions")]
    Launcher(#[from] io::Error),
    /// Lambda would refuse the reservations.
    #[error(transparent)]
    Reservation(#[from] ReservationError),
}

/// Every function, by name.
#[derive(Debug)]
pub struct Functions {
    pools: BTreeMap<String, (Pool, u32)>,
}

impl Functions {
    /// Prepares a pool for every function; starts no process yet.
    pub fn new(topology: &Topology, surroundings: &Surroundings) -> Result<Self, PrepareError> {
        let account = Account::new(topology, surroundings.concurrency)?;
        let launcher = Arc::new(Launcher::start()?);
        let pools = topology
            .functions
            .iter()
            .map(|function| {
                let limit = process_limit(topology, &function.name);
                let pool = Pool::new(
                    blueprint(function, surroundings),
                    Arc::clone(&launcher),
                    limit as usize,
                    account.limit(function),
                );
                (function.name.clone(), (pool, limit))
            })
            .collect();
        Ok(Self { pools })
    }

    /// Starts one process of every function, so that a function that cannot start fails early.
    pub async fn warm_up(&self) -> Result<(), InvokeError> {
        try_join_all(self.pools.values().map(|(pool, _)| pool.warm_up())).await?;
        Ok(())
    }

    /// Invokes a function for an event that no invocation has caused, and returns its answer.
    pub async fn invoke(&self, name: &str, payload: Bytes) -> Result<Bytes, InvokeError> {
        self.invoke_after(&Chain::default(), name, payload).await
    }

    /// Invokes a function for an event that this chain of invocations has caused, and returns its answer.
    pub(crate) async fn invoke_after(
        &self,
        chain: &Chain,
        name: &str,
        payload: Bytes,
    ) -> Result<Bytes, InvokeError> {
        match self.pools.get(name) {
            Some((pool, _)) => pool.invoke(chain, payload).await,
            None => Err(InvokeError::NoSuchFunction {
                name: name.to_owned(),
            }),
        }
    }

    /// The processes and counters of every function.
    pub fn status(&self) -> Vec<Status> {
        self.pools.values().map(|(pool, _)| pool.status()).collect()
    }

    /// Kills the process that signs with this access key and returns once it is gone. Returns `false` if there is
    /// none.
    pub async fn kill(&self, access_key: &str) -> bool {
        let life = function_of(access_key)
            .and_then(|name| self.pools.get(name))
            .and_then(|(pool, _)| pool.life(access_key));
        match life {
            Some(mut life) => {
                life.kill_and_wait().await;
                true
            }
            None => false,
        }
    }

    /// Stops every process: immediately if it is idle, after its invocation if that ends in time, otherwise with
    /// SIGKILL.
    pub async fn stop(&self, call_timeouts: Duration) {
        let call_timeouts = Instant::now() + call_timeouts;
        join_all(
            self.pools
                .values()
                .map(|(pool, limit)| pool.stop(call_timeouts, *limit)),
        )
        .await;
    }
}

/// The function whose processes sign with the access key `<function>-<number>`.
pub fn function_of(access_key: &str) -> Option<&str> {
    let (name, number) = access_key.rsplit_once('-')?;
    number.parse::<u64>().is_ok().then_some(name)
}

/// Gives each queue its own share, so that one queue's backlog does not block another queue.
fn process_limit(topology: &Topology, name: &str) -> u32 {
    if topology.routes.iter().any(|route| route.function == name) {
        return HTTP_PROCESSES;
    }
    let shares: u32 = topology
        .mappings
        .iter()
        .filter(|mapping| mapping.function == name)
        .map(|mapping| {
            mapping
                .maximum_concurrency
                .map_or(PROCESSES, |most| most.get().min(PROCESSES))
        })
        .sum();
    shares.max(PROCESSES)
}

fn blueprint(function: &Function, surroundings: &Surroundings) -> Blueprint {
    Blueprint {
        name: function.name.clone(),
        arn: function.arn.clone(),
        binary: surroundings.binaries.join(&function.binary),
        timeout: function.timeout,
        recursive_loop: function.recursive_loop,
        environment: environment(function, surroundings),
        log: surroundings.logs.join(format!("{}.log", function.name)),
    }
}

/// Merges the variables that Lambda sets with those of the template; the template's win.
fn environment(function: &Function, surroundings: &Surroundings) -> BTreeMap<String, String> {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut environment = BTreeMap::from([
        set("AWS_LAMBDA_FUNCTION_NAME", &function.name),
        set(
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            &function.memory.to_string(),
        ),
        set("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        set("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        set(
            "AWS_LAMBDA_LOG_GROUP_NAME",
            &format!("/aws/lambda/{}", function.name),
        ),
        set("AWS_REGION", &surroundings.region),
        set("AWS_DEFAULT_REGION", &surroundings.region),
        set("AWS_SECRET_ACCESS_KEY", "local"),
        set("AWS_SESSION_TOKEN", "local"),
        // The user's shared AWS configuration must not reach a function.
        set("AWS_CONFIG_FILE", "/dev/null"),
        set("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        set("AWS_EC2_METADATA_DISABLED", "true"),
        set("AWS_ENDPOINT_URL_DYNAMODB", &surroundings.aws),
        set("AWS_ENDPOINT_URL_SQS", &surroundings.aws),
        set("AWS_ENDPOINT_URL_SECRETS_MANAGER", &surroundings.aws),
        set("LAMBDA_TASK_ROOT", &surroundings.binaries.to_string_lossy()),
        set("_HANDLER", "bootstrap"),
        set("TZ", ":UTC"),
        set("LANG", "en_US.UTF-8"),
    ]);
    if let Some(format) = &function.log_format {
        environment.insert("AWS_LAMBDA_LOG_FORMAT".to_owned(), format.clone());
    }
    if let Some(level) = &function.log_level {
        environment.insert("AWS_LAMBDA_LOG_LEVEL".to_owned(), level.clone());
    }
    environment.extend(function.environment.clone());
    // The template names the CA bundle of Lambda's operating system, which this machine may not have.
    environment.retain(|name, value| name != "SSL_CERT_FILE" || Path::new(value).exists());
    environment
}
