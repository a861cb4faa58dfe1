//! An analysis of a finding by the agent: where it stands and what it found. Pure; knows neither HTTP nor the database.
//!
//! ```text
//!            ┌─ the agent has a session ─┐        ┌─ its call back ─▶ completed · failed
//!  begin ─▶ pending ──────────────────▶ running ──┤
//!            │                                    └─ two hours ────▶ failed (RUN_LOST)
//!            └─ refused · given up · 15 minutes (RUN_LOST) ────────▶ failed
//! ```
//!
//! An analysis is named by its attempt, which is the id of the command that launched it. It holds one of the owner's
//! slots exactly while it is pending or running.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Timestamp, command::CommandId, result_code::ResultCode, settings::Confidence, text::words,
};

/// How many analyses an owner may have in flight.
pub const SLOTS: usize = 3;
/// How many of them automation may take.
pub const AUTOMATIC_SLOTS: usize = 2;
/// How long an analysis may be pending.
pub const PENDING_FOR: Duration = Duration::from_secs(15 * 60);
/// How long it may run.
pub const RUNNING_FOR: Duration = Duration::from_secs(2 * 3600);

/// Where an analysis stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnalysisStatus {
    /// It has its slot; the agent has no session yet.
    Pending,
    /// The agent works on it.
    Running,
    /// It has a result.
    Completed,
    /// It ended without one.
    Failed,
}

words!(AnalysisStatus, "the status of an analysis", {
    Pending => "pending", Running => "running", Completed => "completed", Failed => "failed",
});

impl AnalysisStatus {
    /// Whether it holds a slot.
    pub const fn in_flight(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

/// Whether the vulnerable code can be reached by an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words explain themselves")]
pub enum Exploitability {
    Exploitable,
    NotExploitable,
    Unknown,
}

words!(Exploitability, "exploitable, not_exploitable or unknown", {
    Exploitable => "exploitable", NotExploitable => "not_exploitable", Unknown => "unknown",
});

/// What the agent suggests to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SuggestedAction {
    /// Dismiss the finding.
    Dismiss,
    /// Open a pull request that mends it.
    OpenPr,
    /// A person should look.
    ManualReview,
    /// Wait and see.
    Monitor,
}

words!(SuggestedAction, "dismiss, open_pr, manual_review or monitor", {
    Dismiss => "dismiss", OpenPr => "open_pr", ManualReview => "manual_review", Monitor => "monitor",
});

/// What an analysis found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisResult {
    /// Whether it can be exploited.
    pub exploitability: Exploitability,
    /// Why.
    pub reasoning: String,
    /// Where the vulnerable code is used, in the agent's own form.
    pub usage_locations: Vec<Value>,
    /// How it could be mended.
    pub suggested_fix: Option<String>,
    /// What to do.
    pub suggested_action: SuggestedAction,
    /// How sure the agent is.
    pub confidence: Confidence,
    /// All of it in a few words.
    pub summary: String,
}

/// A session at the agent, as the agent names it: 1 to 256 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(String);

/// The text is none of the agent's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 1 to 256 visible ASCII characters")]
pub struct InvalidSessionId;

impl SessionId {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;
    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        if (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSessionId)
        }
    }
}

crate::text::serde_by_text!(SessionId);

/// Why an analysis has no result: a code of ours, or one of the agent's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FailureCode(String);

/// The text is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a code of at most 64 capital letters, digits and underscores")]
pub struct InvalidFailureCode;

impl FailureCode {
    /// It was not heard of in time.
    pub fn run_lost() -> Self {
        Self("RUN_LOST".to_owned())
    }

    /// Somebody interrupted it.
    pub fn interrupted() -> Self {
        Self("INTERRUPTED".to_owned())
    }

    /// The agent gave no code that could be kept.
    pub fn unspecified() -> Self {
        Self("ANALYSIS_FAILED".to_owned())
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<ResultCode> for FailureCode {
    /// Of an analysis whose launch ended so.
    fn from(code: ResultCode) -> Self {
        Self(code.as_str().to_owned())
    }
}

impl FromStr for FailureCode {
    type Err = InvalidFailureCode;
    fn from_str(text: &str) -> Result<Self, InvalidFailureCode> {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidFailureCode)
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::text::serde_by_text!(FailureCode);

/// Who began an analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BegunBy {
    /// Somebody asked for it.
    Request,
    /// Automation, within its share of the slots.
    Automation,
}

/// How an analysis ended, as the agent tells it.
#[derive(Clone, Debug, PartialEq)]
pub enum AnalysisOutcome {
    /// With a result.
    Completed(Box<AnalysisResult>),
    /// Without one.
    Failed(FailureCode),
}

/// An agent's call back: which session ended, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Callback {
    /// The session.
    pub session: SessionId,
    /// How it ended.
    pub outcome: AnalysisOutcome,
}

/// A finding's latest analysis.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// Names it: the command that launched it.
    pub attempt: CommandId,
    /// Where it stands.
    pub status: AnalysisStatus,
    /// Who began it.
    pub begun_by: BegunBy,
    /// Whether it took the place of another that was in flight.
    pub restart: bool,
    /// That other's session, while it may still have to be interrupted.
    pub replaces: Option<SessionId>,
    /// When it took its slot.
    pub begun_at: Timestamp,
    /// When the agent began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// The agent's session in its cloud.
    pub cloud_session: Option<SessionId>,
    /// The agent's session for its command line.
    pub cli_session: Option<SessionId>,
    /// Why it failed, if it did.
    pub failure: Option<FailureCode>,
    /// What it found.
    pub result: Option<AnalysisResult>,
    /// A call back that has been received and not yet recorded.
    pub called_back: Option<Callback>,
    /// When the reconciler looks at it. `None` once it has ended.
    pub due_at: Option<Timestamp>,
}

impl Analysis {
    /// One that takes its slot now, in place of none.
    pub fn begun(attempt: CommandId, begun_by: BegunBy, now: Timestamp) -> Self {
        Self {
            attempt,
            status: AnalysisStatus::Pending,
            begun_by,
            restart: false,
            replaces: None,
            begun_at: now,
            started_at: None,
            completed_at: None,
            cloud_session: None,
            cli_session: None,
            failure: None,
            result: None,
            called_back: None,
            due_at: Some(now + PENDING_FOR),
        }
    }

    /// Until when it may stay as it is.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.status {
            AnalysisStatus::Pending => Some(self.begun_at + PENDING_FOR),
            AnalysisStatus::Running => Some(self.started_at.unwrap_or(self.begun_at) + RUNNING_FOR),
            AnalysisStatus::Completed | AnalysisStatus::Failed => None,
        }
    }

    /// The agent's session, if the agent or who launched it has told which one it is.
    pub fn told_session(&self) -> Option<&SessionId> {
        let called_back = self.called_back.as_ref().map(|told| &told.session);
        self.cloud_session.as_ref().or(called_back)
    }

    /// Until when the agent may call back: the same however often it is launched.
    pub fn callback_by(&self) -> Timestamp {
        self.begun_at + PENDING_FOR + RUNNING_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agent_names_is_bounded() {
        assert!("ses_01-a".parse::<SessionId>().is_ok());
        for bad in ["", "a b", "é", &"a".repeat(257)] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
        assert!("OUT_OF_MEMORY_2".parse::<FailureCode>().is_ok());
        for bad in ["", "oops", "A B", "A\n", &"A".repeat(65)] {
            assert!(bad.parse::<FailureCode>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_result_code_is_a_failure_code() {
        for &code in ResultCode::ALL {
            let code = FailureCode::from(code);
            assert_eq!(code.as_str().parse(), Ok(code));
        }
    }
}
