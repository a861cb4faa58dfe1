//! What differs between the commands that change an alert.

use domain::{
    Timestamp,
    change::{AlertChange, Asked},
    finding::Repository,
    installation::InstallationId,
};
use github::{Alert, AlertId, Budget, Github, GithubError};
use store::audit::{AuditAction, AuditEvent};

/// The alert to change, and the installation that gives access to it.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) installation: InstallationId,
    pub(crate) repository: &'a Repository,
    pub(crate) alert: AlertId,
}

/// What a command asks for. The rest of a change is the same for all.
pub(crate) trait Request {
    /// The change.
    const CHANGE: AlertChange;
    /// The action of the audit event.
    const AUDITED: AuditAction;

    /// Asks GitHub for the change. The client does not retry it: the change must not be made twice.
    fn ask(
        &self,
        github: &Github,
        target: Target<'_>,
        budget: Budget,
    ) -> impl Future<Output = Result<Alert, GithubError>>;

    /// Reports whether the alert's change is that of a command that began at `began`, as far as GitHub shows.
    fn is_ours(&self, alert: &Alert, asked: Asked, began: Timestamp) -> bool;

    /// When the alert's change was made, if the alert shows it.
    fn made_at(&self, alert: &Alert) -> Option<Timestamp>;

    /// Adds the details of the audit event.
    fn audited(&self, event: AuditEvent) -> AuditEvent {
        event
    }
}

/// How far GitHub's clock may be behind ours; it also dates changes in whole seconds.
const CLOCKS_DIFFER: std::time::Duration = std::time::Duration::from_secs(121);

/// Reports whether a change at `at` by GitHub's clock may be that of a command that began at `began`.
pub(crate) fn may_be_since(began: Timestamp, at: Timestamp) -> bool {
    at + CLOCKS_DIFFER >= began
}
