//! A client of the analysis service (the agent): launches a session for a finding, interrupts one. Knows no rows.
//!
//! | answer to a launch | meaning |
//! | --- | --- |
//! | 200, 201 with both session ids | started, by this or an earlier try with this idempotency key |
//! | 402 | no credits |
//! | 401 twice, the second time with the token read again; any other 4xx; a redirect | refused |
//! | 408, 425, 429, 5xx | busy: a later try may succeed |
//! | 2xx with anything else | malformed: the session may have started |
//! | none | the session may have started |
//!
//! The idempotency key makes a repeated launch safe. No error contains text from a body, a token or a URL.

pub mod callback_token;

use backoff::{Backoff, Jitter};
use std::{str::FromStr, time::Duration};

use reqwest::{
    Client, Method, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};

use domain::{
    Timestamp,
    analysis::SessionId,
    command::CommandId,
    finding::{Finding, RepositoryName},
    settings::AnalysisMode,
};
use outbound::{
    BaseUrl, InvalidBaseUrl,
    secrets::{SecretError, SecretName, SecretText, Secrets},
};

const MOST_TRIES: u32 = 3;
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
const LARGEST_BODY: usize = 64 * 1024;
/// The backoff between tries.
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(250), Jitter::Full);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The agent's address and our credentials there.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The root of its API.
    pub base_url: BaseUrl,
    /// The secret with our API token.
    pub token: SecretName,
}

/// The URL of callbacks: https, or http on the loopback interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackUrl(Url);

impl FromStr for CallbackUrl {
    type Err = InvalidBaseUrl;
    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        text.parse::<BaseUrl>()
            .map(|url| Self(url.at(format_args!(""))))
    }
}

/// A client of the agent. Clones share connections.
#[derive(Clone, Debug)]
pub struct Agent {
    http: Client,
    base: BaseUrl,
    token: SecretName,
    secrets: Secrets,
}

/// A launch: what to analyse, and how.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The idempotency key: repeated launches start one session.
    pub key: CommandId,
    /// The finding's repository.
    pub repository: &'a RepositoryName,
    /// A token that reads the repository's contents.
    pub github_token: &'a SecretText,
    /// The model for the analysis.
    pub model: &'a str,
    /// The model for the triage.
    pub triage_model: &'a str,
    /// How deep to analyse.
    pub mode: AnalysisMode,
    /// The finding.
    pub finding: &'a Finding,
    /// The callback's URL.
    pub callback_url: &'a CallbackUrl,
    /// The callback's token.
    pub callback_token: &'a SecretText,
    /// When the callback's token expires.
    pub callback_by: Timestamp,
}

/// A session at the agent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The session in the agent's cloud; callbacks name it.
    pub cloud_agent_session_id: SessionId,
    /// The session for the agent's command line.
    pub cli_session_id: SessionId,
}

/// The agent did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The account has no credits.
    #[error("agent has no credits left")]
    NoCredits,
    /// The agent refused; repeating the request does not help.
    #[error("agent refused the request: status {status}")]
    Refused {
        /// The status.
        status: u16,
    },
    /// A later try may succeed.
    #[error("agent is busy or failing: status {status}")]
    Busy {
        /// The status.
        status: u16,
        /// The wait that the agent asked for.
        retry_after: Option<Duration>,
    },
    /// The agent accepted, but the answer is malformed. The session may have started.
    #[error("agent's answer is malformed")]
    Malformed,
    /// The agent did not answer. The session may have started.
    #[error("cannot reach the agent")]
    Network {
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// The deadline passed before the agent answered. The session may have started.
    #[error("agent did not answer before the deadline")]
    OutOfTime,
    /// The API token could not be read. No request was sent.
    #[error("cannot read the agent's API token")]
    Credentials(#[from] SecretError),
    /// The HTTP client could not be created.
    #[error("cannot create the HTTP client for the agent")]
    Client {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

/// A launch that returned no session.
#[derive(Debug)]
pub struct LaunchFailed {
    /// The error of the last try.
    pub error: AgentError,
    /// Whether any of the tries may have started a session.
    pub may_have_begun: bool,
}

impl AgentError {
    /// Whether the agent may have started a session despite this error.
    pub const fn may_have_begun(&self) -> bool {
        match self {
            // A proxy may answer 5xx after the agent has accepted.
            Self::Busy { .. } | Self::Malformed | Self::Network { .. } | Self::OutOfTime => true,
            Self::NoCredits | Self::Refused { .. } | Self::Credentials(_) | Self::Client { .. } => {
                false
            }
        }
    }

    const fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Busy { retry_after, .. } => retry_after.is_none(),
            Self::Malformed | Self::Network { .. } => true,
            Self::OutOfTime
            | Self::NoCredits
            | Self::Refused { .. }
            | Self::Credentials(_)
            | Self::Client { .. } => false,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    repository: &'a RepositoryName,
    github_token: &'a str,
    model: &'a str,
    triage_model: &'a str,
    mode: AnalysisMode,
    finding: &'a Finding,
    callback: Callback<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Callback<'a> {
    url: &'a str,
    token: &'a str,
    expires_at: Timestamp,
}

/// A request, ready to be sent.
struct Request<'a> {
    method: Method,
    url: Url,
    key: Option<CommandId>,
    body: Option<&'a [u8]>,
}

/// The agent's answer.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Agent {
    /// A client that signs in with the token in `secrets`. Sends no request yet.
    pub fn new(config: &AgentConfig, secrets: Secrets) -> Result<Self, AgentError> {
        let http = outbound::client(&config.base_url, HeaderMap::new(), TRY_TIMEOUT)
            .map_err(|source| AgentError::Client { source })?;
        Ok(Self {
            http,
            base: config.base_url.clone(),
            token: config.token.clone(),
            secrets,
        })
    }

    /// Starts a session, or returns the one that an earlier launch with this key started. Up to three tries until
    /// `deadline`.
    pub async fn launch(
        &self,
        launch: &Launch<'_>,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Session, LaunchFailed> {
        let body = Body {
            repository: launch.repository,
            github_token: launch.github_token.expose(),
            model: launch.model,
            triage_model: launch.triage_model,
            mode: launch.mode,
            finding: launch.finding,
            callback: Callback {
                url: launch.callback_url.0.as_str(),
                token: launch.callback_token.expose(),
                expires_at: launch.callback_by,
            },
        };
        let body = serde_json::to_vec(&body).expect("plain data always serialises");
        let request = Request {
            method: Method::POST,
            url: self.base.at(format_args!("/v1/sessions")),
            key: Some(launch.key),
            body: Some(&body),
        };
        self.ask(&request, now, deadline, |answer| match answer.status {
            StatusCode::OK | StatusCode::CREATED => {
                serde_json::from_slice(&answer.body).map_err(|_| AgentError::Malformed)
            }
            _ => Err(refusal(answer)),
        })
        .await
    }

    /// Ends a session. Succeeds if the session has ended already or the agent does not know it.
    pub async fn interrupt(
        &self,
        session: &SessionId,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<(), AgentError> {
        let request = Request {
            method: Method::DELETE,
            // Needs no encoding: a session id is one segment of a path.
            url: self.base.at(format_args!("/v1/sessions/{session}")),
            key: None,
            body: None,
        };
        self.ask(&request, now, deadline, |answer| match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(()),
            _ => Err(refusal(answer)),
        })
        .await
        .map_err(|failed| failed.error)
    }

    /// Sends the request until the answer is one that a repeat would not change.
    async fn ask<T>(
        &self,
        request: &Request<'_>,
        now: Timestamp,
        deadline: Instant,
        read: impl Fn(&Answer) -> Result<T, AgentError>,
    ) -> Result<T, LaunchFailed> {
        let mut may_have_begun = false;
        let mut failed = |error: AgentError| {
            may_have_begun |= error.may_have_begun();
            LaunchFailed {
                error,
                may_have_begun,
            }
        };
        let token = in_time(deadline, self.secrets.read(&self.token, now)).await;
        let mut token = token.map_err(&mut failed)?;
        let mut reread = false;
        let mut tries = 0;
        loop {
            tries += 1;
            let answered = match timeout_at(deadline, self.once(request, &token)).await {
                Ok(Ok(answer)) => {
                    // The token may have been rotated since it was cached: read it once more.
                    if answer.status == StatusCode::UNAUTHORIZED && !reread {
                        reread = true;
                        let fresh = self.secrets.reread(&self.token, now);
                        token = in_time(deadline, fresh).await.map_err(&mut failed)?;
                        continue;
                    }
                    read(&answer)
                }
                Ok(Err(error)) => Err(error),
                Err(_) => return Err(failed(AgentError::OutOfTime)),
            };
            let error = match answered {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let again = error.is_worth_another_try() && tries < MOST_TRIES;
            let error = failed(error);
            if !again
                || timeout_at(deadline, sleep(BACKOFF.after(tries)))
                    .await
                    .is_err()
            {
                return Err(error);
            }
        }
    }

    async fn once(&self, asked: &Request<'_>, token: &SecretText) -> Result<Answer, AgentError> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|_| AgentError::Refused { status: 401 })?;
        authorization.set_sensitive(true);
        let mut request = self
            .http
            .request(asked.method.clone(), asked.url.clone())
            .header(AUTHORIZATION, authorization);
        if let Some(key) = asked.key {
            request = request.header(IDEMPOTENCY_KEY, key.to_string());
        }
        if let Some(body) = asked.body {
            request = request
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(body.to_vec());
        }
        // The URL contains the session id, which must not be logged.
        let network = |error: reqwest::Error| AgentError::Network {
            source: error.without_url(),
        };
        let request = outbound::traced(request);
        let mut response = request.send().await.map_err(network)?;
        let body = outbound::body(&mut response, LARGEST_BODY)
            .await
            .map_err(network)?;
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        Ok(Answer {
            status: response.status(),
            retry_after,
            body,
        })
    }
}

async fn in_time(
    deadline: Instant,
    secret: impl Future<Output = Result<SecretText, SecretError>>,
) -> Result<SecretText, AgentError> {
    match timeout_at(deadline, secret).await {
        Ok(read) => Ok(read?),
        Err(_) => Err(AgentError::OutOfTime),
    }
}

/// Classifies an answer that is not a success.
fn refusal(answer: &Answer) -> AgentError {
    let status = answer.status.as_u16();
    match status {
        402 => AgentError::NoCredits,
        408 | 425 | 429 | 500..=599 => AgentError::Busy {
            status,
            retry_after: answer.retry_after,
        },
        200..=299 => AgentError::Malformed,
        _ => AgentError::Refused { status },
    }
}

#[cfg(test)]
mod tests;
