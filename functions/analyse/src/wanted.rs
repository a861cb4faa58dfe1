//! What can be refused before the agent is asked, and what follows when an end could not be written. Pure.

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

/// Whether a launch may have a slot for a finding that stands so and has this analysis, in flight or not.
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

/// Whether a launch that has its slot is still to be made. What the agent has begun, or what has ended, is to be recorded,
/// whatever the owner wants by now.
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

/// Whether the owner lets anything be launched, and GitHub can be asked.
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

/// Who begins an analysis by a command of this origin.
pub(crate) fn begun_by(origin: Origin) -> BegunBy {
    if origin == Origin::AutoAnalysis {
        BegunBy::Automation
    } else {
        BegunBy::Request
    }
}

/// What follows when the end of a launch that failed could not be written because the finding had changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// An earlier delivery's session has called back meanwhile: the launch was one.
    Record(SessionId),
    /// The slot is still held: it is given back as it stands now.
    GiveBack,
    /// Nothing is held any more: the command ends alone.
    End,
}

/// By what the finding shows of this command's analysis by now.
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
