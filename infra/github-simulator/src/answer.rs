//! Answers in GitHub's format: body, headers and entity tag.

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::{Body, Bytes};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::rate_limit::Budget;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const SERVER: HeaderValue = HeaderValue::from_static("github-simulator");

/// An answer that has not been sent yet.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Answer {
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![(header::CONTENT_TYPE, JSON)],
            body: body.into(),
        }
    }

    pub(crate) fn value(status: StatusCode, body: &Value) -> Self {
        Self::json(status, body.to_string())
    }

    /// A plain-text answer, as GitHub's edge sends them.
    pub(crate) fn text(
        status: StatusCode,
        media_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            status,
            headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static(media_type))],
            body: body.into(),
        }
    }

    /// A refusal in GitHub's error format.
    pub(crate) fn refusal(status: StatusCode, message: &str, documentation: &str) -> Self {
        let body = json!({
            "message": message,
            "documentation_url": format!("https://docs.github.com/rest{documentation}"),
            "status": status.as_str(),
        });
        Self::value(status, &body)
    }

    pub(crate) fn not_found(documentation: &str) -> Self {
        Self::refusal(StatusCode::NOT_FOUND, "Not Found", documentation)
    }

    /// Sets the header, replacing any with the same name.
    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.retain(|(present, _)| *present != name);
        self.headers.push((name, value));
        self
    }

    #[must_use]
    pub(crate) fn with_budget(self, budget: Budget) -> Self {
        let limits = [
            ("x-ratelimit-limit", i64::from(budget.limit)),
            ("x-ratelimit-remaining", i64::from(budget.remaining())),
            ("x-ratelimit-used", i64::from(budget.used)),
            ("x-ratelimit-reset", budget.resets_at.as_second()),
        ];
        limits
            .into_iter()
            .fold(self, |answer, (name, value)| {
                answer.with(HeaderName::from_static(name), HeaderValue::from(value))
            })
            .with(
                HeaderName::from_static("x-ratelimit-resource"),
                HeaderValue::from_static("core"),
            )
    }

    /// Adds the entity tag, or answers 304 if the caller already has this answer.
    ///
    /// As on GitHub, the tag depends on the credentials too: a new token invalidates every old tag.
    #[must_use]
    pub(crate) fn conditional(self, request: &HeaderMap) -> Self {
        let mut tagged = Vec::with_capacity(self.body.len() + 512);
        for name in [header::ACCEPT, header::AUTHORIZATION] {
            tagged.extend_from_slice(request.get(name).map_or(b"", HeaderValue::as_bytes));
            tagged.push(b':');
        }
        tagged.extend_from_slice(&self.body);
        let digest = digest(&SHA256, &tagged);
        let hex: String = digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let tag = format!("\"{hex}\"");
        let known = request
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|known| known.trim().trim_start_matches("W/"))
            .any(|known| known == tag || known == "*");
        let answer = if known {
            Self {
                status: StatusCode::NOT_MODIFIED,
                headers: Vec::new(),
                body: Bytes::new(),
            }
        } else {
            self
        };
        let vary = HeaderValue::from_static("Accept, Authorization, Cookie, X-GitHub-OTP");
        match HeaderValue::try_from(format!("W/{tag}")) {
            Ok(weak) => answer.with(header::ETAG, weak).with(header::VARY, vary),
            Err(_) => answer,
        }
    }

    pub(crate) fn into_response(self, request_id: HeaderValue) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::SERVER, SERVER);
        headers.insert(HeaderName::from_static("x-github-request-id"), request_id);
        headers.extend(self.headers);
        response
    }
}
