//! The HTTP function: admits commands and shows their status, shows and changes an owner's data, and receives the
//! agent's callbacks.
//!
//! A request is parsed, authorised and checked against its limits before anything is read or written ([`scope`],
//! [`fields`], [`query`]). Every refusal is a [`problem`]. How a command is carried out is the workers' part.

pub mod admission;
pub mod audit_events;
pub mod body;
pub mod callback;
pub mod claims;
pub mod command_view;
pub mod commands;
pub mod conditional;
pub mod config;
pub mod configuration;
pub mod cursor;
pub mod erasure;
mod failure;
pub mod fields;
pub mod findings;
pub mod gateway;
pub mod integration;
pub mod openapi;
pub mod problem;
pub mod query;
pub mod repositories;
mod schema;
pub mod scope;
pub mod service;
pub mod summary;

use agent::callback_token::CallbackTokens;
use axum::{
    Router,
    extract::MatchedPath,
    http::{HeaderMap, HeaderValue, header},
    middleware,
    response::Response,
    routing::{delete, get, post},
};
use domain::command::PausedCommands;
use runtime::queue::{CommandQueues, QueueUrl, Sender};
use store::{
    analyses::Analyses, audit::Audit, erasure::Erasures, findings::Findings, ledger::Ledger,
    owners::Owners, repositories::Repositories,
};
use telemetry::trace::{TRACEPARENT, TraceParent};
use tracing::{
    Instrument,
    field::{Empty, display},
};

use cursor::Cursors;
use problem::{Code, Problem};

/// The handlers' dependencies. Built once per process.
#[derive(Clone, Debug)]
pub struct App {
    /// The commands.
    pub ledger: Ledger,
    /// Configuration, integration, freshness.
    pub owners: Owners,
    /// The repositories.
    pub repositories: Repositories,
    /// The findings.
    pub findings: Findings,
    /// Their analyses.
    pub analyses: Analyses,
    /// The audit events.
    pub audit: Audit,
    /// The erasures.
    pub erasures: Erasures,
    /// Sends messages.
    pub sender: Sender,
    /// The queues of commands.
    pub queues: CommandQueues,
    /// The queue of callbacks.
    pub callback_queue: QueueUrl,
    /// The queue of erasures.
    pub erase_queue: QueueUrl,
    /// Verifies callback tokens.
    pub callback_tokens: CallbackTokens,
    /// The command types that are not admitted.
    pub paused: PausedCommands,
    /// Seals and opens page cursors.
    pub cursors: Cursors,
}

/// Returns every route. [`openapi`] describes them; a test keeps both and `template.yaml` in step.
pub fn router(app: App) -> Router {
    Router::new()
        .route(
            "/v1/owners/{owner}/commands",
            post(commands::admit).get(commands::list),
        )
        .route("/v1/owners/{owner}/commands/{id}", get(commands::read))
        .route("/v1/owners/{owner}/findings", get(findings::list))
        .route("/v1/owners/{owner}/findings/{id}", get(findings::read))
        .route("/v1/owners/{owner}/repositories", get(repositories::list))
        .route("/v1/owners/{owner}/summary", get(summary::read))
        .route(
            "/v1/owners/{owner}/config",
            get(configuration::read).put(configuration::write),
        )
        .route("/v1/owners/{owner}/integration", get(integration::read))
        .route("/v1/owners/{owner}/audit-events", get(audit_events::list))
        .route("/v1/owners/{owner}", delete(erasure::begin))
        .route("/v1/owners/{owner}/erasure", get(erasure::read))
        .route("/v1/callbacks/analysis", post(callback::receive))
        .route("/v1/health", get(service::health))
        .route("/v1/openapi.json", get(openapi::read))
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "This resource does not support this method. See the API description for those it does.")
        })
        .fallback(async || Problem::not_found())
        .layer(middleware::from_fn(finish))
        .with_state(app)
}

/// Returns the trace that a request names. An invalid or a second `traceparent` counts as none.
fn trace_of(headers: &HeaderMap) -> Option<TraceParent> {
    let mut given = headers.get_all(TRACEPARENT).iter();
    let trace = given.next()?.to_str().ok()?.parse().ok()?;
    given.next().is_none().then_some(trace)
}

/// Wraps every request: joins its trace, sets the span's fields, logs a refusal, and sets common headers.
async fn finish(
    route: Option<MatchedPath>,
    request: axum::extract::Request,
    next: middleware::Next,
) -> Response {
    let given = trace_of(request.headers());
    let span = tracing::error_span!(
        "request",
        http.method = %request.method(),
        http.route = route.as_ref().map_or("none", MatchedPath::as_str),
        owner = Empty,
        trace.id = Empty,
        command.id = Empty,
        command.type_name = Empty,
    );
    if let Some(trace) = given {
        span.record("trace.id", display(trace.id()));
    }
    let answered = async {
        let response = next.run(request).await;
        if let Some(code) = response.extensions().get::<Code>() {
            tracing::info!(
                http.status = response.status().as_u16(),
                problem.code = code.as_str(),
                "the request was refused"
            );
        }
        response
    };
    let answered = answered.instrument(span);
    let mut response = match given {
        Some(trace) => trace.follow(answered).await,
        None => answered.await,
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_request_joins_the_single_valid_trace_that_it_names() {
        let trace = |given: &[&'static str]| {
            let given = given.iter().map(|text| HeaderValue::from_static(text));
            let headers = given.map(|value| (TRACEPARENT.parse().expect("a name"), value));
            trace_of(&headers.collect()).map(|trace| trace.to_string())
        };
        assert_eq!(trace(&[TRACE]).as_deref(), Some(TRACE));
        for given in [
            &[][..],
            &["nonsense"],
            &[TRACE, TRACE],
            &["nonsense", TRACE],
        ] {
            assert_eq!(trace(given), None, "{given:?}");
        }
    }
}
