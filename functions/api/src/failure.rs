//! The one place that turns a failure below into an answer. The cause goes into the log, never to the caller.

use std::error::Error;

use security_agent::{
    findings::FindingsError, ledger::LedgerError, owners::OwnersError,
    repositories::RepositoriesError, secrets::SecretError, telemetry::chain,
};

use crate::problem::{Code, Problem};

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Unwritten { .. } | LedgerError::Unread { .. } => unavailable(&error),
            LedgerError::Unreadable { .. } => defect(&error),
        }
    }
}

impl From<OwnersError> for Problem {
    fn from(error: OwnersError) -> Self {
        match error {
            OwnersError::Unwritten { .. } | OwnersError::Unread { .. } => unavailable(&error),
            OwnersError::Unreadable { .. } => defect(&error),
        }
    }
}

impl From<FindingsError> for Problem {
    fn from(error: FindingsError) -> Self {
        unavailable(&error)
    }
}

impl From<RepositoriesError> for Problem {
    fn from(error: RepositoriesError) -> Self {
        unavailable(&error)
    }
}

impl From<SecretError> for Problem {
    fn from(error: SecretError) -> Self {
        unavailable(&error)
    }
}

fn unavailable(error: &dyn Error) -> Problem {
    tracing::warn!(error = %chain(error), "a data service failed");
    Problem::new(
        Code::StoreUnavailable,
        "The data could not be read or written just now. Try again; repeating the request is safe with an \
         Idempotency-Key.",
    )
}

/// For what no retry mends: a person must look at it.
pub(crate) fn defect(error: &dyn Error) -> Problem {
    tracing::error!(error = %chain(error), "a request failed for want of sense in what was found");
    Problem::new(
        Code::Internal,
        "The request could not be answered. The operators have been told.",
    )
}
