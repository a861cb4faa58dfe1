//! Faults registered by tests: which calls they meet, and what becomes of those calls.

use std::sync::Mutex;
use std::time::Duration;

use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::call::Operation;
use crate::locked;

const LONGEST_DELAY_MS: u64 = 600_000;
const FIELDS: [&str; 10] = [
    "repository",
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

/// What a fault does to a call it meets.
#[derive(Clone, Debug)]
pub(crate) struct Strike {
    pub(crate) delay: Option<Duration>,
    pub(crate) effect: Effect,
}

#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// The call is answered as if nothing had happened.
    LetThrough,
    /// The call is not performed; this is its answer.
    AnswerInstead(Answer),
    /// The call is performed, but this is its answer.
    PerformThenAnswer(Answer),
    /// The call is performed, then the connection is closed without an answer.
    LoseAnswer,
}

#[derive(Debug)]
pub(crate) struct Fault {
    /// Lower case; any repository, or none, when absent.
    repository: Option<String>,
    operation: Option<Operation>,
    /// Matching calls still to be let through.
    spared: u64,
    /// Matching calls still to be met; unlimited when absent.
    remaining: Option<u64>,
    strike: Strike,
}

/// A field of a fault that cannot be what it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// JSON pointer.
    pub(crate) pointer: String,
    pub(crate) message: &'static str,
}

/// The faults, in the order they were registered.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(crate) fn register(&self, fault: Fault) {
        locked(&self.0).push(fault);
    }

    pub(crate) fn clear(&self) {
        locked(&self.0).clear();
    }

    /// What befalls this call: the first registered fault that matches and is not exhausted.
    pub(crate) fn strike(&self, operation: Operation, repository: Option<&str>) -> Option<Strike> {
        let mut faults = locked(&self.0);
        faults
            .iter_mut()
            .filter(|fault| fault.matches(operation, repository))
            .find_map(Fault::meet)
    }
}

impl Fault {
    pub(crate) fn parse(body: &Value) -> Result<Self, FieldError> {
        let fields = body.as_object().ok_or(FieldError {
            pointer: String::new(),
            message: "must be an object",
        })?;
        if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(field(unknown, "is not known"));
        }
        let repository = read(
            fields,
            "repository",
            "must be \"owner/name\" or \"*\"",
            |value| {
                let name = value.as_str()?;
                (name == "*" || name.split('/').count() == 2).then(|| name.to_lowercase())
            },
        )?;
        let operation = read(
            fields,
            "operation",
            "must be one of GitHub's operations, or \"*\"",
            |value| {
                let name = value.as_str()?;
                if name == "*" {
                    return Some(None);
                }
                Operation::ALL
                    .into_iter()
                    .find(|known| known.name() == name)
                    .map(Some)
            },
        )?;
        let at_least_one = |value: &Value| value.as_u64().filter(|times| *times > 0);
        Ok(Self {
            repository: repository.filter(|name| name != "*"),
            operation: operation.flatten(),
            spared: read(fields, "after", "must be a whole number", Value::as_u64)?.unwrap_or(0),
            remaining: read(
                fields,
                "times",
                "must be a whole number above 0",
                at_least_one,
            )?,
            strike: Strike::parse(fields)?,
        })
    }

    fn matches(&self, operation: Operation, repository: Option<&str>) -> bool {
        let same_repository =
            |wanted: &String| repository.is_some_and(|found| found.eq_ignore_ascii_case(wanted));
        self.operation.is_none_or(|wanted| wanted == operation)
            && self.repository.as_ref().is_none_or(same_repository)
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
    fn parse(fields: &Map<String, Value>) -> Result<Self, FieldError> {
        let status = read(
            fields,
            "status",
            "must be a status from 200 to 599",
            |value| {
                let status = u16::try_from(value.as_u64()?).ok()?;
                (200..600).contains(&status).then_some(())?;
                StatusCode::from_u16(status).ok()
            },
        )?;
        let delay = read(
            fields,
            "delayMs",
            "must be milliseconds, at most 600000",
            |value| value.as_u64().filter(|delay| *delay <= LONGEST_DELAY_MS),
        )?;
        let lost = read(fields, "effect", "must be \"drop_response\"", |value| {
            (value.as_str() == Some("drop_response")).then_some(())
        })?;
        let apply = read(fields, "apply", "must be true or false", Value::as_bool)?;
        let headers = read(
            fields,
            "headers",
            "must be an object of header values",
            parse_headers,
        )?;
        let body = fields.get("body").filter(|body| !body.is_null());
        let delayed = delay.is_some();

        let effect = match (status, lost) {
            (Some(_), Some(())) => return Err(field("effect", "does not go with a status")),
            (None, _) if apply.is_some() => return Err(field("apply", "needs a status")),
            (None, _) if headers.is_some() => return Err(field("headers", "needs a status")),
            (None, _) if body.is_some() => return Err(field("body", "needs a status")),
            (None, None) if !delayed => {
                return Err(field("status", "is needed, or delayMs, or effect"));
            }
            (None, None) => Effect::LetThrough,
            (None, Some(())) => Effect::LoseAnswer,
            (Some(status), None) => {
                let answer = answer(status, headers.unwrap_or_default(), body);
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

fn answer(status: StatusCode, headers: HeaderMap, body: Option<&Value>) -> Answer {
    let answer = match body {
        None => Answer::refusal(status, status.canonical_reason().unwrap_or("Error"), ""),
        Some(Value::String(text)) => Answer::text(status, "text/html", text.clone()),
        Some(body) => Answer::value(status, body),
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

/// Absent and null mean the same.
fn read<T>(
    fields: &Map<String, Value>,
    name: &str,
    message: &'static str,
    parse: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, FieldError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => parse(value).map(Some).ok_or_else(|| field(name, message)),
    }
}

fn field(name: &str, message: &'static str) -> FieldError {
    let name = name.replace('~', "~0").replace('/', "~1");
    FieldError {
        pointer: format!("/{name}"),
        message,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bad_field_is_named() {
        for (body, pointer) in [
            (json!([]), ""),
            (json!({}), "/status"),
            (json!({"status": 42}), "/status"),
            (json!({"status": "503"}), "/status"),
            (json!({"status": 503, "repository": "app"}), "/repository"),
            (json!({"status": 503, "operation": "dance"}), "/operation"),
            (json!({"status": 503, "times": 0}), "/times"),
            (json!({"status": 503, "after": -1}), "/after"),
            (json!({"status": 503, "headers": {"a b": "c"}}), "/headers"),
            (
                json!({"status": 503, "headers": {"content-length": "9"}}),
                "/headers",
            ),
            (json!({"status": 503, "effect": "drop_response"}), "/effect"),
            (json!({"effect": "explode"}), "/effect"),
            (json!({"delayMs": 600_001}), "/delayMs"),
            (json!({"delayMs": 1, "apply": true}), "/apply"),
            (json!({"delayMs": 1, "body": {}}), "/body"),
            (json!({"status": 503, "time/s": 1}), "/time~1s"),
        ] {
            let error = Fault::parse(&body).expect_err("must be refused");
            assert_eq!(error.pointer, pointer, "{body}");
        }
    }

    #[test]
    fn the_first_registered_matching_fault_that_is_not_exhausted_wins() {
        let faults = Faults::default();
        let register = |body: Value| faults.register(Fault::parse(&body).expect("valid"));
        register(
            json!({"repository": "Octo/App", "operation": "list_alerts", "status": 503, "times": 1, "after": 1}),
        );
        register(json!({"repository": "*", "operation": "*", "status": 502}));
        let status = |operation, repository| match faults.strike(operation, repository)?.effect {
            Effect::AnswerInstead(answer) => Some(answer.status.as_u16()),
            Effect::LetThrough | Effect::PerformThenAnswer(_) | Effect::LoseAnswer => None,
        };

        assert_eq!(status(Operation::GetAlert, Some("octo/app")), Some(502));
        assert_eq!(status(Operation::InstallationToken, None), Some(502));
        assert_eq!(
            status(Operation::ListAlerts, Some("octo/app")),
            Some(502),
            "spared by the first"
        );
        assert_eq!(status(Operation::ListAlerts, Some("octo/app")), Some(503));
        assert_eq!(
            status(Operation::ListAlerts, Some("octo/app")),
            Some(502),
            "exhausted"
        );
        faults.clear();
        assert_eq!(status(Operation::ListAlerts, Some("octo/app")), None);
    }
}
