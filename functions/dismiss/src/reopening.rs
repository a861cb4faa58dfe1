//! A reopening: the request, whose reopening an alert shows, and how the command ends.

use domain::{
    Timestamp,
    change::{AlertState, Asked, Judgement, judge_reopening},
    command::{Command, CommandId, LastError},
    finding::FindingStatus,
    result_code::ResultCode,
};
use github::{Alert, Budget, Github, GithubError};
use store::{
    audit::{AuditAction, AuditEvent},
    findings::FindingRecord,
};

use crate::alert_change::{AlertChange, Target, may_be_since};

/// A reopening of an alert.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reopening {
    /// When the command's first worker claimed it.
    pub(crate) began: Timestamp,
}

impl AlertChange for Reopening {
    const DONE: ResultCode = ResultCode::FindingReopened;
    const TOO_LATE: ResultCode = ResultCode::AlreadyOpen;
    const REJECTED: ResultCode = ResultCode::ReopenRejected;
    const NOT_PERMITTED: LastError = LastError::MayNotReopen;
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

    fn ends_at(&self, status: FindingStatus) -> Option<ResultCode> {
        match status {
            FindingStatus::Ignored => None,
            FindingStatus::Open => Some(ResultCode::AlreadyOpen),
            FindingStatus::Fixed => Some(ResultCode::AlreadyFixed),
            FindingStatus::Closed => Some(ResultCode::AlertWithdrawn),
        }
    }

    fn is_open_to(&self, state: AlertState) -> bool {
        matches!(state, AlertState::Dismissed | AlertState::AutoDismissed)
    }

    fn is_made(&self, state: AlertState) -> bool {
        state == AlertState::Open
    }

    /// An open alert does not show who reopened it: a change since the command began counts as the command's own.
    fn is_ours(&self, alert: &Alert, asked: Asked) -> bool {
        asked.can_be_ours() && may_be_since(self.began, alert.updated_at)
    }

    fn judge(&self, shown: Option<AlertState>, ours: bool, asked: Asked) -> Option<Judgement> {
        judge_reopening(shown, ours, asked)
    }

    fn credited(&self, seen: &FindingRecord) -> Option<CommandId> {
        seen.credited
            .filter(|_| seen.finding.status == FindingStatus::Open)
    }

    fn made_at(&self, alert: &Alert) -> Option<Timestamp> {
        Some(alert.updated_at)
    }

    fn audited(&self, event: AuditEvent, command: &Command) -> AuditEvent {
        event.with("origin", command.origin)
    }
}
