//! What is known of a command's request to GitHub, and how the alert's state then ends the command. Pure.

use serde::Deserialize;

use crate::{
    command::LastError,
    finding::FindingStatus,
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

/// A change that a command asks of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertChange {
    /// An open alert becomes dismissed.
    Dismiss,
    /// A dismissed alert becomes open.
    Reopen,
}

impl AlertChange {
    /// The code of a command whose change was made.
    pub const fn done(self) -> ResultCode {
        match self {
            Self::Dismiss => ResultCode::FindingDismissed,
            Self::Reopen => ResultCode::FindingReopened,
        }
    }

    /// The code of a command whose change someone else has made.
    pub const fn too_late(self) -> ResultCode {
        match self {
            Self::Dismiss => ResultCode::AlreadyIgnored,
            Self::Reopen => ResultCode::AlreadyOpen,
        }
    }

    /// The code of a command whose change GitHub rejects because of the alert or its repository.
    pub const fn rejected(self) -> ResultCode {
        match self {
            Self::Dismiss => ResultCode::DismissalRejected,
            Self::Reopen => ResultCode::ReopenRejected,
        }
    }

    /// The error if the App has no permission for the change.
    pub const fn not_permitted(self) -> LastError {
        match self {
            Self::Dismiss => LastError::MayNotDismiss,
            Self::Reopen => LastError::MayNotReopen,
        }
    }

    /// The finding's status after the change.
    pub const fn status(self) -> FindingStatus {
        match self {
            Self::Dismiss => FindingStatus::Ignored,
            Self::Reopen => FindingStatus::Open,
        }
    }

    /// How the command ends because of the stored finding. `None` if GitHub must be asked.
    pub const fn ends_at(self, status: FindingStatus) -> Option<ResultCode> {
        match (self, status) {
            (_, FindingStatus::Fixed) => Some(ResultCode::AlreadyFixed),
            (_, FindingStatus::Closed) => Some(ResultCode::AlertWithdrawn),
            (Self::Dismiss, FindingStatus::Ignored) | (Self::Reopen, FindingStatus::Open) => {
                Some(self.too_late())
            }
            (Self::Dismiss, FindingStatus::Open) | (Self::Reopen, FindingStatus::Ignored) => None,
        }
    }

    /// Reports whether an alert in this state can be changed.
    pub const fn is_open_to(self, state: AlertState) -> bool {
        match self {
            Self::Dismiss => matches!(state, AlertState::Open),
            Self::Reopen => matches!(state, AlertState::Dismissed | AlertState::AutoDismissed),
        }
    }

    /// Reports whether this is the state after the change.
    pub const fn is_made(self, state: AlertState) -> bool {
        match self {
            Self::Dismiss => matches!(state, AlertState::Dismissed),
            Self::Reopen => matches!(state, AlertState::Open),
        }
    }

    /// Decides how the command ends: `None` if the alert's state does not decide it, so that it must be read again. `ours`:
    /// the change that the alert shows is this command's. A withdrawn alert has no state.
    pub const fn judge(
        self,
        shown: Option<AlertState>,
        ours: bool,
        asked: Asked,
    ) -> Option<Judgement> {
        let Some(state) = shown else {
            return Some(ends(ResultCode::AlertWithdrawn, asked.effect(), None));
        };
        match state {
            AlertState::Fixed => {
                let effect = asked.effect_beside_anothers();
                Some(ends(ResultCode::AlreadyFixed, effect, None))
            }
            AlertState::Other => None,
            AlertState::Open | AlertState::Dismissed | AlertState::AutoDismissed => {
                if self.is_open_to(state) {
                    return self.unmade(asked);
                }
                if ours && self.is_made(state) {
                    return Some(ends(self.done(), Effect::Applied, None));
                }
                Some(ends(self.too_late(), asked.effect_beside_anothers(), None))
            }
        }
    }

    /// How the command ends if the alert does not show the change.
    const fn unmade(self, asked: Asked) -> Option<Judgement> {
        match (self, asked) {
            (Self::Dismiss, Asked::Accepted) => {
                let error = Some(LastError::StillOpen);
                let code = ResultCode::DismissalPendingReview;
                Some(ends(code, Effect::Unknown, error))
            }
            (Self::Reopen, Asked::Accepted) => {
                let error = Some(LastError::StillDismissed);
                Some(ends(self.rejected(), Effect::Unknown, error))
            }
            (_, Asked::Refused(status)) => {
                let error = match self {
                    Self::Dismiss => LastError::DismissalRefused(status),
                    Self::Reopen => LastError::ReopeningRefused(status),
                };
                Some(ends(self.rejected(), Effect::None, Some(error)))
            }
            (_, Asked::Perhaps | Asked::No) => None,
        }
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
