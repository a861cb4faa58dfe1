//! Amazon SQS on this machine: one SQLite file behind the JSON protocol of the AWS SDKs.
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
//! An acknowledged message survives a kill of the process. Where SQS leaves room (a standard queue may redeliver,
//! may keep a message deleted with an old handle), this implementation chooses the behaviour that a careless
//! consumer notices most. README.md lists what is missing.

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

/// All queues of one SQLite file. Clones share them.
#[derive(Debug, Clone)]
pub struct Queues {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Mutex<Connection>,
    clock: Clock,
    /// Wakes the receivers that wait for messages, by queue.
    arrivals: Mutex<HashMap<QueueId, Arc<Notify>>>,
}

/// Why the queues could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the file open; only one may.
    #[error("cannot open the queues in {path:?}: another process has them open")]
    InUse {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The file cannot be opened or written, or is not an SQLite database.
    #[error("cannot open or create the queues in {path:?}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The file was written by another version of this crate.
    #[error("cannot open the queues in {path:?}: this version does not support layout {found}")]
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

    /// Creates queues in memory; they disappear with the last clone.
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

    /// Runs `work` in one transaction, commits it on success, and wakes the receivers of the changed queues.
    async fn transact<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Session<'_>) -> Result<T, Error> + Send + 'static,
    {
        let queues = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut connection = lock(&queues.inner.connection);
            // Read under the lock: timestamps must increase in transaction order.
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

/// Locks the mutex, ignoring poisoning: a panic rolls the transaction back, and no change to the map has several
/// steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
