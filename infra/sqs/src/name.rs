//! Queue names, and the URLs and ARNs built from them.

use std::fmt;

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

use crate::error::{Code, Error};

const ACCOUNT: &str = "000000000000";
const ARN_PREFIX: &str = "arn:aws:sqs:us-east-1:000000000000:";
const FIFO_SUFFIX: &str = ".fifo";

/// 1 to 80 letters, digits, hyphens and underscores; a FIFO queue's name ends in `.fifo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueName(String);

impl QueueName {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(FIFO_SUFFIX).unwrap_or(name);
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (!stem.is_empty() && name.len() <= 80 && stem.bytes().all(legal))
            .then(|| Self(name.to_owned()))
    }

    /// Ignores the host: a caller may use a proxy or another name of this machine.
    pub(crate) fn from_url(url: &str) -> Result<Self, Error> {
        if url.is_empty() {
            return Err(Error::missing("QueueUrl"));
        }
        let (rest, name) = url.rsplit_once('/').unwrap_or_default();
        if !rest.contains("://") {
            return Err(Error::refused(
                Code::InvalidAddress,
                format!("The address {url} is not valid for this endpoint."),
            ));
        }
        match (rest.ends_with(&format!("/{ACCOUNT}")), Self::parse(name)) {
            (true, Some(name)) => Ok(name),
            _ => Err(Error::no_such_queue()),
        }
    }

    pub(crate) fn from_arn(arn: &str) -> Option<Self> {
        Self::parse(arn.strip_prefix(ARN_PREFIX)?)
    }

    pub(crate) fn arn(&self) -> String {
        format!("{ARN_PREFIX}{self}")
    }

    pub(crate) fn url(&self, host: &str) -> String {
        format!("http://{host}/{ACCOUNT}/{self}")
    }

    pub(crate) fn is_fifo(&self) -> bool {
        self.0.ends_with(FIFO_SUFFIX)
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ToSql for QueueName {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for QueueName {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}
