//! For tests: an in-process HTTP service whose answers the test chooses, and a stub of Secrets Manager.

use std::{
    fmt,
    future::pending,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_sdk_secretsmanager::config::{BehaviorVersion, Region};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::header::AUTHORIZATION,
    response::Response,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A stub of Secrets Manager with one secret under every name except `absent`.
#[derive(Debug)]
pub struct SecretStore {
    url: String,
    text: Arc<Mutex<String>>,
    /// The number of reads.
    pub reads: Arc<AtomicUsize>,
}

impl SecretStore {
    /// A store whose secret is this text.
    pub async fn start(text: &str) -> Self {
        let text = Arc::new(Mutex::new(text.to_owned()));
        let reads = Arc::new(AtomicUsize::new(0));
        let (served, counted) = (text.clone(), reads.clone());
        let url = serve(move |_, body: Value| {
            counted.fetch_add(1, Ordering::SeqCst);
            if body["SecretId"] == "absent" {
                return Reply::json(
                    400,
                    json!({"__type": "ResourceNotFoundException", "message": "not here"}),
                );
            }
            let text = served.lock().expect("not poisoned").clone();
            Reply::json(
                200,
                json!({"ARN": "arn", "Name": "key", "SecretString": text}),
            )
        })
        .await;
        Self { url, text, reads }
    }

    /// Replaces the text.
    pub fn set(&self, text: &str) {
        text.clone_into(&mut self.text.lock().expect("not poisoned"));
    }

    /// A client of the store.
    pub fn client(&self) -> aws_sdk_secretsmanager::Client {
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .allow_no_auth()
            .endpoint_url(&self.url)
            .build();
        aws_sdk_secretsmanager::Client::from_conf(config)
    }
}

/// A stub's answer.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields explain themselves")]
pub enum Reply {
    With {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    Never,
}

impl Reply {
    /// A JSON body.
    pub fn json(status: u16, body: impl Into<Value>) -> Self {
        Self::text(status, body.into().to_string())
    }

    /// A text body.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self::With {
            status,
            headers: Vec::new(),
            body: body.into().into_bytes(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn and(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::With { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

/// A request that a stub received.
#[derive(Clone)]
#[expect(missing_docs, reason = "the fields explain themselves")]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub token: String,
    pub headers: axum::http::HeaderMap,
    pub body: Value,
    /// The number of earlier requests with the same method and target.
    pub earlier: usize,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

impl Seen {
    /// Whether it requests an installation's token from GitHub.
    pub fn is_mint(&self) -> bool {
        self.target.ends_with("/access_tokens")
    }
}

/// A service that records its requests.
#[derive(Debug)]
pub struct Stub {
    /// The URL that it listens on.
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    /// Answers every request with `answer`, which also gets the stub's own URL.
    pub async fn start(answer: impl Fn(&Seen, &str) -> Reply + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::<Seen>::new()));
        let log = seen.clone();
        let own_url = Arc::new(OnceLock::<String>::new());
        let told = own_url.clone();
        let url = serve(move |head, body| {
            let (method, target) = (head.method.to_string(), head.uri.to_string());
            let token = head
                .headers
                .get(AUTHORIZATION)
                .and_then(|value| value.to_str().ok());
            let token = token
                .and_then(|value| value.strip_prefix("Bearer "))
                .unwrap_or_default()
                .to_owned();
            let mut log = log.lock().expect("not poisoned");
            let earlier = log
                .iter()
                .filter(|seen| seen.method == method && seen.target == target)
                .count();
            let seen = Seen {
                method,
                target,
                token,
                headers: head.headers.clone(),
                body,
                earlier,
            };
            let reply = answer(&seen, told.get().map_or("", String::as_str));
            log.push(seen);
            reply
        })
        .await;
        own_url.set(url.clone()).expect("set once");
        Self { url, seen }
    }

    /// The received requests, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

/// Serves `answer` on a free port until the test's runtime ends.
async fn serve(
    answer: impl Fn(&axum::http::request::Parts, Value) -> Reply + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let answer = Arc::new(answer);
    let router = Router::new().fallback(move |request: Request| {
        let answer = answer.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.expect("a whole body");
            let reply = answer(&head, serde_json::from_slice(&body).unwrap_or(Value::Null));
            match reply {
                Reply::Never => pending().await,
                Reply::With {
                    status,
                    headers,
                    body,
                } => {
                    let response = headers.iter().fold(
                        Response::builder().status(status),
                        |response, (name, value)| response.header(*name, value),
                    );
                    response.body(Body::from(body)).expect("a valid response")
                }
            }
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}
