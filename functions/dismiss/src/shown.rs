//! The alert as GitHub shows it, and the finding that it is kept as. Pure.

use domain::{
    change::AlertState,
    finding::{Finding, FindingStatus},
};
use github::Alert;
use telemetry::chain;
use tracing::warn;

/// The alert as GitHub shows it.
pub(crate) enum Shown {
    Alert(Box<Alert>),
    Withdrawn,
}

impl Shown {
    /// `None` once it is withdrawn.
    pub(crate) const fn state(&self) -> Option<AlertState> {
        match self {
            Self::Alert(alert) => Some(alert.state),
            Self::Withdrawn => None,
        }
    }

    /// What the finding becomes.
    pub(crate) fn kept(&self, seen: &Finding) -> Finding {
        match self {
            Self::Alert(alert) => alert.finding.clone().unwrap_or_else(|error| {
                // Something beside its state has changed to what this version does not know: the state still counts.
                warn!(finding.id = %seen.id, error = %chain(&error), "only the alert's state can be kept");
                alert.status_of(seen)
            }),
            Self::Withdrawn => Finding {
                status: FindingStatus::Closed,
                ignored_reason: None,
                ignored_by: None,
                ..seen.clone()
            },
        }
    }
}

#[cfg(test)]
mod tests;
