//! Maps errors of the libraries to problems, in one place. The cause goes to the log, never to the caller.

use std::error::Error;

use agent::callback_token::KeysError;
use store::{
    analyses::AnalysesError, audit::AuditError, erasure::ErasureError, findings::FindingsError,
    ledger::LedgerError, owners::OwnersError, repositories::RepositoriesError,
};
use telemetry::chain;

use crate::{
    cursor::CursorKeyError,
    problem::{Code, Problem},
};

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
            OwnersError::BeingErased => being_erased(),
            OwnersError::Unwritten { .. } | OwnersError::Unread { .. } => unavailable(&error),
            OwnersError::Unreadable { .. } => defect(&error),
        }
    }
}

impl From<FindingsError> for Problem {
    fn from(error: FindingsError) -> Self {
        match error {
            FindingsError::Unread(_)
            | FindingsError::Unwritten { .. }
            | FindingsError::Contended { .. }
            | FindingsError::OutOfTime { .. }
            | FindingsError::RepositoryGone { .. } => unavailable(&error),
            FindingsError::Unreadable(_) => defect(&error),
        }
    }
}

impl From<AnalysesError> for Problem {
    fn from(error: AnalysesError) -> Self {
        unavailable(&error)
    }
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        unavailable(&error)
    }
}

impl From<ErasureError> for Problem {
    fn from(error: ErasureError) -> Self {
        unavailable(&error)
    }
}

impl From<KeysError> for Problem {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Secret(_) => unavailable(&error),
            KeysError::Malformed { .. } => defect(&error),
        }
    }
}

/// The answer to a request that would recreate data of an owner who is being erased.
pub(crate) fn being_erased() -> Problem {
    Problem::new(
        Code::OwnerBeingErased,
        "This owner's data is being deleted. Try again when the erasure is completed.",
    )
}

impl From<RepositoriesError> for Problem {
    fn from(error: RepositoriesError) -> Self {
        unavailable(&error)
    }
}

impl From<CursorKeyError> for Problem {
    fn from(error: CursorKeyError) -> Self {
        match error {
            CursorKeyError::Secret(_) => unavailable(&error),
            CursorKeyError::TooShort { .. } => defect(&error),
        }
    }
}

fn unavailable(error: &dyn Error) -> Problem {
    tracing::warn!(error = %chain(error), "a data service failed");
    Problem::new(
        Code::StoreUnavailable,
        "The data could not be read or written. Try again; with an Idempotency-Key, repeating the request is safe.",
    )
}

/// An error that no retry fixes: logged as an error, so that a person looks at it.
pub(crate) fn defect(error: &dyn Error) -> Problem {
    tracing::error!(error = %chain(error), "the request failed: stored data or a secret is invalid");
    Problem::new(
        Code::Internal,
        "The request failed, and the operators have been notified. Retrying is unlikely to help.",
    )
}
