//! An analysis of a finding by the agent: its status and its result. Pure; knows neither HTTP nor the database.
//!
//! ```text
//!            ┌─ the agent has a session ─┐        ┌─ callback ─▶ completed · failed
//!  begin ─▶ pending ──────────────────▶ running ──┤
//!            │                                    └─ 2 hours ──▶ failed (RUN_LOST)
//!            └─ refused · abandoned · 15 minutes (RUN_LOST) ───▶ failed
//! ```
//!
//! An analysis is named by its attempt, the id of the command that launched it. It occupies one of the owner's slots
//! exactly while it is pending or running.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Timestamp, command::CommandId, result_code::ResultCode, settings::Confidence, text::words,
};

/// The most analyses that an owner may have in flight.
pub const SLOTS: usize = 3;
/// The most of them that automation may start.
pub const AUTOMATIC_SLOTS: usize = 2;
/// How long an analysis may be pending before it is lost.
pub const PENDING_FOR: Duration = Duration::from_secs(15 * 60);
/// How long an analysis may run before it is lost.
pub const RUNNING_FOR: Duration = Duration::from_secs(2 * 3600);

/// The status of an analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnalysisStatus {
    /// It has its slot; the agent has no session yet.
    Pending,
    /// The agent has a session for it.
    Running,
    /// It has a result.
    Completed,
    /// It ended without a result.
    Failed,
}

words!(AnalysisStatus, "the status of an analysis", {
    Pending => "pending", Running => "running", Completed => "completed", Failed => "failed",
});

impl AnalysisStatus {
    /// Whether it occupies a slot.
    pub const fn in_flight(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

/// Whether an attacker can reach the vulnerable code.
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

/// What the agent suggests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SuggestedAction {
    /// Dismiss the finding.
    Dismiss,
    /// Open a pull request that fixes it.
    OpenPr,
    /// Have a person review it.
    ManualReview,
    /// Do nothing for now, and watch it.
    Monitor,
}

words!(SuggestedAction, "dismiss, open_pr, manual_review or monitor", {
    Dismiss => "dismiss", OpenPr => "open_pr", ManualReview => "manual_review", Monitor => "monitor",
});

/// What an analysis found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisResult {
    /// Whether the vulnerability can be exploited.
    pub exploitability: Exploitability,
    /// The reason for that.
    pub reasoning: String,
    /// Where the vulnerable code is used, in the agent's format.
    pub usage_locations: Vec<Value>,
    /// How to fix it.
    pub suggested_fix: Option<String>,
    /// What to do.
    pub suggested_action: SuggestedAction,
    /// The agent's confidence in the result.
    pub confidence: Confidence,
    /// A short summary.
    pub summary: String,
}

/// The agent's id of a session: 1 to 256 letters, digits and `-._~:@+=`, but neither `.` nor `..`. Such an id is one
/// segment of a URL's path, as it is and to every proxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(String);

/// The text is not a session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 1 to 256 letters, digits and -._~:@+=, or a path's own segment")]
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
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:@+=".contains(&byte);
        let sized = (1..=256).contains(&text.len());
        if sized && text.bytes().all(allowed) && !matches!(text, "." | "..") {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSessionId)
        }
    }
}

crate::text::serde_by_text!(SessionId);

/// Why an analysis has no result: our own code or the agent's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FailureCode(String);

/// The text is not a failure code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a code of at most 64 capital letters, digits and underscores")]
pub struct InvalidFailureCode;

impl FailureCode {
    /// No callback came in time.
    pub fn run_lost() -> Self {
        Self("RUN_LOST".to_owned())
    }

    /// The session was interrupted.
    pub fn interrupted() -> Self {
        Self("INTERRUPTED".to_owned())
    }

    /// The agent sent no valid code.
    pub fn unspecified() -> Self {
        Self("ANALYSIS_FAILED".to_owned())
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<ResultCode> for FailureCode {
    /// The failure of an analysis whose launch ended with this code.
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

/// Who started an analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BegunBy {
    /// A request of the API.
    Request,
    /// Automation, within its share of the slots.
    Automation,
}

/// The outcome of an analysis.
#[derive(Clone, Debug, PartialEq)]
pub enum AnalysisOutcome {
    /// It has a result.
    Completed(Box<AnalysisResult>),
    /// It has no result.
    Failed(FailureCode),
}

/// An agent's callback: which session ended, and its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Callback {
    /// The session.
    pub session: SessionId,
    /// Its outcome.
    pub outcome: AnalysisOutcome,
}

/// A finding's latest analysis.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// The attempt: the id of the command that launched it.
    pub attempt: CommandId,
    /// Its status.
    pub status: AnalysisStatus,
    /// Who started it.
    pub begun_by: BegunBy,
    /// Whether it replaced an analysis in flight.
    pub restart: bool,
    /// The replaced analysis's session, while it may still have to be interrupted.
    pub replaces: Option<SessionId>,
    /// When it took its slot.
    pub begun_at: Timestamp,
    /// When the agent started it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// The agent's session in its cloud.
    pub cloud_session: Option<SessionId>,
    /// The agent's session for its command line.
    pub cli_session: Option<SessionId>,
    /// Why it failed, if it did.
    pub failure: Option<FailureCode>,
    /// Its result.
    pub result: Option<AnalysisResult>,
    /// A callback that was received but is not recorded yet.
    pub called_back: Option<Callback>,
    /// When the reconciler looks at it next. `None` once it has ended.
    pub due_at: Option<Timestamp>,
}

impl Analysis {
    /// A new analysis that takes its slot now and replaces none.
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

    /// When it is lost unless its status changes. `None` once it has ended.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.status {
            AnalysisStatus::Pending => Some(self.begun_at + PENDING_FOR),
            AnalysisStatus::Running => Some(self.started_at.unwrap_or(self.begun_at) + RUNNING_FOR),
            AnalysisStatus::Completed | AnalysisStatus::Failed => None,
        }
    }

    /// The agent's session, if the launch or a callback has named it.
    pub fn told_session(&self) -> Option<&SessionId> {
        let called_back = self.called_back.as_ref().map(|told| &told.session);
        self.cloud_session.as_ref().or(called_back)
    }

    /// The deadline of the callback. It does not depend on the time of the launch, so repeated launches send the
    /// same one.
    pub fn callback_by(&self) -> Timestamp {
        self.begun_at + PENDING_FOR + RUNNING_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_one_segment_of_a_path() {
        let longest = "a".repeat(256);
        for good in [
            "ses_01-a",
            "...",
            "..a",
            "urn:x:1@b",
            "YQ==",
            "a~+b",
            &longest,
        ] {
            assert!(good.parse::<SessionId>().is_ok(), "{good}");
        }
        let long = "a".repeat(257);
        let bad = [
            "", ".", "..", "a b", "é", "a/b", "a\\b", "%2e%2e", "..;", "a?b", "a#b", "a\n", &long,
        ];
        for bad in bad {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn failure_codes_are_bounded() {
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
