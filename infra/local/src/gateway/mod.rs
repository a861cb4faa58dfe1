//! The HTTP side of the stack: the template's API as API Gateway would serve it, and the local endpoints.

mod answer;
mod authorizer;
mod dashboard;
mod event;
mod issuer;
mod local;
pub(crate) mod problem;
mod routes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::timeout;
use tracing::{error, warn};
use uuid::Uuid;

pub use authorizer::{Authorizers, Caller};

use crate::aws_proxy::AwsProxy;
use crate::connect::Connector;
use crate::functions::{Functions, InvokeError};
use crate::queues::Queues;
use crate::schedule::Schedules;
use crate::template::{Access, Route};
use authorizer::Refusal;
use routes::Routes;

/// How long an HTTP API waits for a function, at most: AWS's limit.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest body that an HTTP API accepts: AWS's limit.
const LARGEST_BODY: usize = 10 * 1024 * 1024;

/// The gateway's state.
#[derive(Debug)]
pub struct Gateway {
    routes: Routes,
    authorizers: Authorizers,
    account: String,
    address: SocketAddr,
    sign_in: SignIn,
    parts: Parts,
}

/// How users sign in to the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignIn {
    /// They choose who they are.
    ByChoice,
    /// They sign in with the issuer that the template's parameters name.
    WithIssuer,
}

/// The other parts of the stack that the gateway uses.
#[derive(Debug)]
pub struct Parts {
    /// The functions that answer the API.
    pub functions: Arc<Functions>,
    /// The proxy that holds the faults.
    pub proxy: Arc<AwsProxy>,
    /// The queues whose depths are reported.
    pub queues: Queues,
    /// The schedules that can be run on request.
    pub schedules: Arc<Schedules>,
    /// Connects the owners of an issued token.
    pub connector: Connector,
}

impl Gateway {
    /// Creates a gateway for these routes at this address.
    pub fn new(
        routes: Vec<Route>,
        authorizers: Authorizers,
        account: String,
        address: SocketAddr,
        sign_in: SignIn,
        parts: Parts,
    ) -> Self {
        Self {
            routes: Routes::new(routes),
            authorizers,
            account,
            address,
            sign_in,
            parts,
        }
    }

    /// The routes of the template and the local endpoints.
    pub fn router(self) -> Router {
        let sign_in = match self.sign_in {
            SignIn::ByChoice => dashboard::routes(),
            SignIn::WithIssuer => Router::new(),
        };
        sign_in
            .route("/local/tokens", post(local::issue_token))
            .route(
                "/local/aws/faults",
                post(local::add_fault).delete(local::clear_faults),
            )
            .route(
                "/local/aws/requests",
                get(local::requests).delete(local::reset_requests),
            )
            .route("/local/aws/permissions", get(local::permissions))
            .route("/local/aws/secrets/{name}", put(local::put_secret))
            .route("/local/functions", get(local::functions))
            .route("/local/schedules/{function}", post(local::run_schedule))
            .route("/local/queues", get(local::queues))
            .route(
                "/2015-03-31/functions/{name}/invocations",
                post(local::invoke),
            )
            .fallback(receive)
            .layer(DefaultBodyLimit::max(LARGEST_BODY))
            .with_state(Arc::new(self))
    }
}

/// Handles a request to the template's API.
async fn receive(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(source): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let mut response = gateway.answer(source, request).await;
    if let Ok(id) = HeaderValue::try_from(Uuid::new_v4().simple().to_string()) {
        response.headers_mut().insert("apigw-requestid", id);
    }
    response
}

impl Gateway {
    async fn answer(&self, source: SocketAddr, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let Some(matched) = self.routes.find(&parts.method, parts.uri.path()) else {
            return message(StatusCode::NOT_FOUND, "Not Found");
        };
        let claims = match &matched.route.access {
            Access::Open => None,
            Access::Token(authorizer) => {
                let claims = self.authorizers.claims(authorizer, &parts.headers).await;
                match claims {
                    Ok(claims) => Some(claims),
                    Err(Refusal::Unauthorized) => return problem::unauthorized(),
                    Err(Refusal::Forbidden) => return message(StatusCode::FORBIDDEN, "Forbidden"),
                }
            }
        };
        let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
            return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
        };
        let circumstances = event::Circumstances {
            account: &self.account,
            source: source.ip(),
            port: self.address.port(),
            now: Timestamp::now(),
            claims,
        };
        let event = event::event(&matched, &parts, &body, circumstances);
        let invocation = self
            .parts
            .functions
            .invoke(&matched.route.function, Bytes::from(event.to_string()));
        match timeout(INTEGRATION_TIMEOUT, invocation).await {
            Ok(Ok(payload)) => respond(&matched.route.function, &payload),
            // An HTTP API reports a throttled function as it reports one that takes too long.
            Ok(Err(InvokeError::Throttled { .. })) => {
                message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
            }
            // The function's own error has been logged where it happened.
            Ok(Err(_)) => message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
            Err(_) => {
                warn!(
                    function = matched.route.function,
                    "the function exceeded the gateway's timeout"
                );
                message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
            }
        }
    }
}

fn respond(function: &str, payload: &Bytes) -> Response {
    match answer::response(payload) {
        Ok(response) => response.map(Body::from),
        Err(error) => {
            error!(
                function,
                "the function's answer is not a valid HTTP response: {}",
                crate::chain(&error)
            );
            message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
    }
}

/// An error in API Gateway's own format.
fn message(status: StatusCode, message: &str) -> Response {
    let body = json!({ "message": message }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
