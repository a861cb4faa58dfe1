//! The HTTP function: admits commands, shows what became of them, shows and changes what an owner has, and takes what the
//! agent calls back with.
//!
//! A request is parsed, authorised and bounded before anything is read or written ([`scope`], [`fields`], [`query`]);
//! every refusal is a [`problem`]. Knows nothing about how a command is carried out.

pub mod admission;
pub mod audit_events;
pub mod body;
pub mod callback;
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

/// What the handlers work with. Built once per process.
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
    /// What was done, by whom.
    pub audit: Audit,
    /// Who is being erased.
    pub erasures: Erasures,
    /// Sends messages.
    pub sender: Sender,
    /// Where commands are queued.
    pub queues: CommandQueues,
    /// Where call backs are queued.
    pub callback_queue: QueueUrl,
    /// Where erasures are queued.
    pub erase_queue: QueueUrl,
    /// Verifies the right to call back.
    pub callback_tokens: CallbackTokens,
    /// What is not admitted for now.
    pub paused: PausedCommands,
    /// Seals and opens page cursors.
    pub cursors: Cursors,
}

/// Every route. [`openapi`] describes them; a test holds the two, and `template.yaml`, together.
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
            Problem::new(Code::MethodNotAllowed, "This resource has no such method.")
        })
        .fallback(async || Problem::not_found())
        .layer(middleware::from_fn(finish))
        .with_state(app)
}

/// The trace that a request says it is part of: what is no such thing, or two of them, says nothing.
fn trace_of(headers: &HeaderMap) -> Option<TraceParent> {
    let mut given = headers.get_all(TRACEPARENT).iter();
    let trace = given.next()?.to_str().ok()?.parse().ok()?;
    given.next().is_none().then_some(trace)
}

/// What every request has in common: its trace, what its lines in the log say, one of them if it is refused; and headers.
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
    fn a_request_is_part_of_the_one_trace_that_it_names() {
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
