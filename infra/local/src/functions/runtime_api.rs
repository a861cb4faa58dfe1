//! The Lambda runtime API, as one process of a function sees it.
//!
//! Each process has its own listener, so it handles one invocation at a time, as on AWS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::guard::{Serves, guarded};

/// The largest answer of a synchronous invocation that AWS accepts.
const LARGEST_ANSWER: usize = 6 * 1024 * 1024;

/// One invocation for a process.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) request_id: String,
    pub(crate) deadline_ms: i64,
    pub(crate) arn: String,
    pub(crate) trace_id: String,
    pub(crate) payload: Bytes,
}

/// What a process reported to its runtime API.
#[derive(Debug)]
pub(crate) enum Message {
    /// It is initialised and requests work.
    Ready,
    /// It took the invocation.
    Taken,
    /// It answered the invocation.
    Answered { request_id: String, payload: Bytes },
    /// Its handler failed.
    Failed {
        request_id: String,
        error: FunctionError,
    },
    /// Its initialisation failed.
    CannotStart(FunctionError),
}

/// An error as a Lambda runtime reports it.
#[derive(Debug, Clone, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", default)]
#[error("{error_type}: {error_message}")]
pub struct FunctionError {
    /// The error's type.
    pub error_type: String,
    /// The error's message.
    pub error_message: String,
    /// The original report.
    #[serde(skip)]
    pub report: Bytes,
}

impl Default for FunctionError {
    fn default() -> Self {
        Self {
            error_type: "Unknown".to_owned(),
            error_message: String::new(),
            report: Bytes::new(),
        }
    }
}

impl FunctionError {
    fn read(report: Bytes) -> Self {
        Self {
            report: report.clone(),
            ..serde_json::from_slice(&report).unwrap_or_default()
        }
    }
}

/// The stack's side of one process's runtime API. Dropping it closes the listener.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    pub(crate) address: SocketAddr,
    pub(crate) deliveries: mpsc::Sender<Delivery>,
    pub(crate) messages: mpsc::Receiver<Message>,
    server: JoinHandle<()>,
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Debug)]
struct Shared {
    deliveries: Mutex<mpsc::Receiver<Delivery>>,
    messages: mpsc::Sender<Message>,
}

impl RuntimeApi {
    /// Listens on a free port of the loopback interface.
    pub(crate) async fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (deliveries, delivered) = mpsc::channel(1);
        let (sender, messages) = mpsc::channel(16);
        let shared = Arc::new(Shared {
            deliveries: Mutex::new(delivered),
            messages: sender,
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/{id}/response",
                post(answered),
            )
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failed))
            .route("/2018-06-01/runtime/init/error", post(cannot_start))
            .layer(DefaultBodyLimit::max(LARGEST_ANSWER))
            .with_state(shared);
        let router = guarded(router, Serves::Programs);
        let server = tokio::spawn(async move {
            // Serves until the task is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            deliveries,
            messages,
            server,
        })
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Result<(HeaderMap, Bytes), StatusCode> {
    let _ = shared.messages.send(Message::Ready).await;
    let delivery = shared
        .deliveries
        .lock()
        .await
        .recv()
        .await
        .ok_or(StatusCode::GONE)?;
    let _ = shared.messages.send(Message::Taken).await;
    let deadline = delivery.deadline_ms.to_string();
    let headers = [
        ("content-type", "application/json"),
        ("lambda-runtime-aws-request-id", &delivery.request_id),
        ("lambda-runtime-deadline-ms", &deadline),
        ("lambda-runtime-invoked-function-arn", &delivery.arn),
        ("lambda-runtime-trace-id", &delivery.trace_id),
    ];
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let value = value
            .parse()
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        map.insert(name, value);
    }
    Ok((map, delivery.payload))
}

async fn answered(
    State(shared): State<Arc<Shared>>,
    Path(request_id): Path<String>,
    payload: Bytes,
) -> StatusCode {
    pass_on(
        &shared,
        Message::Answered {
            request_id,
            payload,
        },
    )
    .await
}

async fn failed(
    State(shared): State<Arc<Shared>>,
    Path(request_id): Path<String>,
    report: Bytes,
) -> StatusCode {
    let error = FunctionError::read(report);
    pass_on(&shared, Message::Failed { request_id, error }).await
}

async fn cannot_start(State(shared): State<Arc<Shared>>, report: Bytes) -> StatusCode {
    pass_on(&shared, Message::CannotStart(FunctionError::read(report))).await
}

async fn pass_on(shared: &Shared, message: Message) -> StatusCode {
    match shared.messages.send(message).await {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::GONE,
    }
}
