//! One session: its launch, its state and its callbacks. Pure: no disk, no network.
//!
//! ```text
//!  Running ──callback over──▶ Completed
//!   │  └─/local callback────▶ Completed, Failed, Interrupted
//!   └────interrupt──────────▶ Interrupting ──callback over──▶ Interrupted
//! ```
//! A callback is over when it is accepted, refused or expired. No session leaves a state on the right.

use axum::body::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::callback::CallbackTarget;
use crate::request::Launch;
use crate::time;
use crate::verdict::{Mode, Verdict};

/// The state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Working, or the result has not been accepted yet.
    Running,
    /// Interrupted, but the callback that reports it has not been accepted yet.
    Interrupting,
    Completed,
    Failed,
    Interrupted,
}

impl State {
    /// The final state that a callback with this status reports.
    pub(crate) fn reported(status: &str) -> Option<Self> {
        match status {
            "completed" => Some(Self::Completed),
            "failed" => Some(Self::Failed),
            "interrupted" => Some(Self::Interrupted),
            _ => None,
        }
    }

    /// The status that the API shows.
    pub(crate) const fn status(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Interrupting | Self::Interrupted => "interrupted",
        }
    }

    /// The state after the session's own callback is over.
    pub(crate) const fn after_callback(self) -> Self {
        match self {
            Self::Running => Self::Completed,
            Self::Interrupting => Self::Interrupted,
            Self::Completed | Self::Failed | Self::Interrupted => self,
        }
    }

    /// The state after the local endpoints end the session.
    pub(crate) const fn ended_as(self, end: Self) -> Self {
        match self {
            Self::Running => end,
            Self::Interrupting => Self::Interrupted,
            Self::Completed | Self::Failed | Self::Interrupted => self,
        }
    }

    /// Reports whether the session makes no more callbacks of its own.
    pub(crate) const fn is_settled(self) -> bool {
        match self {
            Self::Running | Self::Interrupting => false,
            Self::Completed | Self::Failed | Self::Interrupted => true,
        }
    }
}

/// One call to the callback URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Callback {
    /// The body's `status`; null if it has none.
    pub(crate) status: Option<String>,
    /// The status of the answer; null while unknown, and permanently if there was no answer.
    pub(crate) answer: Option<u16>,
    #[serde(with = "time")]
    pub(crate) at: Timestamp,
}

/// A session as stored in the state file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    pub(crate) cloud_agent_session_id: Uuid,
    pub(crate) cli_session_id: Uuid,
    pub(crate) idempotency_key: String,
    pub(crate) repository: String,
    pub(crate) finding_id: String,
    pub(crate) model: String,
    pub(crate) triage_model: String,
    pub(crate) mode: Mode,
    pub(crate) github_token_given: bool,
    pub(crate) callback: CallbackTarget,
    pub(crate) result: Verdict,
    pub(crate) state: State,
    #[serde(with = "time")]
    pub(crate) created_at: Timestamp,
    pub(crate) requests: u64,
    pub(crate) callbacks: Vec<Callback>,
}

impl Session {
    pub(crate) fn start(key: &str, launch: Launch, requests: u64, now: Timestamp) -> Self {
        Self {
            cloud_agent_session_id: Uuid::new_v4(),
            cli_session_id: Uuid::new_v4(),
            idempotency_key: key.to_owned(),
            result: Verdict::of(&launch.finding, launch.mode),
            repository: launch.repository,
            finding_id: launch.finding.id,
            model: launch.model,
            triage_model: launch.triage_model,
            mode: launch.mode,
            github_token_given: launch.github_token_given,
            callback: launch.callback,
            state: State::Running,
            created_at: now,
            requests,
            callbacks: Vec::new(),
        }
    }

    /// The answer to the launch, the same every time.
    pub(crate) fn ids(&self) -> Value {
        json!({
            "cloudAgentSessionId": self.cloud_agent_session_id,
            "cliSessionId": self.cli_session_id,
        })
    }

    /// The session as the local endpoints show it.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = json!({
            "cloudAgentSessionId": self.cloud_agent_session_id,
            "cliSessionId": self.cli_session_id,
            "idempotencyKey": self.idempotency_key,
            "repository": self.repository,
            "findingId": self.finding_id,
            "model": self.model,
            "triageModel": self.triage_model,
            "mode": self.mode,
            "status": self.state.status(),
            "settled": self.state.is_settled(),
            "createdAt": format!("{:.3}", self.created_at),
            "requests": self.requests,
            "callbacks": self.callbacks,
            "githubTokenGiven": self.github_token_given,
        });
        if let Some(trace) = &self.callback.traceparent {
            shown["traceparent"] = json!(trace);
        }
        shown
    }

    /// The callback that this session still owes.
    pub(crate) fn owed(&self) -> Option<Owed> {
        let (result, error) = match self.state {
            State::Running => (json!(self.result), Value::Null),
            State::Interrupting => {
                let message = "Simulated: the session was interrupted before it had a result.";
                (
                    Value::Null,
                    json!({"code": "INTERRUPTED", "message": message}),
                )
            }
            State::Completed | State::Failed | State::Interrupted => return None,
        };
        let status = self.state.after_callback().status();
        let body = json!({
            "cloudAgentSessionId": self.cloud_agent_session_id,
            "status": status,
            "result": result,
            "error": error,
        });
        Some(Owed {
            session: self.cloud_agent_session_id,
            state: self.state,
            status,
            target: self.callback.clone(),
            body: body.to_string().into(),
        })
    }
}

/// A callback to make.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    pub(crate) session: Uuid,
    /// The session's state while it owes this callback.
    pub(crate) state: State,
    pub(crate) status: &'static str,
    pub(crate) target: CallbackTarget,
    pub(crate) body: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 5] = [
        State::Running,
        State::Interrupting,
        State::Completed,
        State::Failed,
        State::Interrupted,
    ];

    #[test]
    fn settled_states_are_final_and_every_move_but_interrupt_settles() {
        for state in STATES {
            let moves = STATES
                .into_iter()
                .filter(|end| end.is_settled())
                .map(|end| state.ended_as(end))
                .chain([state.after_callback()]);
            for after in moves {
                assert!(after.is_settled(), "{state:?} becomes {after:?}");
                assert!(
                    !state.is_settled() || after == state,
                    "{state:?} becomes {after:?}"
                );
            }
        }
    }

    #[test]
    fn every_final_state_has_its_own_status() {
        for end in STATES.into_iter().filter(|state| state.is_settled()) {
            assert_eq!(State::reported(end.status()), Some(end));
        }
        assert_eq!(State::reported("running"), None);
    }
}
