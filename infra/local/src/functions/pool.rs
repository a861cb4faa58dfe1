//! The processes of one function: started on demand, reused while they live, replaced when they die.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{error, warn};

use super::chain::Chain;
use super::concurrency::Limit;
use super::launcher::Launcher;
use super::process::{Blueprint, InitError, Life, Process, RunError};
use super::runtime_api::FunctionError;
use crate::template::RecursiveLoop;

/// The backoff after the first failed start; it doubles up to `LONGEST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Why an invocation failed.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// There is no such function.
    #[error("there is no function {name}")]
    NoSuchFunction {
        /// The requested name.
        name: String,
    },
    /// The handler returned an error or panicked.
    #[error("function {name} failed")]
    Function {
        /// The function.
        name: String,
        /// The error that it reported.
        #[source]
        source: FunctionError,
    },
    /// The invocation exceeded the function's timeout, and its process was killed.
    #[error("function {name} was killed after its timeout of {} s", after.as_secs())]
    TimedOut {
        /// The function.
        name: String,
        /// The function's timeout.
        after: Duration,
    },
    /// The process ended during the invocation.
    #[error("a process of function {name} ended with {status}")]
    Exited {
        /// The function.
        name: String,
        /// Its exit status.
        status: String,
    },
    /// No process could be started.
    #[error("function {name} cannot start")]
    Init {
        /// The function.
        name: String,
        /// The cause.
        #[source]
        source: Arc<InitError>,
    },
    /// Lambda throttles the invocation: the account's or the function's concurrency is used up.
    #[error("function {name} was not invoked: its concurrency is used up")]
    Throttled {
        /// The function.
        name: String,
    },
    /// Lambda takes the invocation for a part of an endless loop, and drops it.
    #[error(
        "function {name} was not invoked: it ran 16 times in this chain of requests and its RecursiveLoop is not Allow"
    )]
    Recursive {
        /// The function.
        name: String,
    },
    /// The stack is stopping.
    #[error("cannot invoke function {name}: the stack is stopping")]
    Stopping {
        /// The function.
        name: String,
    },
}

/// One function's part of the answer to `GET /local/functions`.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The folder under `functions/`.
    pub name: String,
    /// The pids of its running processes.
    pub pids: Vec<u32>,
    /// Each process's time from start to its first request for work, in milliseconds: Lambda's Init Duration.
    #[serde(rename = "initMs")]
    pub init_ms: Vec<f64>,
    /// Number of invocations.
    pub invocations: u64,
    /// Number of failed invocations, timeouts included.
    pub errors: u64,
    /// Number of invocations that exceeded the timeout.
    pub timeouts: u64,
    /// Number of invocations that Lambda refused, because the concurrency was used up.
    pub throttles: u64,
    /// Number of events without an invocation, because it would have been part of a recursive loop.
    #[serde(rename = "recursiveInvocationsDropped")]
    pub recursive_invocations_dropped: u64,
}

/// The processes of one function.
#[derive(Debug)]
pub(crate) struct Pool {
    blueprint: Blueprint,
    launcher: Arc<Launcher>,
    /// One permit per process that may run at the same time.
    slots: Semaphore,
    concurrency: Limit,
    idle: Mutex<Vec<Process>>,
    running: Mutex<BTreeMap<String, Life>>,
    failed_start: Mutex<Option<FailedStart>>,
    started: AtomicU64,
    invocations: AtomicU64,
    errors: AtomicU64,
    timeouts: AtomicU64,
    throttles: AtomicU64,
    recursive_invocations_dropped: AtomicU64,
}

/// The function could not start; the pool does not retry before `until`.
#[derive(Debug, Clone)]
struct FailedStart {
    error: Arc<InitError>,
    pause: Duration,
    until: Instant,
}

impl Pool {
    pub(crate) fn new(
        blueprint: Blueprint,
        launcher: Arc<Launcher>,
        limit: usize,
        concurrency: Limit,
    ) -> Self {
        Self {
            blueprint,
            launcher,
            slots: Semaphore::new(limit),
            concurrency,
            idle: Mutex::default(),
            running: Mutex::default(),
            failed_start: Mutex::default(),
            started: AtomicU64::new(0),
            invocations: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            throttles: AtomicU64::new(0),
            recursive_invocations_dropped: AtomicU64::new(0),
        }
    }

    /// Starts one process before the first invocation.
    pub(crate) async fn warm_up(&self) -> Result<(), InvokeError> {
        let _slot = self.slot().await?;
        let process = self.process().await?;
        lock(&self.idle).push(process);
        Ok(())
    }

    /// Invokes the function as the next of this chain and returns its answer.
    pub(crate) async fn invoke(&self, chain: &Chain, payload: Bytes) -> Result<Bytes, InvokeError> {
        self.stop_loop(chain)?;
        let _slot = self.slot().await?;
        let Some(_running) = self.concurrency.enter() else {
            self.throttles.fetch_add(1, Ordering::Relaxed);
            let name = self.blueprint.name.clone();
            return Err(InvokeError::Throttled { name });
        };
        self.invocations.fetch_add(1, Ordering::Relaxed);
        let result = self.run(chain, payload).await;
        if let Err(error) = &result {
            self.errors.fetch_add(1, Ordering::Relaxed);
            if matches!(error, InvokeError::TimedOut { .. }) {
                self.timeouts.fetch_add(1, Ordering::Relaxed);
            }
            warn!(function = self.blueprint.name, "{}", crate::chain(error));
        }
        result
    }

    fn stop_loop(&self, chain: &Chain) -> Result<(), InvokeError> {
        let name = &self.blueprint.name;
        match self.blueprint.recursive_loop {
            RecursiveLoop::Terminate if chain.has_looped(name) => {
                self.recursive_invocations_dropped
                    .fetch_add(1, Ordering::Relaxed);
                let error = InvokeError::Recursive { name: name.clone() };
                warn!(function = name, "{error}");
                Err(error)
            }
            RecursiveLoop::Terminate | RecursiveLoop::Allow => Ok(()),
        }
    }

    async fn run(&self, chain: &Chain, payload: Bytes) -> Result<Bytes, InvokeError> {
        let name = || self.blueprint.name.clone();
        loop {
            let mut process = self.process().await?;
            let trace = chain.header(&self.blueprint.name);
            let result = process.run(&self.blueprint, trace, payload.clone()).await;
            if process.life().is_running() {
                lock(&self.idle).push(process);
            }
            match result {
                Ok(answer) => return Ok(answer),
                // The process died while it was idle: retry with another idle process, or with a new one.
                Err(RunError::NotTaken) if !self.slots.is_closed() => {}
                Err(RunError::NotTaken) => return Err(InvokeError::Stopping { name: name() }),
                Err(RunError::Function(source)) => {
                    return Err(InvokeError::Function {
                        name: name(),
                        source,
                    });
                }
                Err(RunError::TimedOut { after }) => {
                    return Err(InvokeError::TimedOut {
                        name: name(),
                        after,
                    });
                }
                Err(RunError::Exited { status }) => {
                    return Err(InvokeError::Exited {
                        name: name(),
                        status,
                    });
                }
            }
        }
    }

    async fn slot(&self) -> Result<tokio::sync::SemaphorePermit<'_>, InvokeError> {
        self.slots
            .acquire()
            .await
            .map_err(|_| InvokeError::Stopping {
                name: self.blueprint.name.clone(),
            })
    }

    /// Returns an idle process, or else starts one.
    async fn process(&self) -> Result<Process, InvokeError> {
        while let Some(process) = lock(&self.idle).pop() {
            if process.life().is_running() {
                return Ok(process);
            }
        }
        let init_error = |source| InvokeError::Init {
            name: self.blueprint.name.clone(),
            source,
        };
        let earlier = lock(&self.failed_start).clone();
        if let Some(failed_start) = earlier
            .as_ref()
            .filter(|failed_start| Instant::now() < failed_start.until)
        {
            return Err(init_error(Arc::clone(&failed_start.error)));
        }
        let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        let access_key = format!("{}-{number}", self.blueprint.name);
        match Process::start(&self.blueprint, &self.launcher, &access_key).await {
            Ok(process) => {
                *lock(&self.failed_start) = None;
                let mut running = lock(&self.running);
                running.retain(|_, life| life.is_running());
                running.insert(access_key, process.life().clone());
                Ok(process)
            }
            Err(error) => {
                let error = Arc::new(error);
                let pause = earlier.map_or(FIRST_PAUSE, |failed_start| {
                    (failed_start.pause * 2).min(LONGEST_PAUSE)
                });
                error!(
                    function = self.blueprint.name,
                    pause_ms = pause.as_millis(),
                    "cannot start the function: {}",
                    crate::chain(&*error)
                );
                *lock(&self.failed_start) = Some(FailedStart {
                    error: Arc::clone(&error),
                    pause,
                    until: Instant::now() + pause,
                });
                Err(init_error(error))
            }
        }
    }

    /// The process that signs with this access key.
    pub(crate) fn life(&self, access_key: &str) -> Option<Life> {
        lock(&self.running).get(access_key).cloned()
    }

    pub(crate) fn status(&self) -> Status {
        let (pids, init_ms) = lock(&self.running)
            .values()
            .filter(|life| life.is_running())
            .map(|life| (life.pid, life.initialised_in.as_secs_f64() * 1000.0))
            .unzip();
        Status {
            name: self.blueprint.name.clone(),
            pids,
            init_ms,
            invocations: self.invocations.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            timeouts: self.timeouts.load(Ordering::Relaxed),
            throttles: self.throttles.load(Ordering::Relaxed),
            recursive_invocations_dropped: self
                .recursive_invocations_dropped
                .load(Ordering::Relaxed),
        }
    }

    /// Blocks new starts and waits until the running invocations have ended, or until `call_timeouts`.
    pub(crate) async fn stop(&self, call_timeouts: Instant, limit: u32) {
        // Holding all permits means that no process runs an invocation.
        let _ = tokio::time::timeout_at(call_timeouts, self.slots.acquire_many(limit)).await;
        self.slots.close();
        let lives = lock(&self.running).values().cloned().collect::<Vec<_>>();
        for mut life in lives {
            life.kill_and_wait().await;
        }
    }
}

/// Ignores poisoning: the data behind these locks is consistent wherever a panic could happen.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
