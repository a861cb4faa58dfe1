//! Time with SQS's resolution of one millisecond. Only this module reads the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};

/// A duration in seconds, as queue attributes and requests express it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seconds(pub(crate) u32);

impl Seconds {
    fn millis(self) -> i64 {
        i64::from(self.0) * 1_000
    }
}

/// Milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(i64);

impl Timestamp {
    pub(crate) fn plus(self, span: Seconds) -> Self {
        Self(self.0 + span.millis())
    }

    pub(crate) fn minus(self, span: Seconds) -> Self {
        Self(self.0 - span.millis())
    }

    /// Zero if `later` is in the past.
    pub(crate) fn until(self, later: Self) -> Duration {
        Duration::from_millis(u64::try_from(later.0 - self.0).unwrap_or(0))
    }

    pub(crate) fn millis(self) -> i64 {
        self.0
    }

    pub(crate) fn whole_seconds(self) -> i64 {
        self.0 / 1_000
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Clock {
    System,
    /// Follows Tokio's clock, which tests can pause and advance: days of retention pass at once.
    #[cfg(test)]
    Tokio {
        origin: tokio::time::Instant,
    },
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the only place that reads the clock; the stack embeds the queues without a main of their own"
    )]
    pub(crate) fn now(self) -> Timestamp {
        let since_epoch = match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            #[cfg(test)]
            Self::Tokio { origin } => Duration::from_secs(1_800_000_000) + origin.elapsed(),
        };
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}
