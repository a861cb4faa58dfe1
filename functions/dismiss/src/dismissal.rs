//! A dismissal: the request, and whose dismissal an alert shows.

use domain::{
    Timestamp,
    change::{AlertChange, Asked},
    command::{DismissComment, DismissFinding},
};
use github::{Alert, Budget, Github, GithubError};
use store::audit::{AuditAction, AuditEvent};

use crate::request::{Request, Target, may_be_since};

/// A dismissal of an alert.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dismissal<'a> {
    pub(crate) asked_for: &'a DismissFinding,
}

impl<'a> Dismissal<'a> {
    /// The comment.
    fn text(&self) -> Option<&'a str> {
        self.asked_for.comment.as_ref().map(DismissComment::as_str)
    }
}

impl Request for Dismissal<'_> {
    const CHANGE: AlertChange = AlertChange::Dismiss;
    const AUDITED: AuditAction = AuditAction::FindingDismissed;

    async fn ask(
        &self,
        github: &Github,
        target: Target<'_>,
        budget: Budget,
    ) -> Result<Alert, GithubError> {
        let Target {
            installation,
            repository,
            alert,
        } = target;
        let (reason, text) = (self.asked_for.reason, self.text());
        github
            .dismiss_alert(installation, repository, alert, reason, text, budget)
            .await
    }

    fn is_ours(&self, alert: &Alert, asked: Asked, began: Timestamp) -> bool {
        if !asked.can_be_ours() {
            return false;
        }
        let dismissal = &alert.dismissal;
        let shown = dismissal.comment.as_deref().unwrap_or_default();
        // GitHub may trim a comment or change its line ends.
        let words = self.text().unwrap_or_default().split_whitespace();
        let by_an_app = |login: &str| login.ends_with("[bot]");
        dismissal.at.is_none_or(|at| may_be_since(began, at))
            && dismissal.reason.as_deref() == Some(self.asked_for.reason.as_str())
            && shown.split_whitespace().eq(words)
            && dismissal.by.as_deref().is_none_or(by_an_app)
    }

    fn made_at(&self, alert: &Alert) -> Option<Timestamp> {
        alert.dismissal.at
    }

    fn audited(&self, event: AuditEvent) -> AuditEvent {
        event.with("reason", self.asked_for.reason)
    }
}

#[cfg(test)]
mod tests;
