//! What is known of a command's request to GitHub, and what the alert's state means in its light. Pure.

use serde::Deserialize;

use crate::{
    command::LastError,
    lifecycle::CommandState,
    result_code::{Effect, ResultCode},
};

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// To be dealt with.
    Open,
    /// The vulnerable version is gone.
    Fixed,
    /// A person dismissed it.
    Dismissed,
    /// A rule dismissed it.
    AutoDismissed,
    /// A state this version does not know.
    #[serde(other)]
    Other,
}

/// What GitHub knows of our request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// It was not asked, or the alert shows that it has not done it.
    No,
    /// It accepted.
    Accepted,
    /// It refused, with this status.
    Refused(u16),
    /// It may have been asked, now or by an earlier delivery, and its answer was lost.
    Perhaps,
}

impl Asked {
    /// Whether an earlier delivery may have asked GitHub: one that did not hand the command on, as after a rate limit. Then
    /// the alert is looked at first.
    pub const fn earlier(claimed: &CommandState) -> Self {
        if claimed.follows_another() {
            Self::Perhaps
        } else {
            Self::No
        }
    }

    /// What is known of the effect if the alert does not show one.
    pub const fn effect(self) -> Effect {
        match self {
            Self::No | Self::Refused(_) => Effect::None,
            Self::Accepted | Self::Perhaps => Effect::Unknown,
        }
    }

    /// What is known of our effect on an alert that shows somebody else's.
    const fn effect_beside_anothers(self) -> Effect {
        match self {
            // GitHub accepted, and shows what was there before: nothing was changed.
            Self::Accepted => Effect::None,
            asked => asked.effect(),
        }
    }

    /// Whether a dismissal that the alert shows can be this command's. One that GitHub refused is not.
    pub const fn can_be_ours(self) -> bool {
        matches!(self, Self::Accepted | Self::Perhaps)
    }

    /// Whether the command may be handed on to its next stage. That says that GitHub did not get to it: so only where that
    /// is so.
    pub const fn may_hand_on(self) -> bool {
        matches!(self, Self::No)
    }

    /// What is known once the alert was looked at after the request. Refused because the change `is_made` by now: the
    /// `earlier` request may have come late.
    pub const fn having_looked(self, is_made: bool, earlier: Self) -> Self {
        match self {
            Self::Refused(_) if is_made => earlier,
            asked => asked,
        }
    }
}

/// How a command ends by what its alert shows, and what stands in the way if something does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Why.
    pub code: ResultCode,
    /// What is known of this delivery's effect.
    pub effect: Effect,
    /// What stands in the way.
    pub error: Option<LastError>,
}

/// What the alert's state means: `None` if it decides nothing, and must be looked at another time. `ours`: a dismissal that
/// it shows is this command's. An alert that was withdrawn has no state.
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

/// What the alert's state means for a command that reopens it: `None` if it decides nothing, and must be looked at another
/// time. `ours`: the reopening that it shows is this command's. An alert that was withdrawn has no state.
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
