//! A stub of GitHub over real HTTP. Tests choose its answers.

use std::{ops::Deref, sync::OnceLock, time::Duration};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    Timestamp,
    finding::{Repository, RepositoryId},
    installation::InstallationId,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use outbound::secrets::{SecretName, Secrets};
use serde_json::{Value, json};
pub(crate) use stub::{Reply, SecretStore, Seen};
use tokio::time::Instant;

use super::{Budget, Github, GithubConfig};

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

/// Two keys of one App: before and after a rotation. Generated once, because generating RSA keys is slow.
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

/// The claims of a request's JWT, if `key` signed it.
pub(crate) fn claims(seen: &Seen, key: &Key) -> Option<Value> {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    let decoded = jsonwebtoken::decode::<Value>(
        &seen.token,
        &DecodingKey::from_rsa_der(&key.public),
        &validation,
    );
    decoded.ok().map(|decoded| decoded.claims)
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
    stub: stub::Stub,
    pub(crate) github: Github,
    pub(crate) secrets: SecretStore,
}

impl Deref for Stub {
    type Target = stub::Stub;
    fn deref(&self) -> &stub::Stub {
        &self.stub
    }
}

impl Stub {
    /// Mints tokens, and answers every other request with `answer`, which also gets the stub's own URL.
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

    /// Answers every request with `answer`.
    pub(crate) async fn with_tokens(
        answer: impl Fn(&Seen, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let stub = stub::Stub::start(answer).await;
        let secrets = SecretStore::start(&keys()[0].pem).await;
        let github = client(&stub.url, &secrets);
        Self {
            stub,
            github,
            secrets,
        }
    }

    /// The number of requests for a token.
    pub(crate) fn mints(&self) -> usize {
        self.seen().iter().filter(|seen| seen.is_mint()).count()
    }

    /// All received requests except those for a token.
    pub(crate) fn calls(&self) -> Vec<Seen> {
        self.seen()
            .into_iter()
            .filter(|seen| !seen.is_mint())
            .collect()
    }
}

/// A client of `url` that waits 1 ms at most before the second try.
pub(crate) fn client(url: &str, secrets: &SecretStore) -> Github {
    let config = GithubConfig {
        base_url: url.parse().expect("a loopback URL"),
        api_version: "2022-11-28".parse().expect("valid"),
        app_id: APP.parse().expect("valid"),
        private_key: SecretName::new("key"),
    };
    Github::with_first_wait(
        &config,
        Secrets::new(secrets.client()),
        Duration::from_millis(1),
    )
    .expect("a client")
}
