//! The project's credentials for GitHub: the App's JWT and the tokens of its installations.
//!
//! The App signs a short-lived JWT with its private key and exchanges it for a token of an installation. Tokens last an
//! hour and are cached in memory, so a warm function mints one an hour instead of one per invocation.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{sync::Mutex as AsyncMutex, time::timeout_at};

use super::{
    Budget, GithubError,
    answer::{Answer, Refusal, refusal},
    config::{AppId, GithubConfig},
    source,
    transport::{Call, Reading, Repeat, Transport},
};
use domain::{
    Timestamp,
    finding::{RepositoryId, Source},
    installation::InstallationId,
};
use outbound::{
    BaseUrl,
    secrets::{SecretError, SecretName, SecretText, Secrets},
};

/// GitHub rejects a JWT issued in its future, or valid for more than ten minutes from its present. Three minutes back
/// and six minutes ahead work even if the clocks differ by two minutes.
const ISSUED_BEFORE: Duration = Duration::from_secs(3 * 60);
const EXPIRES_AFTER: Duration = Duration::from_secs(6 * 60);

/// A cached token that expires sooner than this is replaced.
const LEAST_LIFE: Duration = Duration::from_secs(5 * 60);

/// The permissions of a token. No token can do more than its calls need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Access {
    ReadAlerts(Source),
    WriteAlerts(Source),
}

/// Why the App's own credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The private key could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The secret is not a private key, or it cannot sign.
    #[error("secret {name} is not an RSA private key in PEM")]
    Key {
        /// The secret.
        name: SecretName,
        /// What is wrong with it.
        #[source]
        source: jsonwebtoken::errors::Error,
    },
}

/// A token of an installation.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: SecretText,
    expires_at: Timestamp,
}

type Slot = Arc<AsyncMutex<Option<Token>>>;

#[derive(Debug)]
pub(super) struct App {
    id: AppId,
    private_key: SecretName,
    secrets: Secrets,
    base: BaseUrl,
    tokens: Mutex<HashMap<(InstallationId, Access), Slot>>,
}

impl App {
    pub(super) fn new(config: &GithubConfig, secrets: Secrets) -> Self {
        Self {
            id: config.app_id.clone(),
            private_key: config.private_key.clone(),
            secrets,
            base: config.base_url.clone(),
            tokens: Mutex::default(),
        }
    }

    /// A token of `installation` that lasts at least five more minutes. Concurrent callers share one mint.
    pub(super) async fn token(
        &self,
        transport: &Transport,
        installation: InstallationId,
        access: Access,
        budget: Budget,
    ) -> Result<Token, GithubError> {
        let slot = self.slot(installation, access);
        // The lock spans the mint: concurrent callers wait here and find the new token.
        let mut kept = timeout_at(budget.deadline, slot.lock())
            .await
            .map_err(|_| GithubError::OutOfTime)?;
        match &*kept {
            Some(token) if token.expires_at.since(budget.now) >= LEAST_LIFE => Ok(token.clone()),
            Some(_) | None => {
                let token = self.mint(transport, installation, access, budget).await?;
                *kept = Some(token.clone());
                Ok(token)
            }
        }
    }

    /// Drops the token `refused` from the cache.
    pub(super) async fn forget(
        &self,
        installation: InstallationId,
        access: Access,
        refused: &Token,
    ) {
        let slot = self.slot(installation, access);
        let mut kept = slot.lock().await;
        // Race: several calls have the same token rejected. The first one to mint again must not lose its fresh token.
        if kept
            .as_ref()
            .is_some_and(|token| token.text == refused.text)
        {
            *kept = None;
        }
    }

    fn slot(&self, installation: InstallationId, access: Access) -> Slot {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.entry((installation, access)).or_default().clone()
    }

    async fn mint(
        &self,
        transport: &Transport,
        installation: InstallationId,
        access: Access,
        budget: Budget,
    ) -> Result<Token, GithubError> {
        let (source, level) = match access {
            Access::ReadAlerts(source) => (source, "read"),
            Access::WriteAlerts(source) => (source, "write"),
        };
        let permission = source::of(source).permission();
        let narrowed = json!({"permissions": {"metadata": "read", permission: level}});
        match self
            .minted(transport, installation, &narrowed, budget)
            .await
        {
            Err(GithubError::Refused { refusal, led_to }) => {
                let refusal = match refusal {
                    // For this call, 404 and 403 mean that the installation is deleted or suspended, not a repository.
                    Refusal::Unavailable | Refusal::PermissionMissing | Refusal::Gone => {
                        Refusal::AuthInvalid
                    }
                    // The installation does not grant the permissions that the token asks for.
                    Refusal::Unexpected { status: 422 } => Refusal::PermissionMissing,
                    Refusal::AuthInvalid
                    | Refusal::AlertsDisabled
                    | Refusal::RateLimited(_)
                    | Refusal::ServerError { .. }
                    | Refusal::Malformed
                    | Refusal::Unexpected { .. } => refusal,
                };
                Err(GithubError::Refused { refusal, led_to })
            }
            minted => minted,
        }
    }

    /// A token for the contents of one repository, for the agent.
    pub(super) async fn contents_token(
        &self,
        transport: &Transport,
        installation: InstallationId,
        repository: RepositoryId,
        budget: Budget,
    ) -> Result<SecretText, GithubError> {
        let narrowed = json!({
            "permissions": {"metadata": "read", "contents": "read"},
            "repository_ids": [repository],
        });
        let minted = self.minted(transport, installation, &narrowed, budget);
        Ok(minted.await?.text)
    }

    async fn minted(
        &self,
        transport: &Transport,
        installation: InstallationId,
        narrowed: &Value,
        budget: Budget,
    ) -> Result<Token, GithubError> {
        #[derive(Deserialize)]
        struct Minted {
            token: String,
            expires_at: Timestamp,
        }
        let call = Call {
            method: Method::POST,
            url: self.base.at(format_args!(
                "/app/installations/{installation}/access_tokens"
            )),
            body: Some(narrowed.to_string().into_bytes()),
            // An unused token expires after an hour.
            repeat: Repeat::Safe,
            only: None,
        };
        let read = |answer: &Answer| match answer.status {
            201 => match serde_json::from_slice::<Minted>(&answer.body) {
                Ok(minted) => Reading::Done(minted),
                Err(_) => Reading::Refused(Refusal::Malformed),
            },
            _ => Reading::Refused(refusal(answer, budget.now)),
        };
        let minted = self.as_app(transport, &call, budget, read).await?;
        Ok(Token {
            text: minted.token.as_str().into(),
            expires_at: minted.expires_at,
        })
    }

    /// Makes a call as the App itself. If GitHub rejects the JWT, the private key may have been rotated since it was
    /// cached: it is read once more.
    pub(super) async fn as_app<T>(
        &self,
        transport: &Transport,
        call: &Call,
        budget: Budget,
        read: impl Fn(&Answer) -> Reading<T>,
    ) -> Result<T, GithubError> {
        let kept = self
            .key(budget, self.secrets.read(&self.private_key, budget.now))
            .await?;
        if let Ok(jwt) = self.sign(&kept, budget.now) {
            match transport.make(call, &jwt, budget.deadline, &read).await? {
                Reading::Refused(Refusal::AuthInvalid) => {}
                reading => return reading.settled(),
            }
        }
        let fresh = self
            .key(budget, self.secrets.reread(&self.private_key, budget.now))
            .await?;
        let jwt = self.sign(&fresh, budget.now)?;
        transport
            .make(call, &jwt, budget.deadline, &read)
            .await?
            .settled()
    }

    async fn key(
        &self,
        budget: Budget,
        reading: impl Future<Output = Result<SecretText, SecretError>>,
    ) -> Result<SecretText, GithubError> {
        let key = timeout_at(budget.deadline, reading)
            .await
            .map_err(|_| GithubError::OutOfTime)?;
        key.map_err(|error| CredentialsError::from(error).into())
    }

    fn sign(&self, key: &SecretText, now: Timestamp) -> Result<SecretText, CredentialsError> {
        #[derive(Serialize)]
        struct Claims<'a> {
            iss: &'a str,
            iat: i64,
            exp: i64,
        }
        let claims = Claims {
            iss: self.id.as_str(),
            iat: (now - ISSUED_BEFORE).as_seconds(),
            exp: (now + EXPIRES_AFTER).as_seconds(),
        };
        EncodingKey::from_rsa_pem(key.expose().as_bytes())
            .and_then(|key| jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key))
            .map(|jwt| jwt.as_str().into())
            .map_err(|source| CredentialsError::Key {
                name: self.private_key.clone(),
                source,
            })
    }
}
