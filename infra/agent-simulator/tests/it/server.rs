//! A simulator and its local endpoints on free ports, and a client with its token.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_simulator::Simulator;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) const TOKEN: &str = "token-of-the-caller";
pub(crate) const TOKEN_TO_CALL_BACK: &str = "capability-to-call-back";
pub(crate) const GITHUB_TOKEN: &str = "ghs_a_token_that_is_kept_nowhere";
/// Longer than any test: the session sends no callback of its own.
pub(crate) const FOR_GOOD: Duration = Duration::from_secs(3600);
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) simulator: Simulator,
    base: String,
    client: Client,
}

/// An answer with its complete body.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn id(&self) -> &str {
        assert_eq!(self.status, 201, "{self:?}");
        self.body["cloudAgentSessionId"].as_str().expect("an id")
    }
}

impl Server {
    /// Starts a simulator whose sessions send their callback without a pause.
    pub(crate) async fn start() -> Self {
        Self::open(None, Duration::ZERO).await
    }

    pub(crate) async fn open(state: Option<&Path>, pause: Duration) -> Self {
        let simulator = Simulator::open(state, TOKEN, pause).expect("a valid state");
        let (listener, base) = listen().await;
        let router = simulator.router().merge(simulator.local_router());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .build()
            .expect("a client");
        Self {
            simulator,
            base,
            client,
        }
    }

    /// A request without headers.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Reply {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a complete body");
        Reply {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }

    pub(crate) fn launching(&self, key: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, "/v1/sessions")
            .bearer_auth(TOKEN)
            .header("idempotency-key", key)
            .json(body)
    }

    pub(crate) async fn launch(&self, key: &str, body: &Value) -> Reply {
        self.send(self.launching(key, body)).await
    }

    pub(crate) async fn interrupt(&self, id: &str) -> Reply {
        let request = self.request(Method::DELETE, &format!("/v1/sessions/{id}"));
        self.send(request.bearer_auth(TOKEN)).await
    }

    pub(crate) async fn local(&self, method: Method, path: &str, body: &Value) -> Reply {
        let request = self.request(method, &format!("/local/agent{path}"));
        self.send(request.json(body)).await
    }

    pub(crate) async fn fault(&self, fault: Value) {
        let registered = self.local(Method::POST, "/faults", &fault).await;
        assert_eq!((registered.status, registered.body), (201, fault));
    }

    pub(crate) async fn clear_faults(&self) {
        let cleared = self.local(Method::DELETE, "/faults", &json!({})).await;
        assert_eq!(cleared.status, 204);
    }

    pub(crate) async fn sessions(&self) -> Vec<Value> {
        let listed = self.local(Method::GET, "/sessions", &json!({})).await;
        listed.body.as_array().expect("a list").clone()
    }

    pub(crate) async fn session(&self, id: &str) -> Value {
        let sessions = self.sessions().await;
        let found = sessions
            .into_iter()
            .find(|session| session["cloudAgentSessionId"] == id);
        found.expect("a session")
    }

    /// Returns the session once the predicate accepts it.
    pub(crate) async fn session_that(&self, id: &str, is: impl Fn(&Value) -> bool) -> Value {
        let polling = async {
            loop {
                let session = self.session(id).await;
                if is(&session) {
                    return session;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        eventually("a session", polling).await
    }

    /// Returns the session once it makes no more callbacks.
    pub(crate) async fn settled(&self, id: &str) -> Value {
        self.session_that(id, |session| session["settled"] == true)
            .await
    }
}

/// A launch's body with the callback URL `target`; its finding is exploitable.
pub(crate) fn body(target: &Value) -> Value {
    json!({
        "repository": "octo/app",
        "githubToken": GITHUB_TOKEN,
        "model": "large",
        "triageModel": "small",
        "mode": "auto",
        "finding": {
            "id": "700000001-42",
            "repository": "octo/app",
            "severity": "critical",
            "status": "open",
            "package": {"ecosystem": "npm", "name": "lodash"},
            "patchedVersion": "4.17.21",
            "manifestPath": "package-lock.json",
            "dependencyScope": "runtime",
            "cvssScore": 9.1,
            "cweIds": ["CWE-1321"],
            "title": "Prototype pollution",
        },
        "callback": target,
    })
}

pub(crate) async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    (listener, base)
}

/// Waits for the future within a deadline.
pub(crate) async fn eventually<T>(what: &str, happens: impl Future<Output = T>) -> T {
    let happened = tokio::time::timeout(DEADLINE, happens).await;
    happened.unwrap_or_else(|_| panic!("timed out waiting for {what}"))
}

/// The answers to the session's callbacks.
pub(crate) fn answers(session: &Value) -> Vec<(&str, Option<u64>)> {
    let callbacks = session["callbacks"].as_array().expect("a list");
    callbacks
        .iter()
        .map(|callback| {
            let status = callback["status"].as_str().unwrap_or_default();
            (status, callback["answer"].as_u64())
        })
        .collect()
}

/// An empty directory for one test.
pub(crate) fn place(name: &str) -> PathBuf {
    let place = std::env::temp_dir().join(format!("agent-simulator-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).expect("created");
    place
}
