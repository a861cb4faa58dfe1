//! Amazon SQS on this machine: one SQLite file behind the JSON protocol the AWS SDKs speak.
//!
//! ```no_run
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let queues = local_sqs::Queues::open("queues.db".as_ref())?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:9324").await?;
//! axum::serve(listener, queues.router()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! What has been acknowledged to a sender survives the death of the process. Where SQS leaves room (a standard
//! queue may deliver again, may keep a message deleted with an old handle), the answer least convenient to a
//! careless consumer is given; README.md lists what is absent.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::error::Error;
use crate::store::{QueueId, Session};

mod api;
mod clock;
mod error;
mod message;
mod name;
mod receipt;
mod settings;
mod store;
#[cfg(test)]
mod tests;

/// All queues of one SQLite file. Clones share it.
#[derive(Debug, Clone)]
pub struct Queues {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Mutex<Connection>,
    clock: Clock,
    /// Who waits for messages, by queue.
    arrivals: Mutex<HashMap<QueueId, Arc<Notify>>>,
}

/// Why the queues could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// One process at a time owns the file.
    #[error("the queues in {path:?} are open in another process")]
    InUse {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file cannot be opened or written, or is no SQLite database.
    #[error("cannot open or create the queues in {path:?}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file was written by another version of this crate.
    #[error("the queues in {path:?} have layout {found}, which this version does not know")]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The `user_version` of the file.
        found: i32,
    },
}

impl Queues {
    /// Opens or creates the file.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self::new(store::open(Some(path))?, Clock::System))
    }

    /// Queues that are gone with the last clone.
    pub fn memory() -> Result<Self, OpenError> {
        Ok(Self::new(store::open(None)?, Clock::System))
    }

    /// Serves the SQS JSON protocol at `POST /`. Queue URLs name the host the request was sent to.
    pub fn router(&self) -> axum::Router {
        api::router(self.clone())
    }

    fn new(connection: Connection, clock: Clock) -> Self {
        Self {
            inner: Arc::new(Inner {
                connection: Mutex::new(connection),
                clock,
                arrivals: Mutex::default(),
            }),
        }
    }

    /// Runs `work` in one transaction, which is kept if it succeeds, and wakes the receivers it concerns.
    async fn transact<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Session<'_>) -> Result<T, Error> + Send + 'static,
    {
        let queues = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut connection = lock(&queues.inner.connection);
            // The clock is read under the lock, so that transactions see time in their own order.
            let mut session = Session::begin(&mut connection, queues.inner.clock.now())?;
            let done = work(&mut session)?;
            let stirred = session.commit()?;
            drop(connection);
            let arrivals = lock(&queues.inner.arrivals);
            for queue in stirred {
                if let Some(waiting) = arrivals.get(&queue) {
                    waiting.notify_waiters();
                }
            }
            Ok(done)
        })
        .await?
    }

    fn arrivals(&self, queue: QueueId) -> Arc<Notify> {
        lock(&self.inner.arrivals).entry(queue).or_default().clone()
    }

    fn forget_arrivals(&self, queue: QueueId) {
        lock(&self.inner.arrivals).remove(&queue);
    }
}

/// A panic cannot leave either half-changed: the transaction is rolled back, the map only ever grows or shrinks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
