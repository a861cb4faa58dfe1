//! GitHub and Secrets Manager in this process, over real HTTP, answering as a test says.

use std::{
    fmt,
    future::pending,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use aws_sdk_secretsmanager::config::{BehaviorVersion, Region};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::header::AUTHORIZATION,
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Instant};

use super::{Budget, Github, GithubConfig, InstallationId};
use crate::{
    Timestamp,
    finding::{Repository, RepositoryId},
    secrets::{SecretName, Secrets},
};

pub(crate) const NOON: Timestamp = Timestamp::from_seconds(1_795_435_200);
pub(crate) const INSTALLATION: InstallationId = InstallationId::new(51_000_001);
pub(crate) const APP: &str = "1234";

pub(crate) fn budget() -> Budget {
    Budget {
        now: NOON,
        deadline: Instant::now() + Duration::from_secs(30),
    }
}

pub(crate) fn repository() -> Repository {
    Repository {
        id: RepositoryId::new(7),
        name: "octo/app".parse().expect("valid"),
    }
}

/// A private key as PEM, and its public half.
pub(crate) struct Key {
    pub(crate) pem: String,
    public: Vec<u8>,
}

/// Two keys of one App: the one it has, and the one it is given by a rotation. Made once, since that takes a moment.
pub(crate) fn keys() -> &'static [Key; 2] {
    static KEYS: OnceLock<[Key; 2]> = OnceLock::new();
    KEYS.get_or_init(|| {
        [(); 2].map(|()| {
            let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key can be made");
            let der: Pkcs8V1Der<'_> = pair.as_der().expect("a key can be written");
            let pem = format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
                STANDARD.encode(der.as_ref())
            );
            Key {
                pem,
                public: pair.public_key().as_ref().to_vec(),
            }
        })
    })
}

/// Secrets Manager with one secret under every name but `absent`.
pub(crate) struct SecretStore {
    url: String,
    text: Arc<Mutex<String>>,
    pub(crate) reads: Arc<AtomicUsize>,
}

impl SecretStore {
    pub(crate) async fn start(text: &str) -> Self {
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

    pub(crate) fn set(&self, text: &str) {
        text.clone_into(&mut self.text.lock().expect("not poisoned"));
    }

    pub(crate) fn secrets(&self) -> Secrets {
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .allow_no_auth()
            .endpoint_url(&self.url)
            .build();
        Secrets::new(aws_sdk_secretsmanager::Client::from_conf(config))
    }
}

/// An answer of a stub.
#[derive(Clone)]
pub(crate) enum Reply {
    With {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    Never,
}

impl Reply {
    pub(crate) fn json(status: u16, body: impl Into<Value>) -> Self {
        Self::text(status, body.into().to_string())
    }

    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self::With {
            status,
            headers: Vec::new(),
            body: body.into().into_bytes(),
        }
    }

    pub(crate) fn and(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::With { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

/// A request a stub received.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) token: String,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Value,
    /// How many requests of the same method and target came before.
    pub(crate) earlier: usize,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

impl Seen {
    pub(crate) fn is_mint(&self) -> bool {
        self.target.ends_with("/access_tokens")
    }

    /// The claims of the JWT it carries, if `key` signed it.
    pub(crate) fn claims(&self, key: &Key) -> Option<Value> {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.validate_exp = false;
        let decoded = jsonwebtoken::decode::<Value>(
            &self.token,
            &DecodingKey::from_rsa_der(&key.public),
            &validation,
        );
        decoded.ok().map(|decoded| decoded.claims)
    }
}

/// The next token of GitHub: `token-1`, `token-2`...
pub(crate) fn minted(seen: &Seen) -> Reply {
    minted_until(seen, NOON + Duration::from_secs(3600))
}

pub(crate) fn minted_until(seen: &Seen, end: Timestamp) -> Reply {
    Reply::json(
        201,
        json!({"token": format!("token-{}", seen.earlier + 1), "expires_at": end, "permissions": {}}),
    )
}

/// GitHub, and a client of it.
pub(crate) struct Stub {
    pub(crate) url: String,
    pub(crate) github: Github,
    pub(crate) secrets: SecretStore,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    /// Mints tokens, and answers everything else by `answer`, which is also told the stub's own URL.
    pub(crate) async fn start(
        answer: impl Fn(&Seen, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::with_tokens(move |seen, url| {
            if seen.is_mint() {
                minted(seen)
            } else {
                answer(seen, url)
            }
        })
        .await
    }

    /// Answers everything by `answer`.
    pub(crate) async fn with_tokens(
        answer: impl Fn(&Seen, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
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
        let secrets = SecretStore::start(&keys()[0].pem).await;
        let github = client(&url, &secrets);
        Self {
            url,
            github,
            secrets,
            seen,
        }
    }

    /// Everything received, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// How many tokens were asked for.
    pub(crate) fn mints(&self) -> usize {
        self.seen().iter().filter(|seen| seen.is_mint()).count()
    }

    /// Everything received but for tokens.
    pub(crate) fn calls(&self) -> Vec<Seen> {
        self.seen()
            .into_iter()
            .filter(|seen| !seen.is_mint())
            .collect()
    }
}

/// A client of `url` that hardly waits between tries.
pub(crate) fn client(url: &str, secrets: &SecretStore) -> Github {
    let config = GithubConfig {
        base_url: url.parse().expect("a loopback URL"),
        api_version: "2022-11-28".parse().expect("valid"),
        app_id: APP.parse().expect("valid"),
        private_key: SecretName::new("key"),
    };
    Github::with_first_wait(&config, secrets.secrets(), Duration::from_millis(1)).expect("a client")
}

/// Serves `answer` on a port of its own until the test's runtime ends.
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
