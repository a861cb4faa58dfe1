//! An alert in the terms that all sources share.

use std::fmt;

use domain::{
    Timestamp,
    change::AlertState,
    finding::{AlertNumber, Finding, FindingStatus, IgnoredReason},
};
/// One alert, as GitHub shows it.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Its number within the repository.
    pub number: AlertNumber,
    /// Its state.
    pub state: AlertState,
    /// When its state last changed.
    pub updated_at: Timestamp,
    /// When it was fixed.
    pub fixed_at: Option<Timestamp>,
    /// The dismissal that it shows. A reopened alert may still show an earlier one.
    pub dismissal: Dismissal,
    /// The finding that it is stored as.
    pub finding: Result<Finding, NotMappable>,
}

/// The dismissal that an alert shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dismissal {
    /// When it was dismissed, in whole seconds.
    pub at: Option<Timestamp>,
    /// The login of the person or App that dismissed it, if it still has an account.
    pub by: Option<String>,
    /// The reason, in the source's word.
    pub reason: Option<String>,
    /// The comment.
    pub comment: Option<String>,
}

/// An alert with a value that this version cannot store as a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("alert {number} has {what} this version does not know")]
pub struct NotMappable {
    /// The alert.
    pub number: AlertNumber,
    pub(crate) what: &'static str,
}

/// An alert that this version cannot read, with its number if that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The alert's number.
    pub number: Option<AlertNumber>,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "alert {number} cannot be read"),
            None => f.write_str("an alert without a number cannot be read"),
        }
    }
}

/// The name shown as the dismisser of an auto-dismissed alert.
const GITHUB: &str = "github";

/// The status of a finding and, if it is ignored, the reason and the person.
pub(crate) type FindingState = (FindingStatus, Option<IgnoredReason>, Option<String>);

/// The status of a finding of this alert. `None` if this version does not know the alert's state.
///
/// | alert | finding |
/// | --- | --- |
/// | `open` | open |
/// | `fixed` | fixed |
/// | `dismissed` | ignored, for the given reason, by the person who dismissed it |
/// | `auto_dismissed` | ignored, for `auto_dismissed`, by `github` |
///
/// No alert has the status `closed`: a finding gets it when GitHub withdraws its alert.
pub(crate) fn finding_state(state: AlertState, dismissal: &Dismissal) -> Option<FindingState> {
    Some(match state {
        AlertState::Open => (FindingStatus::Open, None, None),
        AlertState::Fixed => (FindingStatus::Fixed, None, None),
        AlertState::Dismissed => {
            let reason = dismissal.reason.as_deref();
            (
                FindingStatus::Ignored,
                reason.map(IgnoredReason::of_dismissal),
                dismissal.by.clone(),
            )
        }
        AlertState::AutoDismissed => (
            FindingStatus::Ignored,
            Some(IgnoredReason::AutoDismissed),
            Some(GITHUB.to_owned()),
        ),
        AlertState::Other => return None,
    })
}

impl Alert {
    /// `finding` with the status of this alert and nothing else of it. Unchanged if this version does not know the
    /// alert's state.
    #[must_use]
    pub fn status_of(&self, finding: &Finding) -> Finding {
        let Some((status, ignored_reason, ignored_by)) = finding_state(self.state, &self.dismissal)
        else {
            return finding.clone();
        };
        Finding {
            status,
            ignored_reason,
            ignored_by,
            fixed_at: self.fixed_at,
            source_updated_at: self.updated_at,
            ..finding.clone()
        }
    }
}
