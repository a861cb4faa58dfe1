//! One call over HTTP: up to three tries before the caller's deadline. Knows neither tokens nor alerts.

use backoff::{Backoff, Jitter};
use std::time::Duration;

use reqwest::{
    Client, Method, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    GithubError,
    answer::{Answer, Refusal},
    config::ApiVersion,
};
use domain::finding::RepositoryId;
use outbound::{BaseUrl, secrets::SecretText};
use telemetry::metrics::{self, GithubAnswer, Metric};

const MOST_TRIES: u32 = 3;
/// GitHub itself ends a request after ten seconds.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest body in bytes. A page of 100 alerts has about 0.5 MB.
const LARGEST_BODY: usize = 16 * 1024 * 1024;
/// The longest wait that GitHub may ask for within a call. A longer one is left to the caller, who need not run
/// meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The upper bound of the first wait between tries.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(250);

/// A request, and how to make it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) body: Option<Vec<u8>>,
    pub(super) repeat: Repeat,
    /// The repository of the call. A redirect to what may be another repository is not followed.
    pub(super) only: Option<RepositoryId>,
}

/// Whether a call may be repeated after its answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    Safe,
    Never,
}

impl Call {
    pub(super) fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            body: None,
            repeat: Repeat::Safe,
            only: None,
        }
    }
}

/// What was read from an answer.
pub(super) enum Reading<T> {
    Done(T),
    /// A redirect to this URL.
    Moved {
        status: u16,
        to: String,
    },
    Refused(Refusal),
}

impl<T> Reading<T> {
    /// For calls that GitHub does not redirect.
    pub(super) fn settled(self) -> Result<T, GithubError> {
        match self {
            Self::Done(value) => Ok(value),
            Self::Moved { status, .. } => Err(Refusal::Unexpected { status }.into()),
            Self::Refused(refusal) => Err(refusal.into()),
        }
    }
}

#[derive(Debug)]
pub(super) struct Transport {
    http: Client,
    first_wait: Duration,
}

impl Transport {
    pub(super) fn new(
        base: &BaseUrl,
        version: &ApiVersion,
        first_wait: Duration,
    ) -> Result<Self, GithubError> {
        let mut headers = HeaderMap::new();
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/vnd.github+json"),
        );
        headers.insert(
            HeaderName::from_static("x-github-api-version"),
            version.header(),
        );
        let http = outbound::client(base, headers, TRY_TIMEOUT)
            .map_err(|source| GithubError::Client { source })?;
        Ok(Self { http, first_wait })
    }

    /// Makes `call`, up to three times, until the answer is one that a repeat would not change.
    pub(super) async fn make<T>(
        &self,
        call: &Call,
        bearer: &SecretText,
        deadline: Instant,
        read: impl Fn(&Answer) -> Reading<T>,
    ) -> Result<Reading<T>, GithubError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let result = match timeout_at(deadline, self.once(call, bearer)).await {
                Ok(Ok(answer)) => {
                    if let Some(left) = budget_left(&answer) {
                        metrics::record(Metric::GithubBudgetLeft(left));
                    }
                    Ok(read(&answer))
                }
                Ok(Err(error)) => Err(error),
                Err(_) => {
                    metrics::record(Metric::GithubAnswered(GithubAnswer::None));
                    return Err(GithubError::OutOfTime);
                }
            };
            metrics::record(Metric::GithubAnswered(answered(&result)));
            let asked_wait = match &result {
                Ok(Reading::Refused(Refusal::ServerError { retry_after, .. })) => {
                    retry_after.unwrap_or_default()
                }
                Ok(Reading::Refused(Refusal::Malformed)) | Err(GithubError::Network { .. }) => {
                    Duration::ZERO
                }
                Ok(_) | Err(_) => return result,
            };
            if tries == MOST_TRIES || call.repeat == Repeat::Never || asked_wait > LONGEST_WAIT {
                return result;
            }
            let backoff = Backoff::doubling(self.first_wait, Jitter::Full);
            let wait = asked_wait.max(backoff.after(tries));
            if timeout_at(deadline, sleep(wait)).await.is_err() {
                return result;
            }
        }
    }

    async fn once(&self, call: &Call, bearer: &SecretText) -> Result<Answer, GithubError> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", bearer.expose()))
            .map_err(|_| Refusal::Malformed)?;
        authorization.set_sensitive(true);
        let mut request = self
            .http
            .request(call.method.clone(), call.url.clone())
            .header(AUTHORIZATION, authorization);
        if let Some(body) = &call.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        // The URL contains the repository's name, which must not be logged.
        let network = |error: reqwest::Error| GithubError::Network {
            source: error.without_url(),
        };
        let request = outbound::traced(request);
        let mut response = request.send().await.map_err(network)?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        // A body that is too long is read as empty: status and headers still decide.
        let body = outbound::body(&mut response, LARGEST_BODY)
            .await
            .map_err(network)?;
        Ok(Answer {
            status,
            headers,
            body,
        })
    }
}

/// The requests left within the hour, according to the answer.
fn budget_left(answer: &Answer) -> Option<u64> {
    let left = answer.headers.get("x-ratelimit-remaining")?;
    left.to_str().ok()?.parse().ok()
}

const fn answered<T>(result: &Result<Reading<T>, GithubError>) -> GithubAnswer {
    match result {
        Ok(Reading::Done(_) | Reading::Moved { .. }) => GithubAnswer::Read,
        Ok(Reading::Refused(Refusal::RateLimited(_))) => GithubAnswer::RateLimited,
        Ok(Reading::Refused(Refusal::ServerError { .. } | Refusal::Malformed)) => {
            GithubAnswer::Failed
        }
        Ok(Reading::Refused(
            Refusal::AuthInvalid
            | Refusal::PermissionMissing
            | Refusal::AlertsDisabled
            | Refusal::Unavailable
            | Refusal::Gone
            | Refusal::Unexpected { .. },
        )) => GithubAnswer::Refused,
        Err(_) => GithubAnswer::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remaining_requests_are_read_from_a_valid_header_only() {
        for (header, left) in [
            (Some("4711"), Some(4711)),
            (Some("0"), Some(0)),
            (Some("-1"), None),
            (Some("many"), None),
            (None, None),
        ] {
            let name = HeaderName::from_static("x-ratelimit-remaining");
            let header = header.map(|value| (name, HeaderValue::from_static(value)));
            let answer = Answer {
                status: 200,
                headers: header.into_iter().collect(),
                body: Vec::new(),
            };
            assert_eq!(budget_left(&answer), left, "{answer:?}");
        }
    }
}
