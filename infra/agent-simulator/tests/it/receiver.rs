//! A receiver of callbacks: it gives the configured answers and records what it receives.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::server::{TOKEN_TO_CALL_BACK, eventually, listen};

/// One received callback.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) authorization: String,
    pub(crate) content_type: String,
    pub(crate) text: String,
    pub(crate) body: Value,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    received: Arc<watch::Sender<Vec<Received>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

/// The answers to the next callbacks. When all are used, the answer is 202.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Status(u16),
    Never,
}

impl Receiver {
    pub(crate) async fn start(answers: &[Answer]) -> Self {
        let (listener, base) = listen().await;
        let receiver = Self {
            url: format!("{base}/v1/callbacks/analysis"),
            received: Arc::new(watch::Sender::default()),
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
        };
        let router = Router::new()
            .route("/v1/callbacks/analysis", axum::routing::post(receive))
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    /// A launch's `callback` that points to this receiver.
    pub(crate) fn target(&self) -> Value {
        json!({
            "url": self.url,
            "token": TOKEN_TO_CALL_BACK,
            "expiresAt": "2100-01-01T00:00:00.000Z",
        })
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// Waits for at least this many callbacks and returns all of them.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut received = self.received.subscribe();
        let enough = received.wait_for(|received| received.len() >= count);
        eventually("a callback", enough)
            .await
            .expect("a sender")
            .clone()
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name| {
        let value = headers.get(name).expect("a header");
        value.to_str().expect("ASCII").to_owned()
    };
    let text = String::from_utf8(body.to_vec()).expect("UTF-8");
    let received = Received {
        authorization: header("authorization"),
        content_type: header("content-type"),
        body: serde_json::from_str(&text).unwrap_or_default(),
        text,
    };
    let answer = receiver.answers.lock().expect("unpoisoned").pop_front();
    receiver.received.send_modify(|all| all.push(received));
    match answer {
        None => StatusCode::ACCEPTED,
        Some(Answer::Status(status)) => StatusCode::from_u16(status).expect("a status"),
        Some(Answer::Never) => std::future::pending().await,
    }
}
