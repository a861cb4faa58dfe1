//! The gateway's own errors as RFC 9457 problems.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::chain;

/// A problem with a stable code.
pub(crate) fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    respond(status, &members(status, code, detail))
}

/// The request body is not valid.
pub(crate) fn invalid(error: &dyn std::error::Error) -> Response {
    problem(StatusCode::BAD_REQUEST, "INVALID_REQUEST", &chain(error))
}

/// The request was valid but failed.
pub(crate) fn failed(code: &str, error: &dyn std::error::Error) -> Response {
    problem(StatusCode::INTERNAL_SERVER_ERROR, code, &chain(error))
}

/// The caller has no valid token. Contains API Gateway's `message` member too.
pub(super) fn unauthorized() -> Response {
    let status = StatusCode::UNAUTHORIZED;
    let detail = "A valid token is required: Authorization: Bearer …";
    let mut body = members(status, "UNAUTHORIZED", detail);
    body["message"] = json!("Unauthorized");
    let mut response = respond(status, &body);
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn members(status: StatusCode, code: &str, detail: &str) -> Value {
    json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "code": code,
    })
}

fn respond(status: StatusCode, body: &Value) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, content_type, body.to_string()).into_response()
}
