//! GitHub's API: handles every request and answers it from memory.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Response, StatusCode, Uri};
use jiff::Timestamp;
use simulation::{Effect, Strike, lose_answer};

use crate::Simulator;
use crate::answer::Answer;
use crate::call::Call;
use crate::requests::Sequence;
use crate::tokens::Grant;
use crate::version::ApiVersion;

mod alerts;
mod installation;

const LARGEST_BODY: usize = 1024 * 1024;

/// A request with its complete body.
#[derive(Debug)]
struct Incoming {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    version: ApiVersion,
    now: Timestamp,
}

impl Incoming {
    fn parameters(&self) -> Vec<(String, String)> {
        axum::extract::Query::try_from_uri(&self.uri).map_or_else(|_| Vec::new(), |query| query.0)
    }

    fn bearer(&self) -> Option<&str> {
        let value = self.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, credentials) = value.split_once(' ')?;
        let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
        known.then(|| credentials.trim())
    }

    /// The base URL from the caller's point of view; links start with it.
    fn base(&self) -> String {
        let host = self
            .headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        format!("http://{}", host.unwrap_or("localhost"))
    }
}

/// Handles one request: records it, applies a fault if one matches, answers it.
pub(crate) async fn receive(
    State(simulator): State<Simulator>,
    request: Request,
) -> Response<Body> {
    let now = Timestamp::now();
    let (parts, body) = request.into_parts();
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let trace = parts.headers.get("traceparent");
    let trace = trace.and_then(|trace| trace.to_str().ok());
    let call = simulator
        .world
        .requests
        .received(parts.method.as_str(), target, trace, now);
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        simulator
            .world
            .requests
            .answered(call, StatusCode::PAYLOAD_TOO_LARGE);
        let answer = Answer::refusal(StatusCode::PAYLOAD_TOO_LARGE, "Payload too large", "");
        return answer.into_response(request_id(call, now));
    };
    let incoming = Incoming {
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        body,
        version: ApiVersion::DEFAULT,
        now,
    };
    // In a task of its own: a caller that hangs up must not undo its request.
    match tokio::spawn(proceed(simulator, incoming, call)).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "the task that answers a request panicked or was cancelled");
            server_error().into_response(request_id(call, now))
        }
    }
}

async fn proceed(
    simulator: Simulator,
    mut incoming: Incoming,
    sequence: Sequence,
) -> Response<Body> {
    let id = request_id(sequence, incoming.now);
    let call = Call::parse(&incoming.method, incoming.uri.path());
    let strike = call.as_ref().and_then(|call| simulator.strike(call));
    let struck = strike.is_some();
    let effect = Strike::befall(strike).await;
    if struck {
        // A fault may have delayed the call.
        incoming.now = Timestamp::now();
    }
    if let Effect::AnswerInstead(answer) = effect {
        simulator.world.requests.answered(sequence, answer.status);
        return answer.into_response(id);
    }

    let asked = matches!(call, Some(Call::UpdateAlert(..))).then(|| incoming.body.clone());
    let performing = {
        let simulator = simulator.clone();
        // Blocking: a change waits for the disk.
        tokio::task::spawn_blocking(move || simulator.perform(call.as_ref(), incoming))
    };
    let performed = performing.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the task that performs a call panicked or was cancelled");
        server_error()
    });
    let change = asked.filter(|_| performed.status == StatusCode::OK);
    if let Some(change) = change.and_then(|body| serde_json::from_slice(&body).ok()) {
        simulator.world.requests.changed(sequence, change);
    }
    let (answer, lost) = match effect {
        Effect::PerformThenAnswer(answer) => (answer, false),
        Effect::LoseAnswer => (performed, true),
        Effect::LetThrough | Effect::AnswerInstead(_) => (performed, false),
        Effect::Own(never) => match never {},
    };
    simulator.world.requests.answered(sequence, answer.status);
    if lost {
        lose_answer()
    } else {
        answer.into_response(id)
    }
}

impl Simulator {
    /// Returns GitHub's answer to the call.
    fn perform(&self, call: Option<&Call>, mut incoming: Incoming) -> Answer {
        if !incoming.headers.contains_key(header::USER_AGENT) {
            let message = "\r\nRequest forbidden by administrative rules. Please make sure your request has a \
                           User-Agent header (https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent).\r\n";
            return Answer::text(StatusCode::FORBIDDEN, "text/plain", message);
        }
        if let Some(name) = incoming.headers.get("x-github-api-version") {
            let Some(version) = name.to_str().ok().and_then(ApiVersion::parse) else {
                let documentation = "/overview/api-versions";
                return Answer::refusal(
                    StatusCode::BAD_REQUEST,
                    "Not a supported version",
                    documentation,
                );
            };
            incoming.version = version;
        }
        let answer = match call {
            None => Answer::not_found(""),
            Some(Call::CreateToken { installation }) => {
                either(self.create_token(&incoming, *installation))
            }
            Some(Call::Installation { installation }) => {
                either(self.describe_installation(&incoming, *installation))
            }
            Some(call) => either(self.within_limits(&incoming, call)),
        };
        answer
            .with(
                HeaderName::from_static("x-github-media-type"),
                HeaderValue::from_static("github.v3; format=json"),
            )
            .with(
                HeaderName::from_static("x-github-api-version-selected"),
                HeaderValue::from_static(incoming.version.name()),
            )
    }

    fn within_limits(&self, incoming: &Incoming, call: &Call) -> Result<Answer, Answer> {
        let grant = self.authenticate(incoming)?;
        let limit = &self.world.rate_limit;
        if *call == Call::RateLimit {
            return Ok(installation::rate_limit(
                incoming,
                limit.budget(incoming.now),
            ));
        }
        let budget = limit.take(incoming.now).map_err(|spent| {
            let message = format!(
                "API rate limit exceeded for installation ID {}.",
                self.installation_id()
            );
            let documentation = "/using-the-rest-api/rate-limits-for-the-rest-api";
            Answer::refusal(StatusCode::FORBIDDEN, &message, documentation).with_budget(spent)
        })?;
        let answer = either(self.as_installation(incoming, &grant, call));
        if incoming.method != Method::GET || answer.status != StatusCode::OK {
            return Ok(answer.with_budget(budget));
        }
        let answer = answer.conditional(&incoming.headers);
        // As on GitHub, a 304 does not count against the rate limit.
        let budget = match answer.status {
            StatusCode::NOT_MODIFIED => limit.give_back(incoming.now),
            _ => budget,
        };
        Ok(answer.with_budget(budget))
    }

    fn as_installation(
        &self,
        incoming: &Incoming,
        grant: &Grant,
        call: &Call,
    ) -> Result<Answer, Answer> {
        match call {
            Call::ListRepositories => Ok(self.list_repositories(incoming, grant)),
            Call::ListAlerts(repository) => self.list_alerts(incoming, grant, repository),
            Call::Alert(repository, number) => {
                self.show_alert(incoming, grant, repository, *number)
            }
            Call::UpdateAlert(repository, number) => {
                self.update_alert(incoming, grant, repository, *number)
            }
            Call::CreateToken { .. } | Call::Installation { .. } | Call::RateLimit => {
                Ok(Answer::not_found(""))
            }
        }
    }

    fn authenticate(&self, incoming: &Incoming) -> Result<std::sync::Arc<Grant>, Answer> {
        let refusal = |message| Answer::refusal(StatusCode::UNAUTHORIZED, message, "");
        if !incoming.headers.contains_key(header::AUTHORIZATION) {
            return Err(refusal("Requires authentication"));
        }
        incoming
            .bearer()
            .and_then(|token| self.world.tokens.grant(token, incoming.now))
            .ok_or_else(|| refusal("Bad credentials"))
    }
}

fn either(answer: Result<Answer, Answer>) -> Answer {
    let (Ok(answer) | Err(answer)) = answer;
    answer
}

fn server_error() -> Answer {
    Answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, "Server Error", "")
}

fn request_id(call: Sequence, now: Timestamp) -> HeaderValue {
    let id = format!("51B0:{:X}:{:X}", call.number(), now.as_microsecond());
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("51B0"))
}

/// Builds the `Link` header, if there is a previous or next page: the request's query with the paging parameter
/// replaced.
fn link(
    url: &str,
    parameters: &[(String, String)],
    neighbours: &[(&str, &str, String)],
) -> Option<HeaderValue> {
    let paging = ["after", "before", "page"];
    let links: Vec<String> = neighbours
        .iter()
        .map(|(relation, parameter, value)| {
            let query: Vec<String> = parameters
                .iter()
                .filter(|(name, _)| !paging.contains(&name.as_str()))
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .chain([(*parameter, value.as_str())])
                .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
                .collect();
            format!("<{url}?{}>; rel=\"{relation}\"", query.join("&"))
        })
        .collect();
    HeaderValue::try_from(links.join(", "))
        .ok()
        .filter(|_| !links.is_empty())
}

fn encoded(text: &str) -> impl std::fmt::Display {
    const KEPT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    percent_encoding::utf8_percent_encode(text, KEPT)
}
