//! Secrets from AWS Secrets Manager, cached in memory for five minutes. Knows nothing about their use.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_secretsmanager::{
    Client, error::SdkError, operation::get_secret_value::GetSecretValueError,
};

use domain::Timestamp;

/// How long a value is cached. A rotation takes effect within this time.
const FRESH_FOR: Duration = Duration::from_secs(5 * 60);

/// The ARN or the name of a secret. Not secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretName(String);

impl SecretName {
    /// Takes the name as it is configured.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A secret's text. Formatting it never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Arc<str>);

impl SecretText {
    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// A secret could not be read. Names the secret, never its value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager could not be reached, or refused.
    #[error("cannot read secret {name}")]
    Unavailable {
        /// The secret.
        name: SecretName,
        /// The client's error.
        #[source]
        source: Box<SdkError<GetSecretValueError>>,
    },
    /// The secret exists but has no text.
    #[error("secret {name} is binary; it must be a text")]
    NoText {
        /// The secret.
        name: SecretName,
    },
}

/// Reads secrets, each at most once in five minutes. Clones share the cache.
#[derive(Clone, Debug)]
pub struct Secrets {
    client: Client,
    read: Arc<Mutex<HashMap<SecretName, Read>>>,
}

#[derive(Clone, Debug)]
struct Read {
    text: SecretText,
    at: Timestamp,
}

impl Secrets {
    /// Reads through `client`.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            read: Arc::default(),
        }
    }

    /// The secret, at most five minutes old.
    pub async fn read(&self, name: &SecretName, now: Timestamp) -> Result<SecretText, SecretError> {
        let known = self.cache().get(name).cloned();
        match known {
            // A read time in the future means that the clock was set back. The value could then be cached for too long.
            Some(known) if known.at <= now && now.since(known.at) < FRESH_FOR => Ok(known.text),
            Some(_) | None => self.reread(name, now).await,
        }
    }

    /// The current secret, past the cache: for a caller whose cached value was refused.
    pub async fn reread(
        &self,
        name: &SecretName,
        now: Timestamp,
    ) -> Result<SecretText, SecretError> {
        let answer = self
            .client
            .get_secret_value()
            .secret_id(&name.0)
            .send()
            .await
            .map_err(|source| SecretError::Unavailable {
                name: name.clone(),
                source: Box::new(source),
            })?;
        let text = answer
            .secret_string()
            .ok_or_else(|| SecretError::NoText { name: name.clone() })?;
        let text = SecretText::from(text);
        self.cache().insert(
            name.clone(),
            Read {
                text: text.clone(),
                at: now,
            },
        );
        Ok(text)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<SecretName, Read>> {
        // Poisoning can be ignored: no write leaves the map half-done.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use stub::SecretStore;

    const NOON: Timestamp = Timestamp::from_seconds(1_795_435_200);

    #[tokio::test]
    async fn a_secret_is_read_once_in_five_minutes() {
        let store = SecretStore::start("first").await;
        let (secrets, name) = (Secrets::new(store.client()), SecretName::new("key"));
        for minute in 0..5 {
            let text = secrets
                .clone()
                .read(&name, NOON + Duration::from_secs(60 * minute))
                .await
                .expect("stored");
            assert_eq!(text.expose(), "first");
        }
        assert_eq!(store.reads.load(Ordering::SeqCst), 1);
        store.set("second");
        let text = secrets.read(&name, NOON + FRESH_FOR).await.expect("stored");
        assert_eq!(
            (text.expose(), store.reads.load(Ordering::SeqCst)),
            ("second", 2)
        );
    }

    #[tokio::test]
    async fn a_reread_bypasses_the_cache_and_renews_it() {
        let store = SecretStore::start("first").await;
        let (secrets, name) = (Secrets::new(store.client()), SecretName::new("key"));
        secrets.read(&name, NOON).await.expect("stored");
        store.set("second");
        assert_eq!(
            secrets.read(&name, NOON).await.expect("stored").expose(),
            "first"
        );
        assert_eq!(
            secrets.reread(&name, NOON).await.expect("stored").expose(),
            "second"
        );
        assert_eq!(
            secrets.read(&name, NOON).await.expect("stored").expose(),
            "second"
        );
    }

    #[tokio::test]
    async fn an_error_names_the_secret_and_formatting_never_shows_it() {
        let store = SecretStore::start("first").await;
        let error = Secrets::new(store.client())
            .read(&SecretName::new("absent"), NOON)
            .await
            .expect_err("not stored");
        assert_eq!(error.to_string(), "cannot read secret absent");
        assert_eq!(format!("{:?}", SecretText::from("first")), "SecretText(…)");
        let secrets = Secrets::new(store.client());
        secrets
            .read(&SecretName::new("key"), NOON)
            .await
            .expect("stored");
        assert!(!format!("{secrets:?}").contains("first"));
    }
}
