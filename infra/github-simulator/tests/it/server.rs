//! A simulator and its local endpoints on free ports, and a client with its credentials.

use std::fs;
use std::path::{Path, PathBuf};

use github_simulator::{AppKey, Simulator};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

pub(crate) const ZEPPELIN: &str = "/repos/acme-appsec/zeppelin/dependabot/alerts";
pub(crate) const PYGOAT: &str = "/repos/acme-appsec/pygoat/dependabot/alerts";

pub(crate) struct Server {
    pub(crate) simulator: Simulator,
    pub(crate) base: String,
    key: AppKey,
    client: Client,
    token: String,
}

/// An answer with its complete body.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    async fn read(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a complete body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self {
            status,
            headers,
            body,
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("ascii"))
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// Returns the URL that `Link` gives for this relation.
    pub(crate) fn link(&self, relation: &str) -> Option<String> {
        let related = format!("; rel=\"{relation}\"");
        let link = self
            .header("link")
            .split(", ")
            .find(|link| link.ends_with(&related))?;
        let url = link
            .strip_suffix(&related)?
            .strip_prefix('<')?
            .strip_suffix('>')?;
        Some(url.to_owned())
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        let alerts = self.body.as_array().expect("a list");
        alerts
            .iter()
            .map(|alert| alert["number"].as_u64().expect("a number"))
            .collect()
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::serve(&bundled(), None).await
    }

    pub(crate) async fn serve(dataset: &Path, state: Option<&Path>) -> Self {
        let key = AppKey::generate().expect("a key");
        let simulator = Simulator::open(dataset, state, &key).expect("a valid dataset");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let router = simulator.router().merge(simulator.local_router());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("tests")
            .build()
            .expect("a client");
        let mut server = Self {
            simulator,
            base,
            key,
            client,
            token: String::new(),
        };
        let minted = server.mint(&json!({})).await;
        assert_eq!(minted.status, 201, "{minted:?}");
        server.token = minted.body["token"].as_str().expect("a token").to_owned();
        server
    }

    /// A request whose only header is the user agent; `path` may be a complete URL.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with('/') {
            format!("{}{path}", self.base)
        } else {
            path.to_owned()
        };
        self.client.request(method, url)
    }

    /// A request with an installation token.
    pub(crate) fn authorized(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Reply {
        Reply::read(request.send().await.expect("an answer")).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.authorized(Method::GET, path)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.send(self.authorized(Method::PATCH, path).json(body))
            .await
    }

    pub(crate) async fn dismiss(&self, path: &str) -> Reply {
        self.patch(
            path,
            &json!({"state": "dismissed", "dismissed_reason": "not_used"}),
        )
        .await
    }

    pub(crate) async fn mint(&self, narrowing: &Value) -> Reply {
        let path = format!(
            "/app/installations/{}/access_tokens",
            self.simulator.installation_id()
        );
        let request = self
            .request(Method::POST, &path)
            .bearer_auth(self.app_token());
        self.send(request.json(narrowing)).await
    }

    pub(crate) fn app_token(&self) -> String {
        let now = std::time::UNIX_EPOCH
            .elapsed()
            .expect("after 1970")
            .as_secs();
        let claims = json!({
            "iss": self.simulator.app_id().to_string(),
            "iat": now - 60,
            "exp": now + 540,
        });
        let key =
            EncodingKey::from_rsa_pem(self.key.private_key_pem().as_bytes()).expect("a PEM key");
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).expect("signed")
    }

    pub(crate) async fn local(&self, method: Method, path: &str, body: &Value) -> Reply {
        self.send(
            self.request(method, &format!("/local/github{path}"))
                .json(body),
        )
        .await
    }

    pub(crate) async fn fault(&self, fault: Value) {
        let registered = self.local(Method::POST, "/faults", &fault).await;
        assert_eq!(registered.status, 201, "{registered:?}");
    }
}

pub(crate) fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/dependabot")
}

/// The content of a bundled repository's alerts file.
pub(crate) fn file(name: &str) -> Vec<Value> {
    let path = bundled().join(format!("alerts/acme-appsec__{name}.json"));
    let text = fs::read_to_string(path).expect("bundled");
    serde_json::from_str(&text).expect("alerts")
}

/// An empty directory for one test.
pub(crate) fn place(name: &str) -> PathBuf {
    let place =
        std::env::temp_dir().join(format!("github-simulator-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).expect("created");
    place
}
