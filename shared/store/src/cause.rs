//! Failures of calls to DynamoDB, classified once, by what a caller can do about them.

use std::{error::Error, fmt};

use aws_sdk_dynamodb::{
    error::{BoxError, ProvideErrorMetadata, SdkError},
    operation::{
        put_item::PutItemError, transact_write_items::TransactWriteItemsError,
        update_item::UpdateItemError,
    },
    types::CancellationReason,
};

/// Why a call to DynamoDB failed, after its retries.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The partition or the table takes no more requests for now. Nothing was written, and a repeat in a few seconds
    /// may succeed.
    #[error("DynamoDB throttled every try; it can be repeated in a few seconds")]
    Throttled(#[source] BoxError),
    /// The rows of one partition key and their local indexes hold 10 GB. No repeat can succeed until some are deleted.
    #[error(
        "the partition has reached DynamoDB's limit of 10 GB; it takes no new data until rows are deleted"
    )]
    Full(#[source] BoxError),
    /// Anything else: a timeout, an outage, stored data that cannot be read. A write may have landed.
    #[error(transparent)]
    Other(BoxError),
}

impl Cause {
    pub(crate) fn other(error: impl Into<BoxError>) -> Self {
        Self::Other(error.into())
    }
}

impl<E, R> From<SdkError<E, R>> for Cause
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: fmt::Debug + Send + Sync + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        let meaning = error
            .as_service_error()
            .map_or(Meaning::Other, |error| Meaning::of(error.code(), &[]));
        meaning.cause(error)
    }
}

impl From<serde_json::Error> for Cause {
    fn from(error: serde_json::Error) -> Self {
        Self::other(error)
    }
}

impl From<aws_sdk_dynamodb::error::BuildError> for Cause {
    fn from(error: aws_sdk_dynamodb::error::BuildError) -> Self {
        Self::other(error)
    }
}

impl From<&'static str> for Cause {
    fn from(error: &'static str) -> Self {
        Self::other(error)
    }
}

/// A store's error that may come from DynamoDB.
pub trait Caused {
    /// DynamoDB's part in it; `None` if it has none.
    fn cause(&self) -> Option<&Cause>;

    /// Whether a repeat in a few seconds may succeed because nothing but throttling was in the way.
    fn is_throttled(&self) -> bool {
        matches!(self.cause(), Some(Cause::Throttled(_)))
    }

    /// Whether no repeat can succeed because the partition holds all it can.
    fn is_full(&self) -> bool {
        matches!(self.cause(), Some(Cause::Full(_)))
    }
}

/// What a failed call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A concurrent transaction has the item: repeat in milliseconds.
    Conflict,
    /// Too many requests: repeat in seconds.
    Throttled,
    /// A condition failed: a repeat is refused, too.
    Refused,
    /// The item collection has reached its limit.
    Full,
    /// Anything else.
    Other,
}

impl Meaning {
    /// The meaning of an error code. `reasons` are those of a cancelled transaction, one for each write.
    pub(crate) fn of(code: Option<&str>, reasons: &[CancellationReason]) -> Self {
        match code {
            Some("TransactionCanceledException") => Self::of_cancelled(reasons),
            Some("ConditionalCheckFailedException") => Self::Refused,
            Some("TransactionConflictException" | "TransactionInProgressException") => {
                Self::Conflict
            }
            Some(
                "ThrottlingException"
                | "ProvisionedThroughputExceededException"
                | "RequestLimitExceeded",
            ) => Self::Throttled,
            Some("ItemCollectionSizeLimitExceededException") => Self::Full,
            Some(_) | None => Self::Other,
        }
    }

    /// The meaning of a cancelled transaction. What a repeat cannot change decides before what it can: a failed
    /// condition is the answer even if other writes were throttled.
    fn of_cancelled(reasons: &[CancellationReason]) -> Self {
        let met: Vec<Self> = reasons.iter().filter_map(Self::of_reason).collect();
        [
            Self::Refused,
            Self::Full,
            Self::Other,
            Self::Throttled,
            Self::Conflict,
        ]
        .into_iter()
        .find(|meaning| met.contains(meaning))
        .unwrap_or(Self::Other)
    }

    fn of_reason(reason: &CancellationReason) -> Option<Self> {
        match reason.code() {
            None | Some("None") => None,
            Some("ConditionalCheckFailed") => Some(Self::Refused),
            Some("TransactionConflict") => Some(Self::Conflict),
            // The AWS SDK repeats none of these: it knows throttling by the exception, which is the transaction's.
            Some("ThrottlingError" | "ProvisionedThroughputExceeded" | "RequestLimitExceeded") => {
                Some(Self::Throttled)
            }
            Some("ItemCollectionSizeLimitExceeded") => Some(Self::Full),
            Some(_) => Some(Self::Other),
        }
    }

    pub(crate) fn cause(self, error: impl Into<BoxError>) -> Cause {
        match self {
            Self::Throttled => Cause::Throttled(error.into()),
            Self::Full => Cause::Full(error.into()),
            Self::Conflict | Self::Refused | Self::Other => Cause::Other(error.into()),
        }
    }
}

/// The error of a guarded write.
pub(crate) trait WriteError: ProvideErrorMetadata + Error + Send + Sync + 'static {
    /// The reasons of a cancelled transaction.
    fn reasons(&self) -> &[CancellationReason] {
        &[]
    }

    fn meaning(&self) -> Meaning {
        Meaning::of(self.code(), self.reasons())
    }

    /// The cause of a failure that is not a refusal.
    fn into_cause(self) -> Cause
    where
        Self: Sized,
    {
        self.meaning().cause(self)
    }
}

impl WriteError for PutItemError {}
impl WriteError for UpdateItemError {}
impl WriteError for TransactWriteItemsError {
    fn reasons(&self) -> &[CancellationReason] {
        match self {
            Self::TransactionCanceledException(cancelled) => cancelled.cancellation_reasons(),
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANCELLED: &str = "TransactionCanceledException";

    fn reasons(codes: &[&str]) -> Vec<CancellationReason> {
        let reason = |code: &&str| CancellationReason::builder().code(*code).build();
        codes.iter().map(reason).collect()
    }

    #[test]
    fn every_error_code_has_one_meaning() {
        for (code, meaning) in [
            ("ConditionalCheckFailedException", Meaning::Refused),
            ("TransactionConflictException", Meaning::Conflict),
            ("TransactionInProgressException", Meaning::Conflict),
            ("ThrottlingException", Meaning::Throttled),
            ("ProvisionedThroughputExceededException", Meaning::Throttled),
            ("RequestLimitExceeded", Meaning::Throttled),
            ("ItemCollectionSizeLimitExceededException", Meaning::Full),
            ("InternalServerError", Meaning::Other),
            ("ValidationException", Meaning::Other),
            ("ResourceNotFoundException", Meaning::Other),
        ] {
            assert_eq!(Meaning::of(Some(code), &[]), meaning, "{code}");
        }
        assert_eq!(Meaning::of(None, &[]), Meaning::Other, "no answer");
    }

    #[test]
    fn a_cancelled_transaction_means_what_a_repeat_cannot_change() {
        const NONE: &str = "None";
        const CONDITION: &str = "ConditionalCheckFailed";
        const CONFLICT: &str = "TransactionConflict";
        const THROTTLED: &str = "ThrottlingError";
        const FULL: &str = "ItemCollectionSizeLimitExceeded";
        for (codes, meaning) in [
            (&[NONE, CONFLICT][..], Meaning::Conflict),
            (&[THROTTLED], Meaning::Throttled),
            (&["ProvisionedThroughputExceeded", NONE], Meaning::Throttled),
            (&["RequestLimitExceeded"], Meaning::Throttled),
            (&[NONE, THROTTLED, CONFLICT], Meaning::Throttled),
            (&[CONFLICT, NONE, THROTTLED], Meaning::Throttled),
            (&[THROTTLED, CONDITION], Meaning::Refused),
            (&[CONDITION, CONFLICT], Meaning::Refused),
            (&[FULL, CONDITION], Meaning::Refused),
            (&[FULL], Meaning::Full),
            (&[THROTTLED, FULL, CONFLICT], Meaning::Full),
            (&["ValidationError", THROTTLED], Meaning::Other),
            (&["SomethingNew"], Meaning::Other),
            (&[NONE, NONE], Meaning::Other),
            (&[], Meaning::Other),
        ] {
            let found = Meaning::of(Some(CANCELLED), &reasons(codes));
            assert_eq!(found, meaning, "{codes:?}");
        }
    }
}
