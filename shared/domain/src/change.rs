//! What is known of a command's request to GitHub, and how the alert's state then ends the command. Pure.

use serde::Deserialize;

use crate::{
    command::LastError,
    lifecycle::CommandState,
    result_code::{Effect, ResultCode},
};

/// The state of an alert on GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Not fixed, not dismissed.
    Open,
    /// The vulnerable version is no longer used.
    Fixed,
    /// A person dismissed it.
    Dismissed,
    /// A rule dismissed it.
    AutoDismissed,
    /// A state this version does not know.
    #[serde(other)]
    Other,
}

/// What is known of the command's request to GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// Nothing was requested, or the alert shows that it had no effect.
    No,
    /// GitHub accepted it.
    Accepted,
    /// GitHub refused it, with this status.
    Refused(u16),
    /// It may have been sent, by this or an earlier delivery, and the answer was lost.
    Perhaps,
}

impl Asked {
    /// What is known when a delivery begins. An earlier delivery may have sent the request unless it handed the command on,
    /// as after a rate limit; then the alert must be read first.
    pub const fn earlier(claimed: &CommandState) -> Self {
        if claimed.follows_another() {
            Self::Perhaps
        } else {
            Self::No
        }
    }

    /// The effect if the alert does not show one.
    pub const fn effect(self) -> Effect {
        match self {
            Self::No | Self::Refused(_) => Effect::None,
            Self::Accepted | Self::Perhaps => Effect::Unknown,
        }
    }

    /// The effect if the alert shows someone else's change.
    const fn effect_beside_anothers(self) -> Effect {
        match self {
            // GitHub accepted and shows the earlier change: nothing was changed.
            Self::Accepted => Effect::None,
            asked => asked.effect(),
        }
    }

    /// Reports whether the alert's change can be this command's. A refused one cannot.
    pub const fn can_be_ours(self) -> bool {
        matches!(self, Self::Accepted | Self::Perhaps)
    }

    /// Reports whether the command may be handed on to its next stage: only if the request had no effect, because that
    /// is what the next stage assumes.
    pub const fn may_hand_on(self) -> bool {
        matches!(self, Self::No)
    }

    /// What is known after the alert was read again. A request that was refused because the change `is_made` says nothing
    /// of the `earlier` one, which may have arrived late.
    pub const fn having_looked(self, is_made: bool, earlier: Self) -> Self {
        match self {
            Self::Refused(_) if is_made => earlier,
            asked => asked,
        }
    }
}

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The result code.
    pub code: ResultCode,
    /// The effect of this delivery.
    pub effect: Effect,
    /// What prevented the change.
    pub error: Option<LastError>,
}

/// Decides how a dismissal ends: `None` if the alert's state does not decide it, so that it must be read again. `ours`: the
/// dismissal that the alert shows is this command's. A withdrawn alert has no state.
pub const fn judge_dismissal(
    shown: Option<AlertState>,
    ours: bool,
    asked: Asked,
) -> Option<Judgement> {
    let Some(state) = shown else {
        return Some(ends(ResultCode::AlertWithdrawn, asked.effect(), None));
    };
    match state {
        AlertState::Dismissed if ours => {
            Some(ends(ResultCode::FindingDismissed, Effect::Applied, None))
        }
        AlertState::Dismissed | AlertState::AutoDismissed => {
            let effect = asked.effect_beside_anothers();
            Some(ends(ResultCode::AlreadyIgnored, effect, None))
        }
        AlertState::Fixed => {
            let effect = asked.effect_beside_anothers();
            Some(ends(ResultCode::AlreadyFixed, effect, None))
        }
        AlertState::Open => match asked {
            Asked::Accepted => {
                let error = Some(LastError::StillOpen);
                let code = ResultCode::DismissalPendingReview;
                Some(ends(code, Effect::Unknown, error))
            }
            Asked::Refused(status) => {
                let error = Some(LastError::DismissalRefused(status));
                Some(ends(ResultCode::DismissalRejected, Effect::None, error))
            }
            Asked::Perhaps | Asked::No => None,
        },
        AlertState::Other => None,
    }
}

/// Decides how a reopening ends: `None` if the alert's state does not decide it, so that it must be read again. `ours`: the
/// reopening that the alert shows is this command's. A withdrawn alert has no state.
pub const fn judge_reopening(
    shown: Option<AlertState>,
    ours: bool,
    asked: Asked,
) -> Option<Judgement> {
    let Some(state) = shown else {
        return Some(ends(ResultCode::AlertWithdrawn, asked.effect(), None));
    };
    match state {
        AlertState::Open if ours => Some(ends(ResultCode::FindingReopened, Effect::Applied, None)),
        AlertState::Open => {
            let effect = asked.effect_beside_anothers();
            Some(ends(ResultCode::AlreadyOpen, effect, None))
        }
        AlertState::Fixed => {
            let effect = asked.effect_beside_anothers();
            Some(ends(ResultCode::AlreadyFixed, effect, None))
        }
        AlertState::Dismissed | AlertState::AutoDismissed => match asked {
            Asked::Accepted => {
                let error = Some(LastError::StillDismissed);
                Some(ends(ResultCode::ReopenRejected, Effect::Unknown, error))
            }
            Asked::Refused(status) => {
                let error = Some(LastError::ReopeningRefused(status));
                Some(ends(ResultCode::ReopenRejected, Effect::None, error))
            }
            Asked::Perhaps | Asked::No => None,
        },
        AlertState::Other => None,
    }
}

const fn ends(code: ResultCode, effect: Effect, error: Option<LastError>) -> Judgement {
    Judgement {
        code,
        effect,
        error,
    }
}

#[cfg(test)]
mod tests;
