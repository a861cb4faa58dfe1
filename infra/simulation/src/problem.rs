//! Refusals of the simulators' local endpoints, as RFC 9457 problems.

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::fields::FieldError;

/// A refusal.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    error: Option<FieldError>,
}

impl Problem {
    /// A refusal whose reason is not in a field.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            error: None,
        }
    }

    /// A refusal of the field at this JSON pointer.
    pub fn invalid(pointer: &str, message: &'static str) -> Self {
        FieldError {
            pointer: pointer.to_owned(),
            message,
        }
        .into()
    }

    /// Parses a body as JSON.
    pub fn parsed(body: &[u8]) -> Result<Value, Self> {
        serde_json::from_slice(body).map_err(|error| {
            let detail = format!("the body is not valid JSON: {error}");
            Self::new(StatusCode::BAD_REQUEST, detail)
        })
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        let detail = format!("{} {}", error.pointer, error.message);
        Self {
            status: StatusCode::BAD_REQUEST,
            detail: detail.trim().to_owned(),
            error: Some(error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let code = match self.status {
            StatusCode::BAD_REQUEST => "INVALID_REQUEST",
            StatusCode::NOT_FOUND => "NOT_FOUND",
            _ => "INTERNAL_ERROR",
        };
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": code,
        });
        if let Some(FieldError { pointer, message }) = self.error {
            body["errors"] = json!([{"pointer": pointer, "message": message}]);
        }
        let media_type = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, media_type, body.to_string()).into_response()
    }
}
