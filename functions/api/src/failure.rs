//! The one place that turns a failure below into an answer. The cause goes into the log, never to the caller.

use std::error::Error;

use agent::callback_token::KeysError;
use outbound::secrets::SecretError;
use store::{
    analyses::AnalysesError, audit::AuditError, erasure::ErasureError, findings::FindingsError,
    ledger::LedgerError, owners::OwnersError, repositories::RepositoriesError,
};
use telemetry::chain;

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

/// For whatever would bring back what is being deleted.
pub(crate) fn being_erased() -> Problem {
    Problem::new(
        Code::OwnerBeingErased,
        "Everything of this owner is being deleted. Try again when that is done.",
    )
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
