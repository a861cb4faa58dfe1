//! `/v1/callbacks/analysis`: the agent reports how a session ended. A callback is validated, stored, queued, and only
//! then acknowledged. A stale callback changes nothing and is acknowledged, too, so that the agent does not retry it.
//!
//! A callback that is refused is counted and logged, and leaves no row: an agent that loops would fill the table.

use std::time::Duration;

use agent::callback_token::{CallbackToken, NotAllowed};
use axum::{
    extract::{FromRequestParts, State},
    http::{StatusCode, header, request::Parts},
};
use domain::{
    analysis::{AnalysisOutcome, AnalysisResult, Callback, FailureCode, SessionId},
    command::CommandKey,
};
use runtime::queue::Message;
use serde::Deserialize;
use serde_json::Value;
use store::analyses::Received;
use telemetry::{
    chain,
    metrics::{self, CallbackRefusal, Metric},
};
use utoipa::ToSchema;

use crate::{
    App,
    body::JsonBody,
    fields::Fields,
    gateway::Now,
    problem::{Code, Problem, ProblemBody},
    schema,
};

/// The longest text of a result, in characters.
const LONGEST_TEXT: usize = 20_000;
/// The most usage locations in a result.
const MOST_LOCATIONS: usize = 200;

/// The end of an agent's session. Unknown fields are refused.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = AnalysisCallback)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct CallbackBody {
    /// The session id that the launch returned; neither `.` nor `..`.
    #[schema(min_length = 1, max_length = 256, pattern = "^[A-Za-z0-9._~:@+=-]*$")]
    cloud_agent_session_id: String,
    #[schema(schema_with = schema::callback_status)]
    status: CallbackStatus,
    /// The result; required if `status` is `completed`.
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
    /// Why the session failed, if it did.
    error: Option<CallbackError>,
}

/// Why a session failed.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct CallbackError {
    /// Stored if it has at most 64 capital letters, digits and underscores.
    code: String,
    /// Not stored.
    message: String,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CallbackStatus {
    Completed,
    Failed,
    Interrupted,
}

/// The content of a verified callback token.
#[derive(Debug)]
pub struct Bearer(CallbackToken);

impl FromRequestParts<App> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Now(now) = Now::from_request_parts(parts, app).await?;
        let token = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(bearer);
        let not_allowed = || {
            Problem::new(
                Code::CallbackNotAllowed,
                "The token is missing, altered, expired, or not for callbacks. Use the token from the launch.",
            )
        };
        let verified = match token {
            Some(token) => app.callback_tokens.verify(token, now).await?,
            None => Err(NotAllowed::Invalid),
        };
        let (refusal, token) = match verified {
            Ok(token) => {
                about(&token);
                return Ok(Self(token));
            }
            Err(NotAllowed::Expired(token)) => (CallbackRefusal::ExpiredToken, Some(token)),
            Err(NotAllowed::Invalid) => (CallbackRefusal::InvalidToken, None),
        };
        if let Some(token) = token {
            about(&token);
        }
        metrics::record(Metric::CallbackRefused(refusal));
        Err(not_allowed())
    }
}

/// Names the token's owner, hashed, and its attempt on every line of the request.
fn about(token: &CallbackToken) {
    telemetry::about(&CommandKey {
        owner: token.owner.clone(),
        id: token.attempt,
    });
}

/// Returns the token in an `Authorization` header, whose scheme is written in any case (RFC 9110, section 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// Receives an agent's callback. Repeating it is safe.
#[utoipa::path(post, path = "/v1/callbacks/analysis", operation_id = "callBack",
    security(("capability" = [])),
    request_body = CallbackBody,
    responses(
        (status = 202, description = "The callback is stored and queued, or is stale and changes nothing"),
        (status = 401, description = "The token does not allow this callback", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The callback could not be queued: send it again", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json")
    ))]
pub async fn receive(
    State(app): State<App>,
    Bearer(capability): Bearer,
    Now(now): Now,
    JsonBody(fields): JsonBody,
) -> Result<StatusCode, Problem> {
    let callback = read(fields)?;
    let CallbackToken {
        owner,
        finding,
        attempt,
        ..
    } = capability;
    let received = app
        .analyses
        .receive(&owner, finding, attempt, &callback, now)
        .await?;
    if received == Received::Stale {
        metrics::record(Metric::CallbackRefused(CallbackRefusal::Stale));
        tracing::info!(finding.id = %finding, "the callback is stale or a duplicate");
        return Ok(StatusCode::ACCEPTED);
    }
    let message = Message::Callback {
        owner,
        finding,
        attempt,
    };
    match app
        .sender
        .send(&app.callback_queue, &message, Duration::ZERO)
        .await
    {
        Ok(()) => {
            tracing::info!(finding.id = %finding, "the callback is stored and queued");
            Ok(StatusCode::ACCEPTED)
        }
        Err(error) => {
            tracing::warn!(finding.id = %finding, error = %chain(&error), "the callback could not be queued");
            Err(Problem::new(
                Code::CallbackNotQueued,
                "The callback could not be queued. Send it again; repeating it is safe.",
            ))
        }
    }
}

fn read(mut fields: Fields) -> Result<Callback, Problem> {
    let session: Option<SessionId> = fields.require("cloudAgentSessionId");
    let status = fields.require("status");
    let result = result(&mut fields);
    let error = fields
        .take_nullable("error", |error| {
            // Not stored: the message may contain anything, even secrets.
            _ = error.take_json("message");
            let code: Option<String> = error.take::<Option<String>>("code").flatten();
            code
        })
        .flatten();
    if status == Some(CallbackStatus::Completed) && result.is_none() {
        fields.refuse("result", "is required when status is completed");
    }
    let outcome = status.and_then(|status| match status {
        CallbackStatus::Completed => result.map(Box::new).map(AnalysisOutcome::Completed),
        CallbackStatus::Failed => {
            let code = error.and_then(|code| code.parse().ok());
            Some(AnalysisOutcome::Failed(
                code.unwrap_or_else(FailureCode::unspecified),
            ))
        }
        CallbackStatus::Interrupted => Some(AnalysisOutcome::Failed(FailureCode::interrupted())),
    });
    let callback = session
        .zip(outcome)
        .map(|(session, outcome)| Callback { session, outcome });
    fields.finish(callback)
}

fn result(fields: &mut Fields) -> Option<AnalysisResult> {
    fields
        .take_nullable("result", |result| {
            let exploitability = result.require("exploitability");
            let reasoning = text(result, "reasoning");
            let usage_locations = result.list_json("usageLocations", MOST_LOCATIONS);
            let suggested_fix = result.take_nullable_text("suggestedFix", LONGEST_TEXT);
            let suggested_action = result.require("suggestedAction");
            let confidence = result.require("confidence");
            let summary = text(result, "summary");
            Some(AnalysisResult {
                exploitability: exploitability?,
                reasoning: reasoning?,
                usage_locations: usage_locations.unwrap_or_default(),
                suggested_fix,
                suggested_action: suggested_action?,
                confidence: confidence?,
                summary: summary?,
            })
        })
        .flatten()
}

fn text(fields: &mut Fields, name: &str) -> Option<String> {
    let expected = format!("a string of at most {LONGEST_TEXT} characters");
    fields.require_if(name, &expected, |text: &String| {
        text.chars().count() <= LONGEST_TEXT
    })
}

#[cfg(test)]
mod tests {
    use domain::{
        analysis::{Exploitability, SuggestedAction},
        settings::Confidence,
    };
    use serde_json::json;

    use super::*;

    fn parsed(body: Value) -> Result<Callback, Problem> {
        let Value::Object(object) = body else {
            panic!("an object")
        };
        read(Fields::new(object))
    }

    fn completed() -> Value {
        json!({
            "cloudAgentSessionId": "ses-1", "status": "completed", "error": null,
            "result": {
                "exploitability": "not_exploitable", "reasoning": "It is not called.", "usageLocations": [],
                "suggestedFix": null, "suggestedAction": "dismiss", "confidence": "high", "summary": "Not used.",
            },
        })
    }

    #[test]
    fn the_scheme_of_a_token_is_read_in_any_case() {
        for header in ["Bearer a.b", "bearer a.b", "BEARER  a.b"] {
            assert_eq!(bearer(header), Some("a.b"), "{header}");
        }
        for header in ["a.b", "Basic a.b", "Bearera.b", " Bearer a.b", ""] {
            assert_eq!(bearer(header), None, "{header}");
        }
    }

    #[test]
    fn a_completed_session_has_a_result() {
        let callback = parsed(completed()).expect("valid");
        assert_eq!(callback.session.as_str(), "ses-1");
        let AnalysisOutcome::Completed(result) = callback.outcome else {
            panic!("completed")
        };
        assert_eq!(result.exploitability, Exploitability::NotExploitable);
        assert_eq!(result.suggested_action, SuggestedAction::Dismiss);
        assert_eq!(result.confidence, Confidence::High);
        let mut without = completed();
        without["result"] = Value::Null;
        assert!(parsed(without).is_err());
    }

    #[test]
    fn a_failure_stores_its_code_and_never_its_message() {
        let failed = |error: Value| {
            let body = json!({"cloudAgentSessionId": "s", "status": "failed", "result": null, "error": error});
            match parsed(body).expect("valid").outcome {
                AnalysisOutcome::Failed(code) => code.to_string(),
                AnalysisOutcome::Completed(_) => panic!("failed"),
            }
        };
        assert_eq!(
            failed(json!({"code": "SANDBOX_LOST", "message": "secret"})),
            "SANDBOX_LOST"
        );
        for error in [
            json!(null),
            json!({"code": "jane@example.org", "message": "x"}),
        ] {
            assert_eq!(failed(error), "ANALYSIS_FAILED");
        }
    }

    #[test]
    fn a_result_is_stored_in_full_up_to_its_limits() {
        let places = vec![json!({"path": "src/a.js"}); MOST_LOCATIONS];
        let mut body = completed();
        body["result"]["reasoning"] = "\u{e9}".repeat(LONGEST_TEXT).into();
        body["result"]["suggestedFix"] = "f".repeat(LONGEST_TEXT).into();
        body["result"]["usageLocations"] = places.clone().into();
        let AnalysisOutcome::Completed(result) = parsed(body).expect("valid").outcome else {
            panic!("completed")
        };
        assert_eq!(result.reasoning, "\u{e9}".repeat(LONGEST_TEXT));
        assert_eq!(result.suggested_fix, Some("f".repeat(LONGEST_TEXT)));
        assert_eq!(json!(result.usage_locations), json!(places));
        assert_eq!(result.summary, "Not used.");
    }

    #[test]
    fn unknown_fields_and_values_beyond_the_limits_are_refused() {
        let mut unknown = completed();
        unknown["result"]["mood"] = "good".into();
        let mut long = completed();
        long["result"]["summary"] = "x".repeat(LONGEST_TEXT + 1).into();
        let mut fix = completed();
        fix["result"]["suggestedFix"] = "x".repeat(LONGEST_TEXT + 1).into();
        let mut places = completed();
        places["result"]["usageLocations"] = vec![json!("src/a.js"); MOST_LOCATIONS + 1].into();
        let mut word = completed();
        word["result"]["confidence"] = "certain".into();
        let mut session = completed();
        session["cloudAgentSessionId"] = "..".into();
        for body in [unknown, long, fix, places, word, session, json!({})] {
            assert!(parsed(body).is_err());
        }
    }
}
