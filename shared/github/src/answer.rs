//! What an answer of GitHub means. Pure and total: every status, any headers, any body.
//!
//! | answer | meaning |
//! | --- | --- |
//! | 200 and a JSON array | a page of alerts |
//! | 304 | nothing changed |
//! | 301, 302, 307, 308 with a `Location` | ask there |
//! | 401 | the token is no good |
//! | 403, 429 with `Retry-After` | secondary rate limit, until then |
//! | 403, 429 with `x-ratelimit-remaining: 0` | primary rate limit, until `x-ratelimit-reset` |
//! | any other 429; 403 speaking of a rate limit | secondary rate limit, for a minute |
//! | 404, 451; any other 4xx saying that access is blocked | the repository is not available |
//! | 403, 422 saying that alerts are disabled or not available | the repository has no alerts to read |
//! | 403 saying that the installation is suspended | the integration is no good |
//! | any other 403 | the App may not read alerts here |
//! | 410 | what was asked for was withdrawn |
//! | 5xx | GitHub failed |
//! | 200 and anything else | malformed |
//! | anything else | unexpected |
//!
//! Headers decide before messages, since 403 alone has five meanings.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use serde::Deserialize;
use serde_json::value::RawValue;

use domain::{Timestamp, finding::Source};

use crate::source;

/// How long GitHub asks to be left alone when it does not say for how long.
const UNSTATED_WAIT: Duration = Duration::from_secs(60);

/// However long ago a limit should have ended by our clock, it is not asked again at once.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Vec<u8>,
}

/// The meaning of an answer to a listing of alerts.
#[derive(Debug)]
pub enum Classified<'a> {
    /// A page; each alert is yet to be read.
    Page(Vec<&'a RawValue>),
    /// Nothing changed since the version asked about.
    NotModified,
    /// Ask at this URL instead.
    Moved(&'a str),
    /// No.
    Refused(Refusal),
}

/// Why GitHub did not give what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A fresh token is refused as well, or the installation is gone or suspended.
    #[error("the App is not let in")]
    AuthInvalid,
    /// The repository does not exist for us, or is blocked.
    #[error("the repository is not available")]
    Unavailable,
    /// The App lacks the permission.
    #[error("the App lacks the permission")]
    PermissionMissing,
    /// The repository has alerts disabled, or is archived, or cannot have any.
    #[error("alerts are disabled for the repository")]
    AlertsDisabled,
    /// Too many requests.
    #[error("rate limited until {}", .0.until)]
    RateLimited(RateLimit),
    /// GitHub failed, after retries.
    #[error("GitHub failed with status {status}")]
    ServerError {
        /// The last status.
        status: u16,
        /// For how long GitHub asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// GitHub said yes, but not with the status and the body that it should have, after retries.
    #[error("GitHub's answer is malformed")]
    Malformed,
    /// What was asked for was withdrawn.
    #[error("it was withdrawn")]
    Gone,
    /// An answer that should not occur; asking again would not help.
    #[error("unexpected status {status}")]
    Unexpected {
        /// The status.
        status: u16,
    },
}

/// A rate limit that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// No request before this moment; always in the future when it is told.
    pub until: Timestamp,
    /// Which limit.
    pub kind: RateLimitKind,
}

/// GitHub's two kinds of rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimitKind {
    /// The hourly count of the installation.
    Primary,
    /// Too much at a time.
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

/// Where a redirect leads.
pub(super) fn location(answer: &Answer) -> Option<&str> {
    match answer.status {
        301 | 302 | 307 | 308 => text(&answer.headers, &LOCATION),
        _ => None,
    }
}

/// The meaning of an `answer` that is neither success nor redirect, whatever was asked for.
pub(super) fn refusal(answer: &Answer, now: Timestamp) -> Refusal {
    let status = answer.status;
    match status {
        // A yes in another form than the one asked for: a change may have been made.
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

/// The limit that a 403 or 429 speaks of, if it does.
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

/// What GitHub writes into the body of a refusal.
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
    /// Empty if the body is not what GitHub writes.
    fn complaint(&self) -> Complaint {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
