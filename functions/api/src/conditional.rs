//! Conditional requests: entity tags, `If-None-Match` and `If-Match`.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    failure::defect,
    problem::{Code, Invalid, Problem},
};

/// Returns the representation, or 304 if the caller's copy is current. The tag is strong: a hash of the body.
pub fn representation(headers: &HeaderMap, body: &impl Serialize) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(body).map_err(|error| defect(&error))?;
    let hash: String = Sha256::digest(&bytes)
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let tag = format!("\"{hash}\"");
    let known = lists(headers, header::IF_NONE_MATCH)
        .any(|candidate| candidate == "*" || candidate.trim_start_matches("W/") == tag);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// The version that a save replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Any version.
    Any,
    /// Exactly this one.
    Version(u64),
}

impl Expected {
    /// Whether the stored version is the expected one.
    pub fn admits(self, found: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Version(version) => version == found,
        }
    }
}

/// Reads `If-Match`, as a plain number or as an entity tag.
pub fn if_match(headers: &HeaderMap) -> Result<Expected, Problem> {
    let Some(given) = headers.get(header::IF_MATCH) else {
        return Err(Problem::new(
            Code::VersionRequired,
            "If-Match is missing. Send the version that you read, so that you do not overwrite a newer change.",
        ));
    };
    let text = given.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(Expected::Any);
    }
    let text = text.strip_prefix("W/").unwrap_or(text);
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    quoted
        .unwrap_or(text)
        .parse()
        .map(Expected::Version)
        .map_err(|_| {
            let message = "must be a version such as 3, or *";
            Problem::invalid(vec![Invalid::new("/headers/if-match", message)])
        })
}

/// Returns the members of a header's comma-separated lists.
fn lists(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(text: &'static str) -> Result<Expected, Code> {
        let headers = [(header::IF_MATCH, HeaderValue::from_static(text))];
        if_match(&headers.into_iter().collect()).map_err(|problem| problem.code())
    }

    #[test]
    fn a_version_is_read_in_every_usual_spelling() {
        for text in ["3", "\"3\"", "W/\"3\"", " 3 "] {
            assert_eq!(matching(text), Ok(Expected::Version(3)), "{text}");
        }
        assert_eq!(matching("*"), Ok(Expected::Any));
        for text in ["", "three", "-1", "\"3", "3, 4"] {
            assert_eq!(matching(text), Err(Code::ValidationFailed), "{text}");
        }
        let absent = if_match(&HeaderMap::new()).map_err(|problem| problem.code());
        assert_eq!(absent, Err(Code::VersionRequired));
    }
}
