//! The analysis service: begins a session for a finding, interrupts one. Knows nothing of commands or of what is stored.
//!
//! | answer to a launch | meaning |
//! | --- | --- |
//! | 200, 201 with both session ids | it has begun, now or by an earlier try with this key |
//! | 402 | no credits |
//! | 401, again with the token read anew; any other 4xx; a redirect | refused |
//! | 408, 425, 429, 5xx | busy: worth another try, perhaps later |
//! | 2xx with anything else | malformed: it may have begun |
//! | none | it may have begun |
//!
//! A launch is named by its key, so that trying again is safe. Nothing an error says comes from a body, a token or a URL.

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
/// Between tries.
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(250), Jitter::Full);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Where the agent is, and how we sign in.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The root of its API.
    pub base_url: BaseUrl,
    /// Where our token for it is kept.
    pub token: SecretName,
}

/// Where the agent calls back: https, or http on the loopback interface.
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

/// What is to be analysed, and how.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Names the launch: the same session however often it is sent.
    pub key: CommandId,
    /// The repository it is about.
    pub repository: &'a RepositoryName,
    /// Reads the repository's contents.
    pub github_token: &'a SecretText,
    /// The model that analyses.
    pub model: &'a str,
    /// The model that triages.
    pub triage_model: &'a str,
    /// How deep to go.
    pub mode: AnalysisMode,
    /// What was found.
    pub finding: &'a Finding,
    /// Where to call back.
    pub callback_url: &'a CallbackUrl,
    /// With what right.
    pub callback_token: &'a SecretText,
    /// Until when.
    pub callback_by: Timestamp,
}

/// A session at the agent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// In the agent's cloud: what it calls back with.
    pub cloud_agent_session_id: SessionId,
    /// For its command line.
    pub cli_session_id: SessionId,
}

/// The agent did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is nothing to pay with.
    #[error("the agent has no credits left")]
    NoCredits,
    /// It will not, however often it is asked.
    #[error("the agent refused with status {status}")]
    Refused {
        /// The status.
        status: u16,
    },
    /// It cannot at present.
    #[error("the agent is busy or failing, with status {status}")]
    Busy {
        /// The status.
        status: u16,
        /// For how long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// It said yes in a form that cannot be understood: it may have begun.
    #[error("the agent's answer is malformed")]
    Malformed,
    /// It did not answer: it may have begun.
    #[error("cannot reach the agent")]
    Network {
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// Our time was over before it answered: it may have begun.
    #[error("out of time for the agent")]
    OutOfTime,
    /// We cannot say who we are: nothing was asked.
    #[error("cannot sign in to the agent")]
    Credentials(#[from] SecretError),
    /// The client cannot be made.
    #[error("cannot prepare HTTP for the agent")]
    Client {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

/// A launch that did not come to a session.
#[derive(Debug)]
pub struct LaunchFailed {
    /// What the last try met.
    pub error: AgentError,
    /// Whether any of the tries may have begun one all the same.
    pub may_have_begun: bool,
}

impl AgentError {
    /// Whether the agent may have begun all the same.
    pub const fn may_have_begun(&self) -> bool {
        match self {
            // A 5xx may come from something between it and us.
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

/// What was asked, ready to be sent.
struct Request<'a> {
    method: Method,
    url: Url,
    key: Option<CommandId>,
    body: Option<&'a [u8]>,
}

/// What came back.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Agent {
    /// A client that signs in with the token `secrets` holds. Asks nothing yet.
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

    /// Has a session begin, or gives the one that this key has begun. Tried a few times until `deadline`.
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
        let body = serde_json::to_vec(&body).expect("plain data: it cannot fail to serialise");
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

    /// Has a session end. One that has ended, or that the agent does not know, is fine.
    pub async fn interrupt(
        &self,
        session: &SessionId,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<(), AgentError> {
        let mut url = self.base.at(format_args!("/v1/sessions"));
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(session.as_str());
        }
        let request = Request {
            method: Method::DELETE,
            url,
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

    /// Asks until there is an answer that asking again would not change. If the agent does not accept our token, it may
    /// have been rotated since we read it: it is read once more.
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
        // The URL would name the session in every log of the error.
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

/// The meaning of an answer that is no success. Total.
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
