//! What differs between the kinds of change of an alert.

use domain::{
    Timestamp,
    change::{AlertState, Asked, Judgement},
    command::{Command, CommandId, LastError},
    finding::{FindingStatus, Repository},
    installation::InstallationId,
    result_code::ResultCode,
};
use github::{Alert, AlertId, Budget, Github, GithubError};
use store::{
    audit::{AuditAction, AuditEvent},
    findings::FindingRecord,
};

/// The alert to change, and the installation that gives access to it.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) installation: InstallationId,
    pub(crate) repository: &'a Repository,
    pub(crate) alert: AlertId,
}

/// One kind of change of an alert.
pub(crate) trait AlertChange {
    /// The code of a command whose change was made.
    const DONE: ResultCode;
    /// The code of a command whose change someone else has made.
    const TOO_LATE: ResultCode;
    /// The code of a command whose change GitHub rejects because of the alert or its repository.
    const REJECTED: ResultCode;
    /// The error if the App has no permission for such changes.
    const NOT_PERMITTED: LastError;
    /// The action of the audit event.
    const AUDITED: AuditAction;

    /// Asks GitHub for the change. The client does not retry it: the change must not be made twice.
    fn ask(
        &self,
        github: &Github,
        target: Target<'_>,
        budget: Budget,
    ) -> impl Future<Output = Result<Alert, GithubError>>;

    /// How the command ends because of the stored finding. `None` if GitHub must be asked.
    fn ends_at(&self, status: FindingStatus) -> Option<ResultCode>;

    /// Reports whether an alert in this state can be changed.
    fn is_open_to(&self, state: AlertState) -> bool;

    /// Reports whether this is the state after the change.
    fn is_made(&self, state: AlertState) -> bool;

    /// Reports whether the alert's change is this command's, as far as GitHub shows.
    fn is_ours(&self, alert: &Alert, asked: Asked) -> bool;

    /// Decides how the command ends. `None` if the alert's state does not decide it yet.
    fn judge(&self, shown: Option<AlertState>, ours: bool, asked: Asked) -> Option<Judgement>;

    /// The command that the finding credits with a change of this kind.
    fn credited(&self, seen: &FindingRecord) -> Option<CommandId>;

    /// When the alert's change was made, if the alert shows it.
    fn made_at(&self, alert: &Alert) -> Option<Timestamp>;

    /// Adds the details of the audit event.
    fn audited(&self, event: AuditEvent, command: &Command) -> AuditEvent;
}

/// How far GitHub's clock may be behind ours; it also dates changes in whole seconds.
const CLOCKS_DIFFER: std::time::Duration = std::time::Duration::from_secs(121);

/// Reports whether a change at `at` by GitHub's clock may be that of a command that began at `began`.
pub(crate) fn may_be_since(began: Timestamp, at: Timestamp) -> bool {
    at + CLOCKS_DIFFER >= began
}
