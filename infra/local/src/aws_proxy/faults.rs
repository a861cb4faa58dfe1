//! Faults that tests inject between the functions and the AWS services.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use super::call::{Call, Service};

/// The body of `POST /local/aws/faults`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    service: Service,
    operation: String,
    effect: Effect,
    status: Option<u16>,
    code: Option<String>,
    /// The codes of a cancelled transaction's reasons: `effect` is `error` and `code` is not needed.
    reasons: Option<Vec<String>>,
    delay_ms: Option<u64>,
    /// How many calls the fault hits; all until cleared, if absent.
    times: Option<u32>,
    /// How many matching calls pass before the fault takes effect.
    #[serde(default)]
    after: u32,
    /// Hits only calls of this function.
    function: Option<String>,
    /// Hits only calls whose body contains this text.
    contains: Option<String>,
}

/// The effect of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Effect {
    /// Answers with an error instead of performing the call.
    Error,
    /// Performs the call and closes the connection without an answer.
    DropResponse,
    /// Performs the call after a delay.
    Delay,
    /// Kills the calling process instead of performing the call.
    KillBefore,
    /// Performs the call and kills the calling process before it sees the answer.
    KillAfter,
}

/// What happens to one call.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) delay: Duration,
    pub(super) outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Perform,
    Refuse { status: StatusCode, code: String },
    Cancel { reasons: Vec<String> },
    PerformAndDrop,
    Kill,
    PerformAndKill,
}

/// Why a fault is rejected.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The body is not JSON, or has unknown or invalid members.
    #[error("the body is not a valid fault")]
    Shape(#[from] serde_json::Error),
    /// The status is not an error status.
    #[error("status {0} is not an error status")]
    Status(u16),
}

impl Fault {
    /// Parses a fault.
    pub fn parse(json: &[u8]) -> Result<Self, FaultError> {
        let fault: Self = serde_json::from_slice(json)?;
        match fault.status {
            Some(status) if !(400..600).contains(&status) => Err(FaultError::Status(status)),
            Some(_) | None => Ok(fault),
        }
    }

    fn matches(&self, call: &Call) -> bool {
        self.service == call.service
            && (self.operation == "*" || self.operation == call.operation)
            && self
                .function
                .as_deref()
                .is_none_or(|function| call.function() == Some(function))
            && self
                .contains
                .as_deref()
                .is_none_or(|text| occurs(text.as_bytes(), &call.body))
    }

    fn outcome(&self) -> Outcome {
        match self.effect {
            Effect::Delay => Outcome::Perform,
            Effect::DropResponse => Outcome::PerformAndDrop,
            Effect::KillBefore => Outcome::Kill,
            Effect::KillAfter => Outcome::PerformAndKill,
            Effect::Error if let Some(reasons) = &self.reasons => Outcome::Cancel {
                reasons: reasons.clone(),
            },
            Effect::Error => Outcome::Refuse {
                status: self
                    .status
                    .and_then(|status| StatusCode::from_u16(status).ok())
                    .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                code: self.code.clone().unwrap_or_else(|| match self.service {
                    Service::Dynamodb => "InternalServerError".to_owned(),
                    Service::Sqs => "InternalFailure".to_owned(),
                    Service::SecretsManager => "InternalServiceError".to_owned(),
                }),
            },
        }
    }
}

/// The registered faults, in order of registration.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        self.lock().push(fault);
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Uses up one occurrence of the first fault that matches this call.
    pub(super) fn judge(&self, call: &Call) -> Verdict {
        let mut faults = self.lock();
        let mut verdict = Verdict {
            delay: Duration::ZERO,
            outcome: Outcome::Perform,
        };
        for fault in faults.iter_mut().filter(|fault| fault.times != Some(0)) {
            if !fault.matches(call) {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            fault.times = fault.times.map(|times| times - 1);
            verdict.delay = Duration::from_millis(fault.delay_ms.unwrap_or_default());
            verdict.outcome = fault.outcome();
            break;
        }
        faults.retain(|fault| fault.times != Some(0));
        verdict
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports whether the body contains the text.
fn occurs(text: &[u8], body: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}
