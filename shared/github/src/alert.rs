//! An alert in the words that all sources share.

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
    /// Where it stands.
    pub state: AlertState,
    /// When its state last changed.
    pub updated_at: Timestamp,
    /// When it was fixed.
    pub fixed_at: Option<Timestamp>,
    /// What it tells of a dismissal. A reopened alert may still tell of an earlier one.
    pub dismissal: Dismissal,
    /// What it is kept as.
    pub finding: Result<Finding, NotMappable>,
}

/// What an alert tells of its dismissal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dismissal {
    /// When, in whole seconds.
    pub at: Option<Timestamp>,
    /// The login of who did it, if anyone did and still has an account.
    pub by: Option<String>,
    /// Why, in the source's word.
    pub reason: Option<String>,
    /// What was said to it.
    pub comment: Option<String>,
}

/// An alert says something that no finding can say yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("alert {number} has {what} this version does not know")]
pub struct NotMappable {
    /// The alert.
    pub number: AlertNumber,
    pub(crate) what: &'static str,
}

/// An alert that this version cannot read; with its number, if at least that can be read.
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

/// Who dismisses an alert that nobody dismissed.
const GITHUB: &str = "github";

/// The status of a finding, and if it is ignored, why and by whom.
pub(crate) type Standing = (FindingStatus, Option<IgnoredReason>, Option<String>);

/// Where a finding of this alert stands. `None` if the alert's state is one that this version does not know.
///
/// | alert | finding |
/// | --- | --- |
/// | `open` | open |
/// | `fixed` | fixed |
/// | `dismissed` | ignored, for the reason given, by who dismissed it |
/// | `auto_dismissed` | ignored, for `auto_dismissed`, by `github` |
///
/// `closed` comes from no alert: it is what a finding becomes when GitHub withdrew its alert.
pub(crate) fn standing(state: AlertState, dismissal: &Dismissal) -> Option<Standing> {
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
    /// `finding` with the status that this alert shows, whatever else the alert shows. Unchanged if the alert's state is
    /// one that this version does not know.
    #[must_use]
    pub fn status_of(&self, finding: &Finding) -> Finding {
        let Some((status, ignored_reason, ignored_by)) = standing(self.state, &self.dismissal)
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
