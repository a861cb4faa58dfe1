//! The state of a repository's row after earlier deliveries of a pass.

use domain::Timestamp;
use store::repositories::{
    Checkpoint, Pass, PassState, RepositoryFailure, RepositoryOutcome, RepositoryRecord,
};
use uuid::Uuid;

/// How a repository ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Refreshed.
    Succeeded,
    /// Not.
    Failed(RepositoryFailure),
}

impl From<&RepositoryOutcome> for Ended {
    fn from(outcome: &RepositoryOutcome) -> Self {
        match outcome {
            RepositoryOutcome::Succeeded { .. } => Self::Succeeded,
            RepositoryOutcome::Failed(failure) => Self::Failed(*failure),
        }
    }
}

/// A pass's progress with a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// The pass has not begun the repository.
    Nothing,
    /// The pass has begun the repository and must continue.
    Begun {
        /// When it began.
        at: Timestamp,
        /// The checkpoint to continue from; `None` for the first page.
        from: Option<Checkpoint>,
    },
    /// The pass has finished the repository.
    Ended(Ended),
}

impl Earlier {
    /// Whether any alert was stored.
    pub(crate) const fn has_stored(&self) -> bool {
        match self {
            Self::Begun { from, .. } => from.is_some(),
            Self::Ended(
                Ended::Succeeded | Ended::Failed(RepositoryFailure::SyncPartialFailure),
            ) => true,
            Self::Nothing | Self::Ended(Ended::Failed(_)) => false,
        }
    }

    /// Whether the row's last pass has come to an end with the repository that another delivery would not change.
    pub(crate) fn has_ended(record: &RepositoryRecord, last: &Pass) -> bool {
        matches!(last.state, PassState::Finished) && record.last_failure.is_none_or(is_final)
    }

    /// Returns `pass`'s progress with the repository of this row.
    pub(crate) fn of(record: Option<&RepositoryRecord>, pass: Uuid) -> Self {
        let mine = record
            .and_then(|record| Some((record, record.pass.as_ref()?, record.last_attempted_at?)))
            .filter(|(_, last, _)| last.id == pass);
        let Some((record, last, at)) = mine else {
            return Self::Nothing;
        };
        match &last.state {
            PassState::Begun => Self::Begun { at, from: None },
            PassState::Paused(cursor) => Self::Begun {
                at,
                from: Some((**cursor).clone()),
            },
            PassState::Finished if !Self::has_ended(record, last) => Self::Begun { at, from: None },
            PassState::Finished => Self::Ended(match record.last_failure {
                None => Ended::Succeeded,
                Some(failure) => Ended::Failed(failure),
            }),
        }
    }
}

/// Whether an earlier delivery's failure is final. GitHub's own failures are retried. So are rejected credentials and
/// rate limits: that delivery would have ended the pass if it had not been interrupted.
const fn is_final(failure: RepositoryFailure) -> bool {
    match failure {
        RepositoryFailure::RepositoryUnavailable
        | RepositoryFailure::GithubPermissionMissing
        | RepositoryFailure::DependabotAlertsDisabled
        | RepositoryFailure::SyncPartialFailure => true,
        RepositoryFailure::GithubAuthInvalid
        | RepositoryFailure::GithubRateLimited
        | RepositoryFailure::SyncFailed => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{OTHER, PASS, cursor, noon, record};

    fn left(state: PassState, last_failure: Option<RepositoryFailure>) -> RepositoryRecord {
        RepositoryRecord {
            last_attempted_at: Some(noon(0)),
            last_failure,
            pass: Some(Pass { id: PASS, state }),
            ..record(7)
        }
    }

    #[test]
    fn rows_of_no_pass_or_another_pass_count_as_not_begun() {
        assert_eq!(Earlier::of(None, PASS), Earlier::Nothing);
        assert_eq!(Earlier::of(Some(&record(7)), PASS), Earlier::Nothing);
        for state in [
            PassState::Begun,
            PassState::Paused(Box::new(cursor())),
            PassState::Finished,
        ] {
            let record = left(state, None);
            assert_eq!(Earlier::of(Some(&record), OTHER), Earlier::Nothing);
        }
    }

    #[test]
    fn a_repository_resumes_at_its_checkpoint_and_keeps_its_start() {
        let begun = |state| Earlier::of(Some(&left(state, None)), PASS);
        let at = noon(0);
        assert_eq!(
            begun(PassState::Begun),
            Earlier::Begun { at, from: None },
            "starts at the first page"
        );
        let from = Some(cursor());
        let paused = PassState::Paused(Box::new(cursor()));
        assert_eq!(begun(paused), Earlier::Begun { at, from });
    }

    #[test]
    fn a_finished_repository_is_retried_only_after_a_transient_failure() {
        use RepositoryFailure as Failure;
        let of = |failure| Earlier::of(Some(&left(PassState::Finished, failure)), PASS);
        assert_eq!(of(None), Earlier::Ended(Ended::Succeeded));
        for stays in [
            Failure::RepositoryUnavailable,
            Failure::GithubPermissionMissing,
            Failure::DependabotAlertsDisabled,
            Failure::SyncPartialFailure,
        ] {
            assert_eq!(of(Some(stays)), Earlier::Ended(Ended::Failed(stays)));
        }
        for passes in [
            Failure::SyncFailed,
            Failure::GithubAuthInvalid,
            Failure::GithubRateLimited,
        ] {
            let at = noon(0);
            let again = Earlier::Begun { at, from: None };
            assert_eq!(of(Some(passes)), again, "{passes:?}");
        }
    }

    #[test]
    fn a_checkpoint_a_success_or_a_partial_failure_means_alerts_are_stored() {
        use RepositoryFailure as Failure;
        let ended = |ended| Earlier::Ended(ended);
        let begun = |from| Earlier::Begun { at: noon(0), from };
        for stored in [
            begun(Some(cursor())),
            ended(Ended::Succeeded),
            ended(Ended::Failed(Failure::SyncPartialFailure)),
        ] {
            assert!(stored.has_stored(), "{stored:?}");
        }
        for not in [
            Earlier::Nothing,
            begun(None),
            ended(Ended::Failed(Failure::RepositoryUnavailable)),
            ended(Ended::Failed(Failure::DependabotAlertsDisabled)),
        ] {
            assert!(!not.has_stored(), "{not:?}");
        }
    }

    /// An earlier pass's failure stays on the row until this pass has an outcome.
    #[test]
    fn an_earlier_passs_failure_does_not_count() {
        let record = left(
            PassState::Begun,
            Some(RepositoryFailure::RepositoryUnavailable),
        );
        let at = noon(0);
        assert_eq!(
            Earlier::of(Some(&record), PASS),
            Earlier::Begun { at, from: None }
        );
    }
}
