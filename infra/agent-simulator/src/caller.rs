//! The HTTP client for callbacks: one call, no retry, no redirect.

use std::time::Duration;

use axum::body::Bytes;
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};

use crate::callback::CallbackTarget;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The header with the trace that a call is part of.
pub(crate) const TRACEPARENT: &str = "traceparent";

#[derive(Debug)]
pub(crate) struct Caller {
    http: Client,
}

impl Caller {
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .user_agent(concat!("agent-simulator/", env!("CARGO_PKG_VERSION")))
            // A proxy from the environment would see the capability.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            // Calls only http: needs no certificates, and a machine may have none.
            .tls_certs_only([])
            .build()?;
        Ok(Self { http })
    }

    /// Makes the call. Returns the status of the answer, or `None` if there is none.
    pub(crate) async fn call(&self, target: &CallbackTarget, body: Bytes) -> Option<u16> {
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {}", target.token.expose())).ok()?;
        authorization.set_sensitive(true);
        let request = self
            .http
            .post(&target.url)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let request = match &target.traceparent {
            Some(trace) => request.header(TRACEPARENT, trace),
            None => request,
        };
        match request.send().await {
            Ok(response) => Some(response.status().as_u16()),
            Err(error) => {
                tracing::debug!(error = %error.without_url(), "a callback got no answer");
                None
            }
        }
    }
}
