//! Pure decisions: whether a launch may begin or continue, and what follows when a command's end could not be written.

use domain::{
    Timestamp,
    analysis::{Analysis, AnalysisStatus, BegunBy, SessionId},
    command::{LastError, Origin},
    finding::FindingStatus,
    result_code::ResultCode,
};
use store::owners::OwnerRecord;

/// Why a launch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ResultCode,
    pub(crate) error: Option<LastError>,
}

impl Refusal {
    const fn because(code: ResultCode) -> Self {
        Self { code, error: None }
    }
}

/// Whether a launch may take a slot for a finding with this status and this latest analysis.
pub(crate) fn may_begin(
    owner: &OwnerRecord,
    origin: Origin,
    finding: FindingStatus,
    before: Option<&Analysis>,
    restarts: bool,
    now: Timestamp,
) -> Result<(), Refusal> {
    allowed(owner, origin, now)?;
    if finding != FindingStatus::Open {
        return Err(Refusal::because(ResultCode::FindingUnavailable));
    }
    let in_flight = before.is_some_and(|before| before.status.in_flight());
    if in_flight && !restarts {
        return Err(Refusal::because(ResultCode::AlreadyInProgress));
    }
    Ok(())
}

/// Whether a launch that has its slot may continue. A session that the agent has started, or an analysis that has
/// ended, is recorded whatever the owner's settings are now.
pub(crate) fn may_go_on(
    owner: &OwnerRecord,
    origin: Origin,
    finding: FindingStatus,
    mine: &Analysis,
    now: Timestamp,
) -> Result<(), Refusal> {
    if mine.told_session().is_some() || mine.status != AnalysisStatus::Pending {
        return Ok(());
    }
    allowed(owner, origin, now)?;
    if finding != FindingStatus::Open {
        return Err(Refusal::because(ResultCode::FindingUnavailable));
    }
    Ok(())
}

/// Whether the owner's settings allow the launch and GitHub accepts the App's credentials.
fn allowed(owner: &OwnerRecord, origin: Origin, now: Timestamp) -> Result<(), Refusal> {
    let settings = &owner.settings;
    let turned_off = origin == Origin::AutoAnalysis && !settings.auto_analysis.enabled;
    if !settings.enabled || turned_off {
        return Err(Refusal::because(ResultCode::ConfigDisabled));
    }
    let Some(integration) = &owner.integration else {
        return Err(Refusal {
            code: ResultCode::GithubTokenUnavailable,
            error: Some(LastError::NotConnected),
        });
    };
    if let (Some(_), Some(at)) = (integration.refused_until(now), integration.auth_invalid_at) {
        return Err(Refusal {
            code: ResultCode::GithubAuthInvalid,
            error: Some(LastError::CredentialsRefused(at)),
        });
    }
    Ok(())
}

/// Returns whose share of the slots a command of this origin uses.
pub(crate) fn begun_by(origin: Origin) -> BegunBy {
    if origin == Origin::AutoAnalysis {
        BegunBy::Automation
    } else {
        BegunBy::Request
    }
}

/// What follows when a failed launch's end could not be written because the finding had changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Race: the callback of an earlier delivery's session has arrived, so the launch succeeded.
    Record(SessionId),
    /// The command still holds the slot: give it back with the finding as it is now.
    GiveBack,
    /// The command no longer holds the slot: end the command alone.
    End,
}

/// Decides by this command's analysis as the finding shows it now.
pub(crate) fn next(mine: Option<&Analysis>) -> Next {
    let Some(mine) = mine else {
        return Next::End;
    };
    match mine.told_session() {
        Some(session) => Next::Record(session.clone()),
        None if mine.status.in_flight() => Next::GiveBack,
        None => Next::End,
    }
}

#[cfg(test)]
mod tests;
