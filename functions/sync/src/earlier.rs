//! What earlier deliveries of a pass left in a repository's row.

use domain::Timestamp;
use store::repositories::{
    Checkpoint, PassState, RepositoryFailure, RepositoryOutcome, RepositoryRecord,
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

/// How far a pass has come with a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// It has not begun it.
    Nothing,
    /// It has begun it, and must go on.
    Begun {
        /// When it did.
        at: Timestamp,
        /// Where it goes on, if not at the first page.
        from: Option<Checkpoint>,
    },
    /// It is done with it.
    Ended(Ended),
}

impl Earlier {
    /// Whether what GitHub showed was stored, at least in part.
    pub(crate) const fn has_stored(&self) -> bool {
        match self {
            Self::Begun { from, .. } => from.is_some(),
            Self::Ended(
                Ended::Succeeded | Ended::Failed(RepositoryFailure::SyncPartialFailure),
            ) => true,
            Self::Nothing | Self::Ended(Ended::Failed(_)) => false,
        }
    }

    /// How far `pass` has come with the repository of this row.
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
            PassState::Finished => match record.last_failure {
                None => Self::Ended(Ended::Succeeded),
                Some(failure) if is_final(failure) => Self::Ended(Ended::Failed(failure)),
                Some(_) => Self::Begun { at, from: None },
            },
        }
    }
}

/// Whether a delivery takes an earlier one's word for it. What GitHub failed at is tried again. So is what met refused
/// credentials or a limit: the delivery that did would have ended the pass, had it been able to.
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
    use store::repositories::Pass;

    fn left(state: PassState, last_failure: Option<RepositoryFailure>) -> RepositoryRecord {
        RepositoryRecord {
            last_attempted_at: Some(noon(0)),
            last_failure,
            pass: Some(Pass { id: PASS, state }),
            ..record(7)
        }
    }

    #[test]
    fn what_no_pass_or_another_pass_has_left_is_nothing() {
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
    fn a_repository_goes_on_where_the_pass_stopped_and_counts_from_when_it_was_begun() {
        let begun = |state| Earlier::of(Some(&left(state, None)), PASS);
        let at = noon(0);
        assert_eq!(
            begun(PassState::Begun),
            Earlier::Begun { at, from: None },
            "from the first page"
        );
        let from = Some(cursor());
        let paused = PassState::Paused(Box::new(cursor()));
        assert_eq!(begun(paused), Earlier::Begun { at, from });
    }

    #[test]
    fn a_repository_that_ended_is_not_asked_for_again_unless_that_may_end_otherwise() {
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
    fn a_delivery_has_stored_something_if_it_kept_a_place_refreshed_or_met_what_it_could_not_store()
    {
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

    /// An earlier pass's failure stays in the row until this one has an outcome.
    #[test]
    fn the_failure_of_an_earlier_pass_is_not_this_ones() {
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
