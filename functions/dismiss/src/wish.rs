//! What a command wants of an alert. The rest of a change is the same for all.

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

/// The alert that a change is about, and through what it is reached.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) installation: InstallationId,
    pub(crate) repository: &'a Repository,
    pub(crate) alert: AlertId,
}

/// One kind of change of an alert.
pub(crate) trait Wish {
    /// The code of a command whose change was made.
    const DONE: ResultCode;
    /// The code of a command that found its change made by somebody else.
    const TOO_LATE: ResultCode;
    /// The code of a command whose change GitHub refuses because of the alert or its repository.
    const REJECTED: ResultCode;
    /// What went wrong if the App may not make such changes.
    const NOT_PERMITTED: LastError;
    /// What the audit calls it.
    const AUDITED: AuditAction;

    /// Asks GitHub for the change. Once: it is never repeated by itself.
    fn ask(
        &self,
        github: &Github,
        target: Target<'_>,
        budget: Budget,
    ) -> impl Future<Output = Result<Alert, GithubError>>;

    /// How the command ends by what is stored, before GitHub is asked. `None` if GitHub is to be asked.
    fn ends_at(&self, status: FindingStatus) -> Option<ResultCode>;

    /// Whether the change can be made of an alert in this state.
    fn is_open_to(&self, state: AlertState) -> bool;

    /// Whether this is the state that such a request makes.
    fn is_made(&self, state: AlertState) -> bool;

    /// Whether the change that the alert shows is this command's, for all that GitHub has said.
    fn is_ours(&self, alert: &Alert, asked: Asked) -> bool;

    /// What the alert's state means. `None` if it decides nothing yet.
    fn judge(&self, shown: Option<AlertState>, ours: bool, asked: Asked) -> Option<Judgement>;

    /// The command that the finding is named after, if it shows a change of this kind.
    fn named(&self, seen: &FindingRecord) -> Option<CommandId>;

    /// When the change was made that the alert shows, if it says so.
    fn made_at(&self, alert: &Alert) -> Option<Timestamp>;

    /// Adds what the audit is to tell beside the change itself.
    fn audited(&self, event: AuditEvent, command: &Command) -> AuditEvent;
}

/// GitHub's clock may be behind ours, and it dates changes in whole seconds.
const CLOCKS_DIFFER: std::time::Duration = std::time::Duration::from_secs(121);

/// Whether something at `at` by GitHub's clock may have been done by a command that began at `began`.
pub(crate) fn may_be_since(began: Timestamp, at: Timestamp) -> bool {
    at + CLOCKS_DIFFER >= began
}
