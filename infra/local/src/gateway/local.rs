//! Endpoints for tests and for developers on this machine. The deployed API has none of these.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::installation::InstallationId;
use domain::owner::Owner;
use http::{StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::problem::{failed, invalid, problem};
use super::{Caller, Gateway};
use crate::aws_proxy::{Fault, FunctionPermissions, Usage};
use crate::chain;
use crate::functions::{InvokeError, Status};

type Stack = State<Arc<Gateway>>;

/// The body of `POST /local/tokens`. (serde does not support `deny_unknown_fields` together with `flatten`.)
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    sub: String,
    email: Option<String>,
    name: Option<String>,
    #[serde(default)]
    orgs: Vec<String>,
    connect: Option<bool>,
    installation: Option<InstallationId>,
    /// Scopes, separated by spaces; by default all that any route needs.
    scope: Option<String>,
    /// Claims that go into the token as they are, over the others.
    #[serde(default)]
    claims: Map<String, Value>,
}

pub(super) async fn issue_token(State(gateway): Stack, body: Bytes) -> Response {
    let request: TokenRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return invalid(&error),
    };
    // The claim holds ids only.
    let id = |org: &String| org.strip_prefix("org:").unwrap_or(org).to_owned();
    let orgs: Vec<String> = request.orgs.iter().map(id).collect();
    let owners = std::iter::once(format!("user:{}", request.sub))
        .chain(orgs.iter().map(|org| format!("org:{org}")))
        .map(|owner| owner.parse::<Owner>())
        .collect::<Result<Vec<_>, _>>();
    let owners = match owners {
        Ok(owners) => owners,
        Err(error) => return invalid(&error),
    };
    if request.connect != Some(false) {
        let connector = &gateway.parts.connector;
        let now = domain::Timestamp::from_millis(Timestamp::now().as_millisecond());
        for owner in &owners {
            if let Err(error) = connector.connect(owner, request.installation, now).await {
                return failed("CONNECT_FAILED", &error);
            }
        }
    }
    let caller = Caller {
        sub: request.sub,
        email: request.email,
        name: request.name,
        orgs,
    };
    let scope = request.scope.as_deref();
    let issued = gateway
        .authorizers
        .issue(&caller, scope, request.claims, Timestamp::now());
    match issued {
        Some(Ok(token)) => Json(json!({ "token": token })).into_response(),
        Some(Err(error)) => failed("TOKEN_FAILED", &error),
        None => problem(
            StatusCode::NOT_FOUND,
            "NO_AUTHORIZER",
            "the template's HTTP API has no authorizer",
        ),
    }
}

pub(super) async fn add_fault(State(gateway): Stack, body: Bytes) -> Response {
    match Fault::parse(&body) {
        Ok(fault) => {
            gateway.parts.proxy.add_fault(fault);
            let content_type = [(header::CONTENT_TYPE, "application/json")];
            (StatusCode::CREATED, content_type, body).into_response()
        }
        Err(error) => invalid(&error),
    }
}

pub(super) async fn clear_faults(State(gateway): Stack) -> StatusCode {
    gateway.parts.proxy.clear_faults();
    StatusCode::NO_CONTENT
}

/// The body is the secret's new text, as JSON.
pub(super) async fn put_secret(
    State(gateway): Stack,
    Path(name): Path<String>,
    Json(text): Json<String>,
) -> StatusCode {
    if gateway.parts.proxy.put_secret(&name, text) {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}

pub(super) async fn requests(State(gateway): Stack) -> Json<Usage> {
    Json(gateway.parts.proxy.usage())
}

pub(super) async fn reset_requests(State(gateway): Stack) -> StatusCode {
    gateway.parts.proxy.reset_usage();
    StatusCode::NO_CONTENT
}

pub(super) async fn permissions(
    State(gateway): Stack,
) -> Json<BTreeMap<String, FunctionPermissions>> {
    Json(gateway.parts.proxy.permissions())
}

pub(super) async fn functions(State(gateway): Stack) -> Json<Vec<Status>> {
    Json(gateway.parts.functions.status())
}

pub(super) async fn queues(State(gateway): Stack) -> Response {
    match gateway.parts.queues.depths().await {
        Ok(depths) => Json(depths).into_response(),
        Err(error) => failed("QUEUES_UNREADABLE", &error),
    }
}

/// Runs a schedule immediately and returns the function's answer.
pub(super) async fn run_schedule(State(gateway): Stack, Path(function): Path<String>) -> Response {
    match gateway.parts.schedules.run(&function).await {
        Some(Ok(payload)) => json_payload(StatusCode::OK, payload),
        Some(Err(error)) => json_payload(StatusCode::BAD_GATEWAY, error_payload(&error)),
        None => {
            let detail = format!("no schedule runs the function {function}");
            problem(StatusCode::NOT_FOUND, "NO_SUCH_SCHEDULE", &detail)
        }
    }
}

/// Lambda's Invoke operation, synchronous.
pub(super) async fn invoke(
    State(gateway): Stack,
    Path(name): Path<String>,
    payload: Bytes,
) -> Response {
    match gateway.parts.functions.invoke(&name, payload).await {
        Ok(payload) => json_payload(StatusCode::OK, payload),
        Err(error @ InvokeError::NoSuchFunction { .. }) => problem(
            StatusCode::NOT_FOUND,
            "NO_SUCH_FUNCTION",
            &error.to_string(),
        ),
        Err(error @ InvokeError::Throttled { .. }) => {
            json_payload(StatusCode::TOO_MANY_REQUESTS, error_payload(&error))
        }
        Err(error) => {
            let mut response = json_payload(StatusCode::OK, error_payload(&error));
            let unhandled = header::HeaderValue::from_static("Unhandled");
            response
                .headers_mut()
                .insert("x-amz-function-error", unhandled);
            response
        }
    }
}

/// Formats a failed invocation as Lambda reports it to a synchronous caller.
fn error_payload(error: &InvokeError) -> Bytes {
    let error_type = match error {
        InvokeError::Function { source, .. } if !source.report.is_empty() => {
            return source.report.clone();
        }
        InvokeError::Function { source, .. } => &source.error_type,
        InvokeError::TimedOut { .. } => "Sandbox.Timedout",
        InvokeError::Exited { .. } => "Runtime.ExitError",
        InvokeError::Init { .. } => "Runtime.InitError",
        InvokeError::Throttled { .. } => "TooManyRequestsException",
        InvokeError::Recursive { .. } => "RecursiveInvocationException",
        InvokeError::NoSuchFunction { .. } | InvokeError::Stopping { .. } => "ServiceException",
    };
    let body = json!({"errorType": error_type, "errorMessage": chain(error)});
    Bytes::from(body.to_string())
}

fn json_payload(status: StatusCode, payload: Bytes) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status, content_type, payload).into_response()
}
