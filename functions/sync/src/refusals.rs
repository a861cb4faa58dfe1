//! Pure decisions: what a failed request to GitHub means for a pass and for a repository.

use std::time::Duration;

use domain::{command::LastError, finding::Repository};
use github::{GithubError, Refusal, RepositoryPath};
use store::repositories::RepositoryFailure;

use crate::brake::Stop;

/// What follows when the installation's repositories cannot be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unlisted {
    /// The pass stops.
    Stops(Stop),
    /// A retry may succeed.
    MayPass {
        /// What went wrong.
        error: LastError,
        /// The shortest delay of the retry.
        after: Option<Duration>,
    },
}

impl From<&GithubError> for Unlisted {
    fn from(error: &GithubError) -> Self {
        let may_pass = |error, after| Self::MayPass { error, after };
        match error {
            GithubError::Refused { refusal, .. } => match refusal {
                Refusal::AuthInvalid | Refusal::Unavailable | Refusal::PermissionMissing => {
                    Self::Stops(Stop::AuthInvalid)
                }
                Refusal::RateLimited(limit) => Self::Stops(Stop::RateLimited(limit.until)),
                Refusal::ServerError {
                    status,
                    retry_after,
                } => may_pass(LastError::GithubStatus(*status), *retry_after),
                Refusal::Unexpected { status } => may_pass(LastError::GithubStatus(*status), None),
                Refusal::AlertsDisabled | Refusal::Malformed | Refusal::Gone => {
                    may_pass(LastError::GithubUnreachable, None)
                }
            },
            GithubError::Network { .. }
            | GithubError::OutOfTime
            | GithubError::PageElsewhere
            | GithubError::Client { .. } => may_pass(LastError::GithubUnreachable, None),
            GithubError::Credentials { .. } => Self::Stops(Stop::NoCredentials),
        }
    }
}

/// What follows when a page of a repository's alerts cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ungiven {
    /// The repository's failure. `None` if it continues in a later delivery.
    pub(crate) failure: Option<RepositoryFailure>,
    /// Why the delivery stops, if it does.
    pub(crate) stop: Option<Stop>,
    /// GitHub's HTTP status, if it failed.
    pub(crate) status: Option<u16>,
}

impl Ungiven {
    const fn failed(failure: RepositoryFailure) -> Self {
        Self {
            failure: Some(failure),
            stop: None,
            status: None,
        }
    }

    const fn stopped(stop: Stop) -> Self {
        Self {
            failure: None,
            stop: Some(stop),
            status: None,
        }
    }

    /// Decides about a page of `asked`, one of the installation's repositories `all`. `stop` is set if the delivery is
    /// already stopping.
    pub(crate) fn of(
        error: &GithubError,
        asked: &Repository,
        all: &[Repository],
        stop: Option<Stop>,
    ) -> Self {
        use RepositoryFailure as Failure;
        match error {
            GithubError::Refused { refusal, led_to } => match refusal {
                Refusal::AuthInvalid => Self {
                    failure: Some(Failure::GithubAuthInvalid),
                    ..Self::stopped(Stop::AuthInvalid)
                },
                Refusal::RateLimited(limit) => Self::stopped(Stop::RateLimited(limit.until)),
                Refusal::ServerError { status, .. } | Refusal::Unexpected { status } => Self {
                    status: Some(*status),
                    ..Self::failed(Failure::SyncFailed)
                },
                Refusal::Malformed => Self::failed(Failure::SyncFailed),
                Refusal::Unavailable | Refusal::Gone => {
                    Self::failed(Failure::RepositoryUnavailable)
                }
                Refusal::PermissionMissing | Refusal::AlertsDisabled
                    if leads_away(led_to.as_ref(), asked, all) =>
                {
                    Self::failed(Failure::RepositoryUnavailable)
                }
                Refusal::PermissionMissing => Self::failed(Failure::GithubPermissionMissing),
                Refusal::AlertsDisabled => Self::failed(Failure::DependabotAlertsDisabled),
            },
            GithubError::OutOfTime if stop.is_some() => Self::default(),
            GithubError::Network { .. } | GithubError::OutOfTime | GithubError::PageElsewhere => {
                Self::failed(Failure::SyncFailed)
            }
            GithubError::Credentials { .. } | GithubError::Client { .. } => {
                Self::stopped(Stop::NoCredentials)
            }
        }
    }
}

/// Whether a redirect led to another repository than `asked`. A new name of the same repository does not count.
pub(crate) fn leads_away(
    led_to: Option<&RepositoryPath>,
    asked: &Repository,
    all: &[Repository],
) -> bool {
    match led_to {
        None => false,
        Some(path @ RepositoryPath::Id(_)) => path.is_other_than(asked),
        Some(RepositoryPath::Name(name)) => all
            .iter()
            .any(|other| other.id != asked.id && other.name.same_as(name)),
    }
}

#[cfg(test)]
mod tests;
