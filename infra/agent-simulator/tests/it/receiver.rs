//! Whom the simulator calls back: it answers as it is told and remembers what came.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::server::{TOKEN_TO_CALL_BACK, eventually, listen};

/// One callback, as it came.
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

/// How a callback is answered. When all are used up it is 202.
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

    /// The `callback` of a launch that calls back here.
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

    /// Everything that came, once it is at least so many.
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
