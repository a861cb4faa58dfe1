//! A simulator of the analysis service, the agent.
//!
//! It launches sessions that analyse nothing: after a moment each calls back with a result that follows from the
//! finding alone. The README says what it simulates and what it does not.

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
mod caller;
mod delivery;
mod faults;
mod finding;
mod journal;
mod local;
mod request;
mod session;
mod sessions;
mod verdict;

use caller::Caller;
use faults::Operations;
use journal::Journal;
use sessions::Sessions;

/// The agent. Clones are the same simulator; what it does in the background ends with the last of them, or with
/// the runtime.
#[derive(Clone)]
pub struct Simulator {
    world: Arc<World>,
    _until_dropped: Arc<DropGuard>,
}

struct World {
    /// Of the token that callers must show.
    token_digest: [u8; 32],
    /// Between a launch and its callback.
    pause: Duration,
    sessions: Mutex<Sessions>,
    faults: Faults<Operations>,
    caller: Caller,
    deliveries: TaskTracker,
    stop: CancellationToken,
}

/// Why the simulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The state file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The state file holds something else.
    #[error("cannot understand {path}, line {line}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The state file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no client to call back with.
    #[error("cannot make an HTTP client")]
    Client {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

impl Simulator {
    /// Takes up the sessions of the state file; without one, every start knows no session.
    ///
    /// `token` is what callers must show, and `pause` passes between a launch and its callback. Nothing is called
    /// back for the sessions taken up before [`Simulator::resume`].
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

    /// Makes the callbacks that sessions of an earlier run still owe. Repeating it changes nothing.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
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

    /// The endpoints under `/local/agent` that register faults, show the sessions and send callbacks by hand.
    pub fn local_router(&self) -> Router {
        local::router(self.clone())
    }

    /// Ends the callbacks that sessions are making and returns when none is left. Repeating it changes nothing.
    ///
    /// What is still owed then, or is launched later, is called back only by a simulator that opens the state file
    /// again.
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

/// Work that waits for the disk.
async fn on_disk<T: Send + 'static>(
    world: &Arc<World>,
    work: impl FnOnce(&mut Sessions) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let world = Arc::clone(world);
    let worked = tokio::task::spawn_blocking(move || work(&mut locked(&world.sessions))).await;
    worked.unwrap_or_else(|error| Err(io::Error::other(error)))
}
