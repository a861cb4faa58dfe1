//! The alert as GitHub shows it, and the finding that results. Pure.

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
    /// The alert's state; `None` if it is withdrawn.
    pub(crate) const fn state(&self) -> Option<AlertState> {
        match self {
            Self::Alert(alert) => Some(alert.state),
            Self::Withdrawn => None,
        }
    }

    /// The finding that results.
    pub(crate) fn kept(&self, seen: &Finding) -> Finding {
        match self {
            Self::Alert(alert) => alert.finding.clone().unwrap_or_else(|error| {
                // This version does not understand another field of the alert, but it does understand the state.
                warn!(finding.id = %seen.id, error = %chain(&error), "only the alert's state is stored");
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
