//! The HTTP function: admits commands, shows what became of them, and shows and changes what an owner has.
//!
//! A request is parsed, authorised and bounded before anything is read or written ([`scope`], [`fields`], [`query`]);
//! every refusal is a [`problem`]. Knows nothing about how a command is carried out.

pub mod admission;
pub mod body;
pub mod commands;
pub mod conditional;
pub mod config;
pub mod configuration;
pub mod cursor;
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

use axum::{
    Router,
    extract::MatchedPath,
    http::{HeaderValue, header},
    middleware,
    response::Response,
};
use security_agent::{
    findings::Findings,
    ledger::Ledger,
    owners::Owners,
    queue::{QueueUrl, Sender},
    repositories::Repositories,
};
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

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
    /// Sends the commands' messages.
    pub sender: Sender,
    /// Where syncs are queued.
    pub sync_queue: QueueUrl,
    /// Seals and opens page cursors.
    pub cursors: Cursors,
}

/// Every route, with the document that describes them.
pub fn router(app: App) -> Router {
    let (router, document) = OpenApiRouter::with_openapi(openapi::Document::openapi())
        .routes(routes!(commands::admit, commands::list))
        .routes(routes!(commands::read))
        .routes(routes!(findings::list))
        .routes(routes!(findings::read))
        .routes(routes!(repositories::list))
        .routes(routes!(summary::read))
        .routes(routes!(configuration::read, configuration::write))
        .routes(routes!(integration::read))
        .routes(routes!(service::health))
        .routes(routes!(openapi::read))
        .split_for_parts();
    router
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "This resource has no such method.")
        })
        .fallback(async || Problem::not_found())
        .layer(middleware::from_fn(finish))
        .layer(axum::Extension(openapi::Shared::from(document)))
        .with_state(app)
}

/// What every answer has in common: headers, and a line in the log if it is a refusal.
async fn finish(
    route: Option<MatchedPath>,
    request: axum::extract::Request,
    next: middleware::Next,
) -> Response {
    let method = request.method().clone();
    let mut response = next.run(request).await;
    if let Some(code) = response.extensions().get::<Code>() {
        tracing::info!(
            http.method = %method,
            http.route = route.as_ref().map_or("none", MatchedPath::as_str),
            http.status = response.status().as_u16(),
            problem.code = code.as_str(),
            "the request was refused"
        );
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
