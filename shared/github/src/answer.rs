//! The meaning of GitHub's answers. Pure and total: any status, any headers, any body.
//!
//! | answer | meaning |
//! | --- | --- |
//! | 200 and a JSON array | a page of alerts |
//! | 304 | nothing changed |
//! | 301, 302, 307, 308 with a `Location` | redirect |
//! | 401 | the token is not valid |
//! | 403, 429 with `Retry-After` | secondary rate limit, until then |
//! | 403, 429 with `x-ratelimit-remaining: 0` | primary rate limit, until `x-ratelimit-reset` |
//! | any other 429; 403 whose message mentions a rate limit | secondary rate limit, for a minute |
//! | 404, 451; any other 4xx whose message says that access is blocked | the repository is not available |
//! | 403, 422 whose message says that alerts are disabled or not available | the repository has no alerts |
//! | 403 whose message says that the installation is suspended | the credentials are rejected |
//! | any other 403 | a permission is missing |
//! | 410 | the alert was withdrawn |
//! | 5xx | GitHub failed |
//! | 200 and anything else, or with a `Link` header that RFC 8288 does not allow | malformed |
//! | anything else | unexpected |
//!
//! Headers are checked before messages, because a 403 has five meanings.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use serde::Deserialize;
use serde_json::value::RawValue;

use domain::{Timestamp, finding::Source};

use crate::source;

/// The wait for a rate limit that does not name one: GitHub's documentation asks for at least a minute.
const UNSTATED_WAIT: Duration = Duration::from_secs(60);

/// The shortest wait, for a limit that has ended by our clock but not by GitHub's.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// A complete answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// The meaning of an answer to a listing of alerts.
#[derive(Debug)]
pub enum Classified<'a> {
    /// A page of alerts, not parsed yet.
    Page(Vec<&'a RawValue>),
    /// Nothing has changed since the requested version.
    NotModified,
    /// A redirect to this URL.
    Moved(&'a str),
    /// A refusal.
    Refused(Refusal),
}

/// Why GitHub refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// GitHub rejects a fresh token too, or the installation is deleted or suspended.
    #[error("GitHub rejected the App's credentials")]
    AuthInvalid,
    /// The repository does not exist or is blocked, or the installation cannot access it.
    #[error("GitHub does not give access to the repository")]
    Unavailable,
    /// The App lacks a permission.
    #[error("GitHub App lacks a permission for the request")]
    PermissionMissing,
    /// The repository has alerts disabled, is archived, or cannot have alerts.
    #[error("GitHub has alerts disabled for the repository")]
    AlertsDisabled,
    /// Too many requests.
    #[error("GitHub's rate limit is exceeded until {}", .0.until)]
    RateLimited(RateLimit),
    /// GitHub failed, after retries.
    #[error("GitHub failed: status {status}")]
    ServerError {
        /// The last status.
        status: u16,
        /// The wait that GitHub asked for.
        retry_after: Option<Duration>,
    },
    /// GitHub answered with a success status, but not with the expected status and body, after retries.
    #[error("GitHub's answer is malformed")]
    Malformed,
    /// GitHub has withdrawn the alert.
    #[error("GitHub has withdrawn the alert")]
    Gone,
    /// An undocumented answer. A retry would not help.
    #[error("GitHub answered with unexpected status {status}")]
    Unexpected {
        /// The status.
        status: u16,
    },
}

/// An exceeded rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// No request before this time, which is always in the future.
    pub until: Timestamp,
    /// The kind of limit.
    pub kind: RateLimitKind,
}

/// GitHub's two kinds of rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimitKind {
    /// The installation's requests per hour.
    Primary,
    /// Too many requests at once.
    Secondary,
}

/// The meaning of `answer` to a listing of alerts, received at `now`.
pub fn classify(answer: &Answer, now: Timestamp) -> Classified<'_> {
    match answer.status {
        200 => match serde_json::from_slice(&answer.body) {
            Ok(alerts) => Classified::Page(alerts),
            Err(_) => Classified::Refused(Refusal::Malformed),
        },
        304 => Classified::NotModified,
        _ => match location(answer) {
            Some(location) => Classified::Moved(location),
            None => Classified::Refused(refusal(answer, now)),
        },
    }
}

/// The target of a redirect.
pub(super) fn location(answer: &Answer) -> Option<&str> {
    match answer.status {
        301 | 302 | 307 | 308 => text(&answer.headers, &LOCATION),
        _ => None,
    }
}

/// The meaning of an `answer` to any request that is neither a success nor a redirect.
pub(super) fn refusal(answer: &Answer, now: Timestamp) -> Refusal {
    let status = answer.status;
    match status {
        // A success that the caller could not read: a change may have been made.
        200..=299 => Refusal::Malformed,
        401 => Refusal::AuthInvalid,
        404 | 451 => Refusal::Unavailable,
        410 => Refusal::Gone,
        403 | 429 => match rate_limit(answer, now) {
            Some(limit) => Refusal::RateLimited(limit),
            None => forbidden(&answer.complaint()),
        },
        400..=499 => match answer.complaint() {
            complaint if complaint.says_blocked() => Refusal::Unavailable,
            complaint if status == 422 && complaint.says_no_alerts() => Refusal::AlertsDisabled,
            _ => Refusal::Unexpected { status },
        },
        500..=599 => Refusal::ServerError {
            status,
            retry_after: retry_after(&answer.headers, now),
        },
        _ => Refusal::Unexpected { status },
    }
}

fn forbidden(complaint: &Complaint) -> Refusal {
    if complaint.says_blocked() {
        Refusal::Unavailable
    } else if complaint.says_no_alerts() {
        Refusal::AlertsDisabled
    } else if complaint.says("suspended") {
        Refusal::AuthInvalid
    } else {
        Refusal::PermissionMissing
    }
}

/// The rate limit that a 403 or 429 reports, if any.
fn rate_limit(answer: &Answer, now: Timestamp) -> Option<RateLimit> {
    let ends = |wait: Duration, kind| {
        Some(RateLimit {
            until: now + wait.max(SHORTEST_WAIT),
            kind,
        })
    };
    if let Some(wait) = retry_after(&answer.headers, now) {
        return ends(wait, RateLimitKind::Secondary);
    }
    if text(&answer.headers, &REMAINING) == Some("0") {
        let reset = text(&answer.headers, &RESET)
            .and_then(|seconds| seconds.parse().ok())
            .map(Timestamp::from_seconds);
        return ends(
            reset.map_or(UNSTATED_WAIT, |reset| reset.since(now)),
            RateLimitKind::Primary,
        );
    }
    let complaint = answer.complaint();
    if answer.status == 429 || complaint.says("rate limit") || complaint.says("abuse detection") {
        return ends(UNSTATED_WAIT, RateLimitKind::Secondary);
    }
    None
}

static REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
static RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    Some(Timestamp::from_millis(date.timestamp().as_millisecond()).since(now))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::trim)
}

/// The body of a refusal.
#[derive(Default, Deserialize)]
struct Complaint {
    #[serde(default)]
    message: String,
    #[serde(default)]
    block: Option<serde::de::IgnoredAny>,
}

impl Complaint {
    fn says(&self, words: &str) -> bool {
        self.message.to_ascii_lowercase().contains(words)
    }

    fn says_blocked(&self) -> bool {
        self.block.is_some() || self.says("access blocked")
    }

    fn says_no_alerts(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        Source::ALL
            .iter()
            .any(|&source| source::of(source).has_none(&message))
    }
}

impl Answer {
    /// The body of a refusal; empty if it has another form.
    fn complaint(&self) -> Complaint {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
