//! A simulator of the analysis service, the agent.
//!
//! It launches sessions that analyse nothing: after a pause each sends a callback with a result that depends only on the
//! finding. The README lists what it simulates and what it does not.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use sha2::{Digest as _, Sha256};
use simulation::{Faults, locked};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

mod answer;
mod api;
mod callback;
mod caller;
mod delivery;
mod faults;
mod finding;
mod journal;
mod local;
mod request;
mod session;
mod sessions;
mod time;
mod verdict;

use caller::Caller;
use faults::Operations;
use journal::Journal;
use sessions::Sessions;

/// The agent. Clones share one simulator; its background work ends with the last clone or with the runtime.
#[derive(Clone)]
pub struct Simulator {
    world: Arc<World>,
    _until_dropped: Arc<DropGuard>,
}

struct World {
    /// SHA-256 of the token that callers must present.
    token_digest: [u8; 32],
    /// The time between a launch and its callback.
    pause: Duration,
    sessions: Mutex<Sessions>,
    faults: Faults<Operations>,
    caller: Caller,
    deliveries: TaskTracker,
    stop: CancellationToken,
}

/// Why the simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The state file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The state file has invalid content.
    #[error("invalid session in {path}, line {line}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The parser's error.
        #[source]
        source: serde_json::Error,
    },
    /// The state file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The HTTP client for callbacks could not be created.
    #[error("cannot create the HTTP client for callbacks")]
    Client {
        /// The client's error.
        #[source]
        source: reqwest::Error,
    },
}

impl Simulator {
    /// Loads the sessions of the state file. Without a state file, every start begins without sessions.
    ///
    /// Callers must present `token`; `pause` is the time between a launch and its callback. Loaded sessions make no
    /// callbacks until [`Simulator::resume`].
    pub fn open(state: Option<&Path>, token: &str, pause: Duration) -> Result<Self, OpenError> {
        let (journal, saved) = match state {
            Some(path) => Journal::open(path)?,
            None => (Journal::ephemeral(), Vec::new()),
        };
        let stop = CancellationToken::new();
        let world = World {
            token_digest: Sha256::digest(token).into(),
            pause,
            sessions: Mutex::new(Sessions::new(journal, saved)),
            faults: Faults::default(),
            caller: Caller::new().map_err(|source| OpenError::Client { source })?,
            deliveries: TaskTracker::new(),
            stop: stop.clone(),
        };
        Ok(Self {
            world: Arc::new(world),
            _until_dropped: Arc::new(stop.drop_guard()),
        })
    }

    /// Makes the callbacks that sessions of an earlier run still owe. Idempotent.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime.
    pub fn resume(&self) {
        let sessions = locked(&self.world.sessions);
        let ids: Vec<Uuid> = sessions
            .iter()
            .map(|session| session.cloud_agent_session_id)
            .collect();
        drop(sessions);
        for id in ids {
            delivery::begin(&self.world, id);
        }
    }

    /// The agent's API, to be served at the root of its own address.
    pub fn router(&self) -> Router {
        api::router(self.clone())
    }

    /// The endpoints under `/local/agent`: register faults, list sessions, send callbacks manually.
    pub fn local_router(&self) -> Router {
        local::router(self.clone())
    }

    /// Cancels the callbacks in progress and returns when none is left. Idempotent.
    ///
    /// Callbacks that are still owed, or belong to later launches, are made only by a simulator that opens the
    /// state file again.
    pub async fn stop(&self) {
        self.world.stop.cancel();
        self.world.deliveries.close();
        self.world.deliveries.wait().await;
    }
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Simulator")
            .field("sessions", &locked(&self.world.sessions).iter().count())
            .finish_non_exhaustive()
    }
}

/// Runs work that waits for the disk on a blocking thread.
async fn on_disk<T: Send + 'static>(
    world: &Arc<World>,
    work: impl FnOnce(&mut Sessions) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let world = Arc::clone(world);
    let worked = tokio::task::spawn_blocking(move || work(&mut locked(&world.sessions))).await;
    worked.unwrap_or_else(|error| Err(io::Error::other(error)))
}
