//! One running process of a function's binary.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::process::Child;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use crate::data_directory::private_file;

use super::launcher::Launcher;
use super::runtime_api::{Delivery, FunctionError, Message, RuntimeApi};
use crate::template::RecursiveLoop;

/// Lambda's limit for the init phase of a function.
const INITIALISATION: Duration = Duration::from_secs(10);

/// How to start a process of one function.
#[derive(Debug)]
pub(crate) struct Blueprint {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) binary: PathBuf,
    pub(crate) timeout: Duration,
    pub(crate) recursive_loop: RecursiveLoop,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) log: PathBuf,
}

/// An idle process that waits for an invocation.
#[derive(Debug)]
pub(crate) struct Process {
    api: RuntimeApi,
    life: Life,
}

/// A handle to observe a process from outside and to kill it.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) pid: u32,
    /// The time from its start to its first request for work.
    pub(crate) initialised_in: Duration,
    kill: Arc<Notify>,
    exit: watch::Receiver<Option<Exit>>,
}

/// How a process ended; `None` if the system did not report it.
#[derive(Debug, Clone, Copy)]
struct Exit(Option<ExitStatus>);

/// Why a process never became ready.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The listener or the process could not be created.
    #[error("cannot start {binary}")]
    Spawn {
        /// The program.
        binary: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It exited first.
    #[error("it exited with {status} before it was ready{}", said(output))]
    Exited {
        /// Its exit status.
        status: String,
        /// The end of its log.
        output: String,
    },
    /// It reported an initialisation error.
    #[error("it reported that it cannot start{}", said(output))]
    Reported {
        /// The end of its log.
        output: String,
        /// The reported error.
        #[source]
        source: FunctionError,
    },
    /// It exceeded the limit.
    #[error("it was not ready after {} s{}", after.as_secs(), said(output))]
    TooSlow {
        /// The limit.
        after: Duration,
        /// The end of its log.
        output: String,
    },
}

/// Why an invocation returned no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The handler failed; the process keeps running.
    #[error(transparent)]
    Function(FunctionError),
    /// The process was killed at the function's timeout.
    #[error("it took longer than {} s", after.as_secs_f32())]
    TimedOut { after: Duration },
    /// The process ended while it had the invocation.
    #[error("the process ended with {status}")]
    Exited { status: String },
    /// The process ended before it took the invocation, so another process can take it.
    #[error("the process ended before it took the invocation")]
    NotTaken,
}

impl Process {
    /// Starts a process and waits until it requests work.
    pub(crate) async fn start(
        blueprint: &Blueprint,
        launcher: &Launcher,
        access_key: &str,
    ) -> Result<Self, InitError> {
        let spawn_error = |source| InitError::Spawn {
            binary: blueprint.binary.clone(),
            source,
        };
        let api = RuntimeApi::listen().await.map_err(spawn_error)?;
        let (log, log_start) = open_log(&blueprint.log).map_err(spawn_error)?;
        let errors = log.try_clone().map_err(spawn_error)?;
        let began = Instant::now();
        let child = launcher
            .launch(&blueprint.binary, |command| {
                command
                    .envs(&blueprint.environment)
                    .env("AWS_LAMBDA_RUNTIME_API", api.address.to_string())
                    .env("AWS_ACCESS_KEY_ID", access_key)
                    .env("AWS_LAMBDA_LOG_STREAM_NAME", access_key)
                    .stdout(Stdio::from(log))
                    .stderr(Stdio::from(errors));
            })
            .await
            .map_err(spawn_error)?;
        let mut process = Self {
            api,
            life: Life::watch_over(child),
        };
        let output = || written_since(&blueprint.log, log_start);
        let mut life = process.life.clone();
        let ready = async {
            loop {
                tokio::select! {
                    biased;
                    message = process.api.messages.recv() => match message {
                        Some(Message::Ready) => return Ok(()),
                        Some(Message::CannotStart(source)) => {
                            return Err(InitError::Reported { output: output(), source });
                        }
                        Some(Message::Taken | Message::Answered { .. } | Message::Failed { .. }) | None => {}
                    },
                    status = life.ended() => {
                        return Err(InitError::Exited { status, output: output() });
                    }
                }
            }
        };
        match timeout(INITIALISATION, ready).await {
            Ok(Ok(())) => {
                process.life.initialised_in = began.elapsed();
                Ok(process)
            }
            Ok(Err(error)) => {
                process.life.kill_and_wait().await;
                Err(error)
            }
            Err(_) => {
                process.life.kill_and_wait().await;
                Err(InitError::TooSlow {
                    after: INITIALISATION,
                    output: output(),
                })
            }
        }
    }

    /// Runs one invocation and returns its answer.
    pub(crate) async fn run(
        &mut self,
        blueprint: &Blueprint,
        trace_id: String,
        payload: Bytes,
    ) -> Result<Bytes, RunError> {
        let request_id = Uuid::new_v4().to_string();
        let budget = i64::try_from(blueprint.timeout.as_millis()).unwrap_or(i64::MAX);
        let delivery = Delivery {
            request_id: request_id.clone(),
            deadline_ms: Timestamp::now().as_millisecond().saturating_add(budget),
            arn: blueprint.arn.clone(),
            trace_id,
            payload,
        };
        let deadline = Instant::now() + blueprint.timeout;
        if self.api.deliveries.send(delivery).await.is_err() {
            return Err(RunError::NotTaken);
        }
        let mut taken = false;
        loop {
            tokio::select! {
                // Read the answer first: a process may answer and then exit at once.
                biased;
                message = self.api.messages.recv() => match message {
                    Some(Message::Taken) => taken = true,
                    Some(Message::Answered { request_id: id, payload }) if id == request_id => return Ok(payload),
                    Some(Message::Failed { request_id: id, error }) if id == request_id => {
                        return Err(RunError::Function(error));
                    }
                    Some(_) | None => {}
                },
                status = self.life.ended() => {
                    return Err(if taken { RunError::Exited { status } } else { RunError::NotTaken });
                }
                () = sleep_until(deadline) => {
                    self.life.kill_and_wait().await;
                    return Err(RunError::TimedOut { after: blueprint.timeout });
                }
            }
        }
    }

    /// The handle to this process.
    pub(crate) fn life(&self) -> &Life {
        &self.life
    }
}

impl Life {
    /// Spawns a task that notices the end of the process and kills it on request.
    fn watch_over(mut child: Child) -> Self {
        // `id` is `None` only for a child that has been waited for.
        let pid = child.id().unwrap_or_default();
        let kill = Arc::new(Notify::new());
        let (sender, exit) = watch::channel(None);
        let wanted = Arc::clone(&kill);
        tokio::spawn(async move {
            let status = tokio::select! {
                status = child.wait() => status.ok(),
                () = wanted.notified() => {
                    // Fails only if the process has ended already.
                    let _ = child.start_kill();
                    child.wait().await.ok()
                }
            };
            let _ = sender.send(Some(Exit(status)));
        });
        Self {
            pid,
            initialised_in: Duration::ZERO,
            kill,
            exit,
        }
    }

    /// Whether the process is still running.
    pub(crate) fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Kills the process with SIGKILL and returns once it is gone.
    pub(crate) async fn kill_and_wait(&mut self) {
        self.kill.notify_one();
        self.ended().await;
    }

    /// Waits for the end of the process and returns its status as text.
    async fn ended(&mut self) -> String {
        match self.exit.wait_for(Option::is_some).await {
            Ok(exit) => match *exit {
                Some(Exit(Some(status))) => status.to_string(),
                Some(Exit(None)) | None => "an unknown status".to_owned(),
            },
            Err(_) => "the stack".to_owned(),
        }
    }
}

/// Opens the log for appending; returns its length too, to find this process's output later.
fn open_log(path: &std::path::Path) -> io::Result<(File, u64)> {
    let file = private_file(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// Returns the last lines of the log after `start`, as far as they can be read.
fn written_since(path: &std::path::Path, start: u64) -> String {
    const LINES: usize = 12;
    let read = || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(start))?;
        let mut text = Vec::new();
        file.take(64 * 1024).read_to_end(&mut text)?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&text).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines = text.lines().collect::<Vec<_>>();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn said(output: &str) -> String {
    if output.is_empty() {
        ", and wrote nothing".to_owned()
    } else {
        format!(":\n{output}")
    }
}
