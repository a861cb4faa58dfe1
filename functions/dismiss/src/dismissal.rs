//! A dismissal: the request, whose dismissal an alert shows, and how the command ends.

use domain::{
    Timestamp,
    change::{AlertState, Asked, Judgement, judge_dismissal},
    command::{Command, CommandId, DismissComment, DismissFinding, LastError},
    finding::FindingStatus,
    result_code::ResultCode,
};
use github::{Alert, Budget, Github, GithubError};
use store::{
    audit::{AuditAction, AuditEvent},
    findings::FindingRecord,
};

use crate::alert_change::{AlertChange, Target, may_be_since};

/// A dismissal of an alert.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dismissal<'a> {
    pub(crate) asked_for: &'a DismissFinding,
    /// When the command's first worker claimed it.
    pub(crate) began: Timestamp,
}

impl<'a> Dismissal<'a> {
    /// The comment.
    fn text(&self) -> Option<&'a str> {
        self.asked_for.comment.as_ref().map(DismissComment::as_str)
    }
}

impl AlertChange for Dismissal<'_> {
    const DONE: ResultCode = ResultCode::FindingDismissed;
    const TOO_LATE: ResultCode = ResultCode::AlreadyIgnored;
    const REJECTED: ResultCode = ResultCode::DismissalRejected;
    const NOT_PERMITTED: LastError = LastError::MayNotDismiss;
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

    fn ends_at(&self, status: FindingStatus) -> Option<ResultCode> {
        match status {
            FindingStatus::Open => None,
            FindingStatus::Ignored => Some(ResultCode::AlreadyIgnored),
            FindingStatus::Fixed => Some(ResultCode::AlreadyFixed),
            FindingStatus::Closed => Some(ResultCode::AlertWithdrawn),
        }
    }

    fn is_open_to(&self, state: AlertState) -> bool {
        state == AlertState::Open
    }

    fn is_made(&self, state: AlertState) -> bool {
        state == AlertState::Dismissed
    }

    fn is_ours(&self, alert: &Alert, asked: Asked) -> bool {
        if !asked.can_be_ours() {
            return false;
        }
        let dismissal = &alert.dismissal;
        let shown = dismissal.comment.as_deref().unwrap_or_default();
        // GitHub may trim a comment or change its line ends.
        let words = self.text().unwrap_or_default().split_whitespace();
        let by_an_app = |login: &str| login.ends_with("[bot]");
        dismissal.at.is_none_or(|at| may_be_since(self.began, at))
            && dismissal.reason.as_deref() == Some(self.asked_for.reason.as_str())
            && shown.split_whitespace().eq(words)
            && dismissal.by.as_deref().is_none_or(by_an_app)
    }

    fn judge(&self, shown: Option<AlertState>, ours: bool, asked: Asked) -> Option<Judgement> {
        judge_dismissal(shown, ours, asked)
    }

    fn credited(&self, seen: &FindingRecord) -> Option<CommandId> {
        seen.credited
            .filter(|_| seen.finding.status == FindingStatus::Ignored)
    }

    fn made_at(&self, alert: &Alert) -> Option<Timestamp> {
        alert.dismissal.at
    }

    fn audited(&self, event: AuditEvent, command: &Command) -> AuditEvent {
        event
            .with("reason", self.asked_for.reason)
            .with("origin", command.origin)
    }
}

#[cfg(test)]
mod tests;
