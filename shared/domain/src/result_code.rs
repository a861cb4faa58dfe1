//! The result codes of commands: stable codes for clients, each with its status and its sentences for people.

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
    /// The alert is open on GitHub again, and so is the finding.
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
    /// The vulnerable version is no longer used.
    AlreadyFixed = "ALREADY_FIXED", NoOp,
        Some("The finding is already fixed, so nothing was changed. Nothing is left to do.");
    /// GitHub withdrew the alert.
    AlertWithdrawn = "ALERT_WITHDRAWN", NoOp,
        Some("GitHub has withdrawn the alert, so nothing was changed. The finding is closed; nothing is left to do.");
    /// Another analysis of the finding is under way.
    AlreadyInProgress = "ALREADY_IN_PROGRESS", NoOp,
        Some("An analysis of this finding is already running. Wait for its result, or send the command with restartActive.");

    /// The command was stored, but could not be queued.
    QueueAdmissionFailed = "QUEUE_ADMISSION_FAILED", Failed,
        Some("The command could not be queued and did nothing. Try again; with the same idempotency key it stays the same command.");
    /// The command's message could not be read.
    MalformedMessage = "MALFORMED_MESSAGE", Failed,
        Some("The command's message was damaged, so the command could not be completed. Start it again.");
    /// Every permitted delivery failed.
    QueueRetriesExhausted = "QUEUE_RETRIES_EXHAUSTED", Failed,
        Some("The command failed on every permitted attempt. Try again later; if it fails again, send the command's id to the operators.");
    /// No worker moved the command before its deadline.
    CommandStalled = "COMMAND_STALLED", Failed,
        Some("The command did not finish in time and may have had an effect. Check the findings before you start it again.");
    /// GitHub rejected the installation's credentials, or the installation lacks a permission.
    GithubAuthInvalid = "GITHUB_AUTH_INVALID", Failed,
        Some("GitHub rejected the App's credentials for this installation, or a permission is missing. Reinstall the GitHub App or grant the permission, then try again.");
    /// GitHub's rate limit does not end before the command's deadline.
    GithubRateLimited = "GITHUB_RATE_LIMITED", Failed,
        Some("GitHub's rate limit stopped the command before it was complete. Try again after the limit resets; what was done so far is kept.");
    /// A repository is deleted, blocked or moved, or the installation cannot access it.
    RepositoryUnavailable = "REPOSITORY_UNAVAILABLE", Failed,
        Some("A repository cannot be reached through the installation. Check that it exists and that the GitHub App may access it, then try again; a sync has refreshed the others.");
    /// The finding no longer exists or is no longer open.
    FindingUnavailable = "FINDING_UNAVAILABLE", Failed,
        Some("The finding no longer exists or is no longer open. Refresh the findings and check it again.");

    /// Some repositories could not be refreshed, or an alert could not be stored.
    SyncPartialFailure = "SYNC_PARTIAL_FAILURE", Failed,
        Some("Some repositories could not be refreshed completely. Fix what the repository list shows for them, then try again.");

    /// The finding's source id is not an alert number.
    InvalidDismissTarget = "INVALID_DISMISS_TARGET", Failed,
        Some("The finding does not come from a Dependabot alert that can be dismissed. Refresh the findings; if nothing changes, send the command's id to the operators.");
    /// GitHub rejected the dismissal.
    DismissalRejected = "DISMISSAL_REJECTED", Failed,
        Some("GitHub rejected the dismissal, and the alert is unchanged. Open the alert on GitHub to see what prevents it.");
    /// GitHub accepted the dismissal request, and a reviewer there must approve it.
    DismissalPendingReview = "DISMISSAL_PENDING_REVIEW", Failed,
        Some("GitHub accepted the request, but the alert stays open until a reviewer of the organisation approves it. Refresh the findings after the review.");

    /// GitHub rejected the reopening.
    ReopenRejected = "REOPEN_REJECTED", Failed,
        Some("GitHub rejected the reopening, and the alert is unchanged. Open the alert on GitHub to see what prevents it.");

    /// The owner has as many analyses in flight as allowed.
    OwnerCapReached = "OWNER_CAP_REACHED", Failed,
        Some("This owner already has as many running analyses as allowed. Try again when one of them has ended.");
    /// GitHub issued no token with which the agent could read the repository.
    GithubTokenUnavailable = "GITHUB_TOKEN_UNAVAILABLE", Failed,
        Some("GitHub did not grant access to the repository's contents. Check that the GitHub App is installed there and may read contents, then try again.");
    /// The agent's account has no credits.
    InsufficientCredits = "INSUFFICIENT_CREDITS", Failed,
        Some("The analysis service has no credits left for this owner. Add credits, then try again.");
    /// The agent did not start the analysis.
    AnalysisLaunchFailed = "ANALYSIS_LAUNCH_FAILED", Failed,
        Some("The analysis service did not start the analysis. Try again; if it fails again, send the command's id to the operators.");
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
    /// Unknown: the command ended after the effect may have begun.
    Unknown,
}

impl Effect {
    /// What is known of the effect of a command that no worker ended. If it was never claimed, nothing can have begun.
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

    /// The effect with this text.
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
    fn a_cut_off_command_had_no_effect_only_if_it_was_never_claimed() {
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
