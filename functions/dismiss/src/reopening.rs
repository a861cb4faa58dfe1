//! A reopening: the request, and whose reopening an alert shows.

use domain::{
    Timestamp,
    change::{AlertChange, Asked},
};
use github::{Alert, Budget, Github, GithubError};
use store::audit::AuditAction;

use crate::request::{Request, Target, may_be_since};

/// A reopening of an alert.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reopening;

impl Request for Reopening {
    const CHANGE: AlertChange = AlertChange::Reopen;
    const AUDITED: AuditAction = AuditAction::FindingReopened;

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
        github
            .reopen_alert(installation, repository, alert, budget)
            .await
    }

    /// An open alert does not show who reopened it: a change since the command began counts as the command's own.
    fn is_ours(&self, alert: &Alert, asked: Asked, began: Timestamp) -> bool {
        asked.can_be_ours() && may_be_since(began, alert.updated_at)
    }

    fn made_at(&self, alert: &Alert) -> Option<Timestamp> {
        Some(alert.updated_at)
    }
}
