//! Faults registered by tests: which calls they meet, and what becomes of those calls.

use std::sync::Mutex;
use std::time::Duration;

use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::fields::{FieldError, Fields};
use crate::locked;

const LONGEST_DELAY_MS: u64 = 600_000;
const FIELDS: [&str; 9] = [
    "operation",
    "status",
    "headers",
    "body",
    "delayMs",
    "times",
    "after",
    "effect",
    "apply",
];

/// The calls that faults can be registered for: two that the simulator receives, one that it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    CreateSession,
    InterruptSession,
    Callback,
}

impl Operation {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "create_session" => Some(Self::CreateSession),
            "interrupt_session" => Some(Self::InterruptSession),
            "callback" => Some(Self::Callback),
            _ => None,
        }
    }
}

/// What a fault does to a call it meets.
#[derive(Clone, Debug)]
pub(crate) struct Strike {
    pub(crate) delay: Option<Duration>,
    pub(crate) effect: Effect,
}

#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// The call goes on as if nothing had happened.
    LetThrough,
    /// The call is not performed; this is its answer.
    AnswerInstead(Answer),
    /// The call is performed, but this is its answer.
    PerformThenAnswer(Answer),
    /// The call is performed, and never answered.
    LoseAnswer,
    /// The callback is made twice.
    Duplicate,
    /// The callback waits until the faults are cleared.
    Hold(CancellationToken),
}

#[derive(Debug)]
pub(crate) struct Fault {
    /// Any when absent.
    operation: Option<Operation>,
    /// Matching calls still to be let through.
    spared: u64,
    /// Matching calls still to be met; unlimited when absent.
    remaining: Option<u64>,
    strike: Strike,
}

/// The faults, in the order they were registered.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(crate) fn register(&self, fault: Fault) {
        locked(&self.0).push(fault);
    }

    /// Lets go of what is held, too.
    pub(crate) fn clear(&self) {
        for fault in locked(&self.0).drain(..) {
            if let Effect::Hold(lifted) = fault.strike.effect {
                lifted.cancel();
            }
        }
    }

    /// What befalls this call: the first registered fault that matches and is not exhausted.
    pub(crate) fn strike(&self, operation: Operation) -> Option<Strike> {
        locked(&self.0)
            .iter_mut()
            .filter(|fault| fault.operation.is_none_or(|wanted| wanted == operation))
            .find_map(Fault::meet)
    }
}

impl Fault {
    pub(crate) fn parse(body: &Value) -> Result<Self, FieldError> {
        let fields = Fields::of(body)?;
        fields.only(&FIELDS)?;
        let operation = fields.optional(
            "operation",
            "must be one of the agent's operations, or \"*\"",
            |value| match value.as_str()? {
                "*" => Some(None),
                name => Operation::parse(name).map(Some),
            },
        )?;
        let operation = operation.flatten();
        let spared = fields.optional("after", "must be a whole number", Value::as_u64)?;
        let remaining = fields.optional("times", "must be a whole number above 0", |value| {
            value.as_u64().filter(|times| *times > 0)
        })?;
        Ok(Self {
            operation,
            spared: spared.unwrap_or(0),
            remaining,
            strike: Strike::parse(&fields, operation)?,
        })
    }

    fn meet(&mut self) -> Option<Strike> {
        if self.remaining == Some(0) {
            return None;
        }
        if self.spared > 0 {
            self.spared -= 1;
            return None;
        }
        self.remaining = self.remaining.map(|remaining| remaining - 1);
        Some(self.strike.clone())
    }
}

impl Strike {
    fn parse(fields: &Fields<'_>, operation: Option<Operation>) -> Result<Self, FieldError> {
        let status = fields.optional("status", "must be a status from 200 to 599", |value| {
            let status = u16::try_from(value.as_u64()?).ok()?;
            (200..600).contains(&status).then_some(())?;
            StatusCode::from_u16(status).ok()
        })?;
        let delay =
            fields.optional("delayMs", "must be milliseconds, at most 600000", |value| {
                value.as_u64().filter(|delay| *delay <= LONGEST_DELAY_MS)
            })?;
        let effect = fields.optional(
            "effect",
            "must be \"drop_response\", \"duplicate\" or \"hold\"",
            |value| match value.as_str()? {
                "drop_response" => Some(Effect::LoseAnswer),
                "duplicate" => Some(Effect::Duplicate),
                "hold" => Some(Effect::Hold(CancellationToken::new())),
                _ => None,
            },
        )?;
        let apply = fields.optional("apply", "must be true or false", Value::as_bool)?;
        let headers = fields.optional(
            "headers",
            "must be an object of header values",
            parse_headers,
        )?;
        let body = fields.value("body");

        let effect = match (status, effect) {
            (Some(_), Some(_)) => return Err(fields.error("effect", "does not go with a status")),
            (None, _) if apply.is_some() => return Err(fields.error("apply", "needs a status")),
            (None, _) if headers.is_some() => return Err(fields.error("headers", "needs a status")),
            (None, _) if body.is_some() => return Err(fields.error("body", "needs a status")),
            (None, None) if delay.is_none() => {
                return Err(fields.error("status", "is needed, or delayMs, or effect"));
            }
            (None, None) => Effect::LetThrough,
            (None, Some(Effect::Duplicate | Effect::Hold(_)))
                if operation != Some(Operation::Callback) =>
            {
                return Err(fields.error("effect", "is for the operation callback"));
            }
            (None, Some(effect)) => effect,
            (Some(status), None) => {
                let answer = answer(status, &headers.unwrap_or_default(), body);
                if apply == Some(true) {
                    Effect::PerformThenAnswer(answer)
                } else {
                    Effect::AnswerInstead(answer)
                }
            }
        };
        Ok(Self {
            delay: delay.map(Duration::from_millis),
            effect,
        })
    }
}

fn answer(status: StatusCode, headers: &HeaderMap, body: Option<&Value>) -> Answer {
    let answer = match body {
        None => {
            let reason = status.canonical_reason().unwrap_or("Error");
            Answer::refusal(status, "SIMULATED_FAULT", &format!("Simulated: {reason}."))
        }
        Some(Value::String(text)) => Answer::text(status, "text/html", text.clone()),
        Some(body) => Answer::json(status, body),
    };
    headers.iter().fold(answer, |answer, (name, value)| {
        answer.with(name.clone(), value.clone())
    })
}

/// The connection's own headers stay with the server: a wrong length would break the answer itself.
fn parse_headers(value: &Value) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in value.as_object()? {
        let name: HeaderName = name.parse().ok()?;
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(&name) {
            return None;
        }
        headers.insert(name, HeaderValue::try_from(text).ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests;
