//! The reverse proxy between the functions and the AWS services.
//!
//! It enforces each function's role, counts calls and consumed capacity, injects faults for tests, and answers for
//! Secrets Manager. The stack's own calls (pollers, queue depths) bypass it.

mod call;
mod capacity;
mod faults;
mod needs;
mod partitions;
mod permissions;
mod secrets;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

pub use call::Service;
pub use faults::{Fault, FaultError};
pub use partitions::Partitions;
pub use permissions::{FunctionPermissions, Permissions, unused};
pub use secrets::Secrets;
pub use usage::{Operation, Services, Usage};

use crate::functions::Functions;
use crate::guard::{self, Serves};
use call::Call;
use faults::Outcome;
use partitions::Admitted;

/// The proxy's state, shared with the gateway's local endpoints.
#[derive(Debug)]
pub struct AwsProxy {
    dynamodb: String,
    sqs: String,
    secrets: Secrets,
    permissions: Option<Permissions>,
    partitions: Option<Partitions>,
    client: reqwest::Client,
    faults: faults::Faults,
    counters: usage::Counters,
    /// Set late: the functions' environment contains the proxy's address.
    functions: OnceCell<Arc<Functions>>,
}

/// Makes the server close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without an answer")]
struct NoAnswer;

impl AwsProxy {
    /// Creates a proxy in front of these services that enforces these permissions. Without permissions it allows
    /// every call: the callers are not functions and have no roles. Without partitions it limits none.
    pub fn new(
        dynamodb: String,
        sqs: String,
        secrets: Secrets,
        permissions: Option<Permissions>,
        partitions: Option<Partitions>,
    ) -> Self {
        Self {
            dynamodb,
            sqs,
            secrets,
            permissions,
            partitions,
            client: reqwest::Client::new(),
            faults: faults::Faults::default(),
            counters: usage::Counters::default(),
            functions: OnceCell::new(),
        }
    }

    /// Sets the functions whose processes a fault can kill.
    pub fn serve_functions(&self, functions: Arc<Functions>) {
        // A stack has one set of functions, so the cell is never set twice.
        let _ = self.functions.set(functions);
    }

    /// Registers a fault.
    pub fn add_fault(&self, fault: Fault) {
        self.faults.add(fault);
    }

    /// Removes every fault.
    pub fn clear_faults(&self) {
        self.faults.clear();
    }

    /// Changes a secret, by the last part of its ARN. Returns whether there is one.
    pub fn put_secret(&self, name: &str, text: String) -> bool {
        self.secrets.put(name, text)
    }

    /// The calls since the start or the last reset.
    pub fn usage(&self) -> Usage {
        self.counters.usage()
    }

    /// Resets the counters.
    pub fn reset_usage(&self) {
        self.counters.reset();
    }

    /// Each function's used, unused and refused permissions.
    pub fn permissions(&self) -> BTreeMap<String, FunctionPermissions> {
        self.permissions
            .as_ref()
            .map(Permissions::noted)
            .unwrap_or_default()
    }

    /// Serves until the task is aborted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (stream, _) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Most likely the file descriptors ran out: other connections must close first.
                    warn!("the AWS proxy cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // Nagle's algorithm would delay an answer in two segments until the first one is acknowledged.
            let _ = stream.set_nodelay(true);
            let proxy = Arc::clone(&self);
            tokio::spawn(async move {
                let service = service_fn(|request| proxy.answer(request));
                // Returns an error whenever a connection closes without an answer, which faults cause on purpose.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, NoAnswer> {
        let (parts, body) = request.into_parts();
        let head = (&parts.method, &parts.uri, &parts.headers);
        if let Err(refused) = guard::check(Serves::Programs, head.0, head.1, head.2) {
            return Ok(refusal(
                Service::Dynamodb,
                StatusCode::FORBIDDEN,
                "AccessDeniedException",
                refused.detail(),
            ));
        }
        let Ok(body) = body.collect().await else {
            return Err(NoAnswer);
        };
        let Some(call) = Call::read(parts, body.to_bytes()) else {
            return Ok(refusal(
                Service::Dynamodb,
                StatusCode::BAD_REQUEST,
                "UnknownOperationException",
                "the proxy supports only the JSON protocols of DynamoDB, SQS and Secrets Manager",
            ));
        };
        // As on AWS, IAM decides first: a refused call uses up no fault and is not counted.
        if let Some(permissions) = &self.permissions
            && let Err(denial) = permissions.check(&call)
        {
            let (status, code) = (denial.status, denial.code);
            return Ok(refusal(call.service, status, code, &denial.message));
        }
        let verdict = self.faults.judge(&call);
        pause(verdict.delay).await;
        match verdict.outcome {
            Outcome::Perform => Ok(self.perform(&call).await),
            Outcome::Refuse { status, code } => {
                self.counters.count(&call, 0.0);
                Ok(refusal(call.service, status, &code, "an injected fault"))
            }
            Outcome::Cancel { reasons } => {
                self.counters.count(&call, 0.0);
                let codes: Vec<&str> = reasons.iter().map(String::as_str).collect();
                Ok(partitions::cancelled(&codes))
            }
            Outcome::PerformAndDrop => {
                self.perform(&call).await;
                Err(NoAnswer)
            }
            Outcome::Kill => {
                self.kill(&call).await;
                Err(NoAnswer)
            }
            Outcome::PerformAndKill => {
                self.perform(&call).await;
                self.kill(&call).await;
                Err(NoAnswer)
            }
        }
    }

    async fn kill(&self, call: &Call) {
        let functions = self.functions.get();
        if let (Some(functions), Some(access_key)) = (functions, &call.access_key)
            && !functions.kill(access_key).await
        {
            warn!(
                access_key,
                "cannot inject a kill: no process signs with this access key"
            );
        }
    }

    async fn perform(&self, call: &Call) -> Response<Full<Bytes>> {
        let admitted = match self
            .partitions
            .as_ref()
            .map(|it| it.admit(call, Instant::now()))
        {
            None => Admitted::default(),
            Some(Ok(admitted)) => admitted,
            Some(Err(throttled)) => {
                self.counters.throttle(call);
                return throttled.answer();
            }
        };
        let body = admitted.body().unwrap_or_else(|| call.body.clone());
        let (endpoint, asked) = match call.service {
            Service::Dynamodb => (&self.dynamodb, capacity::ask(&call.operation, &body)),
            Service::Sqs => (&self.sqs, None),
            Service::SecretsManager => return self.secrets.answer(&call.operation, &call.body),
        };
        let (body, asked) = match asked {
            Some((body, asked)) => (body, Some(asked)),
            None => (body, None),
        };
        let (status, headers, answer) = match self.forward(endpoint, call, body).await {
            Ok(answer) => answer,
            Err(error) => {
                warn!(
                    "{} of {:?} failed: {}",
                    call.operation,
                    call.service,
                    crate::chain(&error)
                );
                return refusal(
                    call.service,
                    StatusCode::BAD_GATEWAY,
                    "ServiceUnavailable",
                    "the service does not answer",
                );
            }
        };
        let (units, answer) = match asked {
            Some(asked) => capacity::read(&answer, asked),
            None => (None, answer),
        };
        if let Some(partitions) = &self.partitions {
            partitions.settle(&admitted, units, Instant::now());
        }
        let answer = admitted.complete(&call.operation, answer);
        self.counters.count(call, units.unwrap_or_default().total);
        let mut response = Response::new(Full::new(answer));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        // The proxy may have changed the body that these headers describe.
        for name in [
            CONTENT_LENGTH.as_str(),
            TRANSFER_ENCODING.as_str(),
            "connection",
            "x-amz-crc32",
        ] {
            response.headers_mut().remove(name);
        }
        response
    }

    async fn forward(
        &self,
        endpoint: &str,
        call: &Call,
        body: Bytes,
    ) -> reqwest::Result<(StatusCode, HeaderMap, Bytes)> {
        let mut headers = call.headers.clone();
        // The host header stays: SQS builds queue URLs from it, so they lead back to the proxy.
        headers.remove(CONTENT_LENGTH);
        let path = call.uri.path_and_query().map_or("/", |path| path.as_str());
        let answer = self
            .client
            .request(call.method.clone(), format!("{endpoint}{path}"))
            .headers(headers)
            .body(body)
            .send()
            .await?;
        let status = answer.status();
        let headers = answer.headers().clone();
        Ok((status, headers, answer.bytes().await?))
    }
}

/// Waits for exactly this long. Tokio's timers have a resolution of 1 ms: they would stretch a delay of 2 ms to 3
/// ms and turn a zero delay into 1 ms.
async fn pause(delay: Duration) {
    const SHORT: Duration = Duration::from_millis(20);
    if delay >= SHORT {
        tokio::time::sleep(delay).await;
    } else if !delay.is_zero() {
        // The closure cannot panic, and the result does not matter if the stack stops meanwhile.
        let _ = tokio::task::spawn_blocking(move || std::thread::sleep(delay)).await;
    }
}

/// An error in the service's own format.
pub(crate) fn refusal(
    service: Service,
    status: StatusCode,
    code: &str,
    message: &str,
) -> Response<Full<Bytes>> {
    let (namespace, content_type) = match service {
        Service::Dynamodb => (
            "com.amazonaws.dynamodb.v20120810#",
            "application/x-amz-json-1.0",
        ),
        Service::Sqs => ("com.amazonaws.sqs#", "application/x-amz-json-1.0"),
        Service::SecretsManager => ("", "application/x-amz-json-1.1"),
    };
    let body = json!({"__type": format!("{namespace}{code}"), "message": message});
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let mut set = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    set("x-amzn-requestid", Uuid::new_v4().to_string());
    if service == Service::Sqs {
        let fault = if status.is_server_error() {
            "Receiver"
        } else {
            "Sender"
        };
        set("x-amzn-query-error", format!("{code};{fault}"));
    }
    response
}
