//! A request's JSON body: bounded, declared as JSON, and an object.

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use serde_json::{Map, Value};

use crate::{
    fields::Fields,
    problem::{Code, Problem},
};

/// The longest body accepted.
pub const LONGEST: usize = 64 * 1024;

/// The fields of a JSON body.
#[derive(Debug)]
pub struct JsonBody(pub Fields);

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = to_bytes(body, LONGEST).await.map_err(|_| {
            Problem::new(
                Code::BodyTooLarge,
                "The body is longer than 64 KiB. Send a shorter body.",
            )
        })?;
        if !is_json(&parts.headers) {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "The body is not declared as JSON. Send it with Content-Type: application/json.",
            ));
        }
        // The parser's message names a position only, so it repeats nothing from the body.
        let object: Map<String, Value> = serde_json::from_slice(&bytes)
            .map_err(|error| Problem::new(Code::MalformedBody, format!("{error}.")))?;
        Ok(Self(Fields::new(object)))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let declared = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = declared.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}
