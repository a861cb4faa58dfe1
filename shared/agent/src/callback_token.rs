//! The callback token: a signed JWT (HS256) that the agent gets with each launch and presents with its callback. It is
//! bound to an owner, a finding and an attempt, and it expires.
//!
//! The secret contains one or two keys, `{"active":"k2","keys":{"k1":"…","k2":"…"}}`: `active` signs, all verify. To
//! rotate, add the new key, wait until every function has read it (5 min), make it active, wait until the old key's
//! tokens have expired (2 h 15 min), and remove the old key.

use std::collections::BTreeMap;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use domain::{Timestamp, command::CommandId, finding::FindingId, owner::Owner};
use outbound::secrets::{SecretError, SecretName, SecretText, Secrets};

/// The audience of the tokens. A token that we sign for another purpose is not valid here.
const AUDIENCE: &str = "security-agent/analysis-callback";

/// The shortest key in bytes: RFC 7518, section 3.2, demands 256 bits for HS256.
const SHORTEST_KEY: usize = 32;

/// What a token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackToken {
    /// The finding's owner.
    pub owner: Owner,
    /// The finding.
    pub finding: FindingId,
    /// The analysis attempt.
    pub attempt: CommandId,
    /// When the token expires, rounded down to whole seconds.
    pub expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    sub: Owner,
    finding: FindingId,
    attempt: CommandId,
    exp: i64,
}

#[derive(Deserialize)]
struct Keys {
    active: String,
    keys: BTreeMap<String, String>,
}

/// Signs and verifies callback tokens.
#[derive(Clone, Debug)]
pub struct CallbackTokens {
    secrets: Secrets,
    keys: SecretName,
}

/// The token is not valid. It deliberately gives no reason to its presenter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("callback token is not valid")]
pub struct NotAllowed;

/// The keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The secret does not contain valid keys.
    #[error(
        "secret {name} must contain {{\"active\":\"<id>\",\"keys\":{{\"<id>\":\"<at least 32 characters>\"}}}}"
    )]
    Malformed {
        /// The secret.
        name: SecretName,
    },
}

impl CallbackTokens {
    /// Tokens signed with the keys in this secret.
    pub const fn new(secrets: Secrets, keys: SecretName) -> Self {
        Self { secrets, keys }
    }

    /// Signs a token.
    pub async fn sign(
        &self,
        capability: &CallbackToken,
        now: Timestamp,
    ) -> Result<SecretText, KeysError> {
        let keys = self.keys(now).await?;
        let key = keys
            .keys
            .get(&keys.active)
            .ok_or_else(|| self.malformed())?;
        let header = Header {
            kid: Some(keys.active.clone()),
            ..Header::new(Algorithm::HS256)
        };
        let claims = Claims {
            aud: AUDIENCE.to_owned(),
            sub: capability.owner.clone(),
            finding: capability.finding,
            attempt: capability.attempt,
            exp: capability.expires_at.as_seconds(),
        };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(key.as_bytes()))
            .map(|token| token.as_str().into())
            .map_err(|_| self.malformed())
    }

    /// Verifies a token, comparing its signature in constant time.
    pub async fn verify(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Result<CallbackToken, NotAllowed>, KeysError> {
        let keys = self.keys(now).await?;
        Ok(verified(token, &keys, now).ok_or(NotAllowed))
    }

    async fn keys(&self, now: Timestamp) -> Result<Keys, KeysError> {
        let text = self.secrets.read(&self.keys, now).await?;
        let keys: Keys = serde_json::from_str(text.expose()).map_err(|_| self.malformed())?;
        let strong = keys.keys.values().all(|key| key.len() >= SHORTEST_KEY);
        if strong && keys.keys.contains_key(&keys.active) {
            Ok(keys)
        } else {
            Err(self.malformed())
        }
    }

    fn malformed(&self) -> KeysError {
        KeysError::Malformed {
            name: self.keys.clone(),
        }
    }
}

fn verified(token: &str, keys: &Keys, now: Timestamp) -> Option<CallbackToken> {
    let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
    let key = keys.keys.get(&kid)?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "aud", "sub"]);
    // The library would compare with the machine's clock; `now` below follows DynamoDB's.
    validation.validate_exp = false;
    let key = DecodingKey::from_secret(key.as_bytes());
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
        .ok()?
        .claims;
    let expires_at = Timestamp::from_seconds(claims.exp);
    (expires_at > now).then_some(CallbackToken {
        owner: claims.sub,
        finding: claims.finding,
        attempt: claims.attempt,
        expires_at,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use stub::SecretStore;

    const NOON: Timestamp = Timestamp::from_seconds(1_795_435_200);

    fn secret(active: &str, ids: &[&str]) -> String {
        let keys: BTreeMap<&str, String> = ids.iter().map(|id| (*id, id.repeat(32))).collect();
        json!({"active": active, "keys": keys}).to_string()
    }

    async fn under(secret: &str) -> CallbackTokens {
        let store = SecretStore::start(secret).await;
        CallbackTokens::new(Secrets::new(store.client()), SecretName::new("keys"))
    }

    fn capability() -> CallbackToken {
        CallbackToken {
            owner: "user:auth0|5f7c".parse().expect("valid"),
            finding: "dependabot-7-42".parse().expect("valid"),
            attempt: "01932b3a-5c00-7000-8000-000000000001"
                .parse()
                .expect("valid"),
            expires_at: NOON + Duration::from_secs(60),
        }
    }

    async fn signed(secret: &str) -> String {
        let token = under(secret).await.sign(&capability(), NOON).await;
        token.expect("signed").expose().to_owned()
    }

    async fn verdict(
        secret: &str,
        token: &str,
        now: Timestamp,
    ) -> Result<CallbackToken, NotAllowed> {
        let verified = under(secret).await.verify(token, now).await;
        verified.expect("the secret contains valid keys")
    }

    #[tokio::test]
    async fn a_token_allows_what_was_signed_until_it_expires() {
        let keys = secret("a", &["a"]);
        let token = signed(&keys).await;
        assert_eq!(verdict(&keys, &token, NOON).await, Ok(capability()));
        let expired = NOON + Duration::from_secs(60);
        assert_eq!(verdict(&keys, &token, expired).await, Err(NotAllowed));
    }

    #[tokio::test]
    async fn a_token_of_the_old_key_is_valid_until_that_key_is_removed() {
        let token = signed(&secret("a", &["a"])).await;
        let both = secret("b", &["a", "b"]);
        assert_eq!(verdict(&both, &token, NOON).await, Ok(capability()));
        let later = secret("b", &["b"]);
        assert_eq!(verdict(&later, &token, NOON).await, Err(NotAllowed));
    }

    #[tokio::test]
    async fn a_token_with_another_header_claim_or_signature_is_not_valid() {
        let keys = secret("a", &["a"]);
        let token = signed(&keys).await;
        let key = EncodingKey::from_secret("a".repeat(32).as_bytes());
        let made = |algorithm, kid: Option<&str>, claims: serde_json::Value| {
            let header = Header {
                kid: kid.map(str::to_owned),
                ..Header::new(algorithm)
            };
            jsonwebtoken::encode(&header, &claims, &key).expect("signed")
        };
        let exp = NOON.as_seconds() + 60;
        let good = json!({"aud": AUDIENCE, "sub": "user:a", "finding": "dependabot-7-42",
            "attempt": "01932b3a-5c00-7000-8000-000000000001", "exp": exp});
        assert!(
            verdict(
                &keys,
                &made(Algorithm::HS256, Some("a"), good.clone()),
                NOON
            )
            .await
            .is_ok()
        );
        let without = |name: &str| {
            let mut claims = good.clone();
            claims.as_object_mut().expect("an object").remove(name);
            claims
        };
        let mut other = good.clone();
        other["aud"] = "security-agent".into();
        let mut altered = token.clone();
        altered.insert(token.len() - 3, 'x');
        for forged in [
            made(Algorithm::HS512, Some("a"), good.clone()),
            made(Algorithm::HS256, None, good.clone()),
            made(Algorithm::HS256, Some("z"), good.clone()),
            made(Algorithm::HS256, Some("a"), other),
            made(Algorithm::HS256, Some("a"), without("exp")),
            made(Algorithm::HS256, Some("a"), without("aud")),
            made(Algorithm::HS256, Some("a"), without("attempt")),
            altered,
            String::new(),
            "a.b.c".to_owned(),
        ] {
            assert_eq!(
                verdict(&keys, &forged, NOON).await,
                Err(NotAllowed),
                "{forged}"
            );
        }
    }

    #[tokio::test]
    async fn invalid_keys_are_reported_by_the_secrets_name_only() {
        for secret in [
            "",
            "abc",
            r#"{"active":"a","keys":{}}"#,
            r#"{"active":"a","keys":{"a":"short"}}"#,
        ] {
            let error = under(secret).await.sign(&capability(), NOON).await;
            let error = error.expect_err("no keys");
            assert!(matches!(error, KeysError::Malformed { .. }));
            assert!(!error.to_string().contains("short"));
        }
    }
}
