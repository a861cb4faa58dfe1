//! How a command can end: stable codes that clients switch on, each with its status and its sentence.

use serde::{Deserialize, Serialize};

use crate::lifecycle::{CommandState, Terminal};

macro_rules! result_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $terminal:ident, $sentence:expr;)*) => {
        /// Why a command ended as it did. The code decides the status, so the two cannot disagree.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ResultCode {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl ResultCode {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable text of the code.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The terminal status that the code belongs to.
            pub const fn terminal(self) -> Terminal {
                match self { $(Self::$variant => Terminal::$terminal,)* }
            }

            /// For people: what happened and what to do next. `None` for a success, which needs no words.
            pub const fn sentence(self) -> Option<&'static str> {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// The code of this text.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

result_codes! {
    /// Every repository in scope was refreshed or had nothing to refresh.
    SyncCompleted = "SYNC_COMPLETED", Succeeded, None;
    /// The alert is dismissed at GitHub and the finding ignored here.
    FindingDismissed = "FINDING_DISMISSED", Succeeded, None;
    /// The alert is open at GitHub again, and so is the finding here.
    FindingReopened = "FINDING_REOPENED", Succeeded, None;
    /// The agent has begun to analyse the finding.
    AnalysisLaunchStarted = "ANALYSIS_LAUNCH_STARTED", Succeeded, None;
    /// The agent has begun anew, in place of the analysis that was under way.
    AnalysisRestartStarted = "ANALYSIS_RESTART_STARTED", Succeeded, None;

    /// The owner has not enabled Security Agent.
    ConfigDisabled = "CONFIG_DISABLED", NoOp,
        Some("Security Agent is not enabled for this owner, so nothing was done. Enable it in the settings and try again.");
    /// Somebody else dismissed the alert.
    AlreadyIgnored = "ALREADY_IGNORED", NoOp,
        Some("The finding was already ignored, so there was nothing to dismiss. The finding shows why and by whom.");
    /// Somebody else reopened the alert.
    AlreadyOpen = "ALREADY_OPEN", NoOp,
        Some("The finding is already open, so there was nothing to reopen. Its history shows who reopened it.");
    /// The vulnerable version is gone.
    AlreadyFixed = "ALREADY_FIXED", NoOp,
        Some("The finding is already fixed, so nothing was changed. There is nothing left to do.");
    /// GitHub withdrew the alert.
    AlertWithdrawn = "ALERT_WITHDRAWN", NoOp,
        Some("GitHub has withdrawn the alert, so nothing was changed. The finding is closed.");
    /// Another analysis of the finding is under way.
    AlreadyInProgress = "ALREADY_IN_PROGRESS", NoOp,
        Some("An analysis of this finding is already under way. Wait for its result, or start again with restartActive.");

    /// The command was stored, but could not be queued.
    QueueAdmissionFailed = "QUEUE_ADMISSION_FAILED", Failed,
        Some("The command could not be queued and was not started. Try again; with the same idempotency key it is the same command.");
    /// The command's message could not be understood.
    MalformedMessage = "MALFORMED_MESSAGE", Failed,
        Some("The command's message could not be understood. It was kept for the operators; start the command again.");
    /// Every permitted delivery failed.
    QueueRetriesExhausted = "QUEUE_RETRIES_EXHAUSTED", Failed,
        Some("The command failed on every permitted try. Try again later; if it fails again, tell the operators its id.");
    /// No worker moved the command before its deadline.
    CommandStalled = "COMMAND_STALLED", Failed,
        Some("No worker finished the command in time, and its outcome is not known beyond what is shown. Check the findings and start it again.");
    /// GitHub refused the installation's credentials.
    GithubAuthInvalid = "GITHUB_AUTH_INVALID", Failed,
        Some("GitHub refused the app's credentials for this installation, or it lacks the permission. Reinstall, reconnect or extend the GitHub App, then try again.");
    /// GitHub's rate limit does not end before the command's deadline.
    GithubRateLimited = "GITHUB_RATE_LIMITED", Failed,
        Some("GitHub's rate limit leaves no room for this command in time. What was done so far is kept; try again after the limit resets.");
    /// A repository is gone, blocked, moved or out of the installation's reach.
    RepositoryUnavailable = "REPOSITORY_UNAVAILABLE", Failed,
        Some("A repository cannot be reached through the installation. Check that it exists and that the GitHub App may access it, then try again; a sync has refreshed the others.");
    /// The finding is not there, or not open, any more.
    FindingUnavailable = "FINDING_UNAVAILABLE", Failed,
        Some("The finding is no longer there, or no longer open. Refresh the findings and look again.");

    /// Some repositories could not be refreshed, or an alert could not be stored.
    SyncPartialFailure = "SYNC_PARTIAL_FAILURE", Failed,
        Some("Some repositories could not be refreshed completely. The repository list says which and why; try again once that is mended.");

    /// The finding's source id is no alert number.
    InvalidDismissTarget = "INVALID_DISMISS_TARGET", Failed,
        Some("The finding does not come from a Dependabot alert that can be dismissed. Refresh the findings; if it stays, tell the operators.");
    /// GitHub does not let the alert be dismissed.
    DismissalRejected = "DISMISSAL_REJECTED", Failed,
        Some("GitHub did not accept the dismissal, and the alert is unchanged. Look at the alert on GitHub for what stands in the way.");
    /// GitHub took the dismissal, and somebody there must approve it.
    DismissalPendingReview = "DISMISSAL_PENDING_REVIEW", Failed,
        Some("The organisation reviews dismissals: GitHub took the request and the alert stays open until somebody approves it. The next sync shows the decision.");

    /// GitHub does not let the alert be reopened.
    ReopenRejected = "REOPEN_REJECTED", Failed,
        Some("GitHub did not reopen the alert, and it is unchanged. Look at the alert on GitHub for what stands in the way.");

    /// The owner's analyses in flight are at their limit.
    OwnerCapReached = "OWNER_CAP_REACHED", Failed,
        Some("As many analyses as allowed are already under way for this owner. Try again when one of them has ended.");
    /// GitHub gives no token with which the agent could read the repository.
    GithubTokenUnavailable = "GITHUB_TOKEN_UNAVAILABLE", Failed,
        Some("GitHub gave no token for reading the repository. Check that the GitHub App is installed there and may read its contents, then try again.");
    /// The agent's account cannot pay for it.
    InsufficientCredits = "INSUFFICIENT_CREDITS", Failed,
        Some("The analysis service has no credits left for this owner. Add credits, then try again.");
    /// The agent did not begin.
    AnalysisLaunchFailed = "ANALYSIS_LAUNCH_FAILED", Failed,
        Some("The analysis service did not accept the analysis. Try again; if it fails again, tell the operators the command's id.");
}

impl std::fmt::Display for ResultCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a terminal command's effect on the world outside the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing was changed.
    None,
    /// What the command asks for was done, at least in part.
    Applied,
    /// It cannot be told: the command ended after the effect may have begun.
    Unknown,
}

impl Effect {
    /// What is known of the effect of a command that no worker has ended: never claimed means that nothing can have begun.
    pub const fn of_cut_off(row: &CommandState) -> Self {
        if row.attempt == 0 {
            Self::None
        } else {
            Self::Unknown
        }
    }
}

impl Effect {
    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Applied => "applied",
            Self::Unknown => "unknown",
        }
    }

    /// The effect of this text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Applied, Self::Unknown]
            .into_iter()
            .find(|effect| effect.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        Timestamp,
        lifecycle::{Timeouts, Token, admitted},
    };

    #[test]
    fn every_code_is_read_back_and_every_failure_has_a_sentence() {
        for &code in ResultCode::ALL {
            assert_eq!(ResultCode::parse(code.as_str()), Some(code));
            assert_eq!(
                code.sentence().is_none(),
                code.terminal() == Terminal::Succeeded,
                "{code}"
            );
        }
        assert_eq!(ResultCode::parse("SYNC"), None);
        assert_eq!(ResultCode::AlreadyFixed.to_string(), "ALREADY_FIXED");
    }

    #[test]
    fn every_effect_is_read_back() {
        for (effect, text) in [
            (Effect::None, "none"),
            (Effect::Applied, "applied"),
            (Effect::Unknown, "unknown"),
        ] {
            assert_eq!((effect.as_str(), Effect::parse(text)), (text, Some(effect)));
        }
        assert_eq!(Effect::parse("some"), None);
    }

    #[test]
    fn a_command_that_was_cut_off_had_no_effect_only_if_it_was_never_claimed() {
        let timeouts = Timeouts {
            accepted: Duration::from_secs(300),
            running: Duration::from_secs(1_800),
            retention: Duration::from_secs(86_400),
        };
        let cut_off = |attempt| {
            let accepted = admitted(Token(1), Timestamp::from_millis(0), &timeouts);
            Effect::of_cut_off(&CommandState {
                attempt,
                ..accepted
            })
        };
        assert_eq!(
            [0, 1, 2].map(cut_off),
            [Effect::None, Effect::Unknown, Effect::Unknown]
        );
    }
}
