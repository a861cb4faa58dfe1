//! The SQLite file of the queues, and transactions on it.

mod messages;
mod queues;
mod receive;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql, Transaction, TransactionBehavior};

use crate::OpenError;
use crate::clock::Timestamp;

pub(crate) use messages::Sent;
pub(crate) use queues::{Counts, Queue};
pub(crate) use receive::{Received, Wanted};

const VERSION: i32 = 1;

/// `visible_at` and `receipt` define a message's state. Visible: `visible_at` has passed. In flight: it has not,
/// and there is a receipt. Delayed: it has not, and there is no receipt. AUTOINCREMENT never reuses an id, so an
/// old handle cannot name a new message.
const SCHEMA: &str = "
CREATE TABLE queue (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  attributes TEXT NOT NULL,
  tags TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  modified_at INTEGER NOT NULL,
  purged_at INTEGER
) STRICT;
CREATE TABLE message (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  queue INTEGER NOT NULL REFERENCES queue ON DELETE CASCADE,
  message_id TEXT NOT NULL,
  body TEXT NOT NULL,
  attributes TEXT NOT NULL,
  trace_header TEXT,
  group_id TEXT,
  deduplication_id TEXT,
  sent_at INTEGER NOT NULL,
  visible_at INTEGER NOT NULL,
  receipt TEXT,
  received_at INTEGER,
  first_received_at INTEGER,
  receives INTEGER NOT NULL DEFAULT 0,
  receives_elsewhere INTEGER NOT NULL DEFAULT 0,
  dead_letter_source TEXT
) STRICT;
CREATE TABLE deduplication (
  queue INTEGER NOT NULL REFERENCES queue ON DELETE CASCADE,
  scope TEXT NOT NULL,
  deduplication_id TEXT NOT NULL,
  message_id TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  sent_at INTEGER NOT NULL,
  PRIMARY KEY (queue, scope, deduplication_id)
) STRICT, WITHOUT ROWID;
";

/// Created if missing on every start; a change of an index needs no new version.
const INDEXES: &str = "
CREATE INDEX IF NOT EXISTS message_by_visibility ON message (queue, visible_at);
CREATE INDEX IF NOT EXISTS message_by_age ON message (queue, sent_at);
CREATE INDEX IF NOT EXISTS message_by_turn ON message (queue, group_id, visible_at);
DROP INDEX IF EXISTS message_by_group;
";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct QueueId(pub(crate) i64);

/// The rowid of a message. It increases with every send, so it is also the message order and the sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageRow(pub(crate) i64);

impl MessageRow {
    /// Formatted with twenty digits, as SQS does.
    pub(crate) fn sequence_number(self) -> String {
        format!("{:020}", self.0)
    }
}

pub(crate) fn open(path: Option<&Path>) -> Result<Connection, OpenError> {
    let named = || path.unwrap_or(Path::new(":memory:")).to_owned();
    let connect = || -> rusqlite::Result<(Connection, i32)> {
        let connection = match path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        // Only one process may open the file: its long polls would not notice another process's sends. The timeout
        // gives a dying predecessor time to release the lock before this open fails.
        connection.busy_timeout(Duration::from_secs(1))?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // In WAL mode a commit survives a kill of the process with NORMAL too. FULL also survives a power failure,
        // and halves the sends per second (README).
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((connection, version))
    };
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse {
            path: named(),
            source,
        },
        _ => OpenError::Unusable {
            path: named(),
            source,
        },
    };

    let (mut connection, version) = connect().map_err(failed)?;
    match version {
        VERSION => {}
        0 => {
            let create = |connection: &mut Connection| {
                let transaction =
                    connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "user_version", VERSION)?;
                transaction.commit()
            };
            create(&mut connection).map_err(failed)?;
        }
        found => {
            return Err(OpenError::OtherVersion {
                path: named(),
                found,
            });
        }
    }
    connection.execute_batch(INDEXES).map_err(failed)?;
    Ok(connection)
}

/// One transaction with one timestamp.
#[derive(Debug)]
pub(crate) struct Session<'c> {
    transaction: Transaction<'c>,
    pub(crate) now: Timestamp,
    stirred: BTreeSet<QueueId>,
}

impl<'c> Session<'c> {
    pub(crate) fn begin(connection: &'c mut Connection, now: Timestamp) -> rusqlite::Result<Self> {
        Ok(Self {
            transaction: connection.transaction_with_behavior(TransactionBehavior::Immediate)?,
            now,
            stirred: BTreeSet::new(),
        })
    }

    /// Commits. Returns the queues whose waiting receivers may now find a message.
    pub(crate) fn commit(self) -> rusqlite::Result<BTreeSet<QueueId>> {
        self.transaction.commit()?;
        Ok(self.stirred)
    }
}

impl ToSql for QueueId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for QueueId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}

impl ToSql for MessageRow {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for MessageRow {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}
