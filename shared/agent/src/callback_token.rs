//! The callback token, which the agent gets with each launch and presents with its callback: `v2.<key id>.<sealed>`. It
//! is bound to an owner, a finding and an attempt, and it expires. It is encrypted, so the agent learns none of these.
//!
//! The secret contains one or two keys, `{"active":"k2","keys":{"k1":"…","k2":"…"}}`: `active` seals, all open. To
//! rotate, add the new key, wait until every function has read it (5 min), make it active, wait until the old key's
//! tokens have expired (2 h 15 min), and remove the old key.

use std::collections::BTreeMap;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, Salt},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};

use domain::{Timestamp, command::CommandId, finding::FindingId, owner::Owner};
use outbound::secrets::{SecretError, SecretName, SecretText, Secrets};

/// What the tokens begin with.
const VERSION: &str = "v2.";

/// Separates the keys and tokens from any that are derived or sealed for another purpose.
const PURPOSE: &[u8] = b"security-agent/analysis-callback 2";

/// What is sealed is padded to a multiple of this many bytes, so that a token's length does not tell owners apart.
const PADDING: usize = 256;

/// The audience of the tokens that the version before signed: JWTs (HS256), which live for 2 h 15 min.
const AUDIENCE: &str = "security-agent/analysis-callback";

/// The shortest key in bytes: as many as the sealing key that is derived from it.
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

/// The token does not allow a callback. Its presenter is told no reason; operators are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// None of our keys has made it, so it says nothing that is true.
    #[error("callback token is not valid")]
    Invalid,
    /// It was valid.
    #[error("callback token has expired")]
    Expired(CallbackToken),
}

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

    /// Makes a token.
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
        let claims = Claims {
            sub: capability.owner.clone(),
            finding: capability.finding,
            attempt: capability.attempt,
            exp: capability.expires_at.as_seconds(),
        };
        sealed(&keys.active, key, &claims)
            .map(|token| token.as_str().into())
            .map_err(|Unspecified| self.malformed())
    }

    /// Verifies a token.
    pub async fn verify(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Result<CallbackToken, NotAllowed>, KeysError> {
        let keys = self.keys(now).await?;
        Ok(verified(token, &keys, now))
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

/// The key that seals under this key of the secret.
fn sealing_key(key: &str) -> Result<RandomizedNonceKey, Unspecified> {
    let mut derived = [0; 32];
    let secret = Salt::new(HKDF_SHA256, &[]).extract(key.as_bytes());
    secret.expand(&[PURPOSE], HKDF_SHA256)?.fill(&mut derived)?;
    RandomizedNonceKey::new(&AES_256_GCM, &derived)
}

fn sealed(kid: &str, key: &str, claims: &Claims) -> Result<String, Unspecified> {
    let mut text = serde_json::to_vec(claims).map_err(|_| Unspecified)?;
    // Space after a JSON text is ignored.
    text.resize(text.len().next_multiple_of(PADDING), b' ');
    let nonce = sealing_key(key)?.seal_in_place_append_tag(Aad::from(kid), &mut text)?;
    let sealed = [&nonce.as_ref()[..], &text].concat();
    Ok(format!("{VERSION}{kid}.{}", URL_SAFE_NO_PAD.encode(sealed)))
}

fn verified(token: &str, keys: &Keys, now: Timestamp) -> Result<CallbackToken, NotAllowed> {
    let claims = match token.strip_prefix(VERSION) {
        Some(rest) => opened(rest, keys),
        None => signed(token, keys),
    };
    let claims = claims.ok_or(NotAllowed::Invalid)?;
    let token = CallbackToken {
        owner: claims.sub,
        finding: claims.finding,
        attempt: claims.attempt,
        expires_at: Timestamp::from_seconds(claims.exp),
    };
    if token.expires_at > now {
        Ok(token)
    } else {
        Err(NotAllowed::Expired(token))
    }
}

/// Opens a token, without its version.
fn opened(token: &str, keys: &Keys) -> Option<Claims> {
    let (kid, sealed) = token.rsplit_once('.')?;
    let key = keys.keys.get(kid)?;
    let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut text = text.to_vec();
    let key = sealing_key(key).ok()?;
    let text = key.open_in_place(nonce, Aad::from(kid), &mut text).ok()?;
    serde_json::from_slice(text).ok()
}

/// Verifies a token that the version before has signed.
fn signed(token: &str, keys: &Keys) -> Option<Claims> {
    let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
    let key = keys.keys.get(&kid)?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "aud", "sub"]);
    // The library would compare with the machine's clock; `now` below follows DynamoDB's.
    validation.validate_exp = false;
    let key = DecodingKey::from_secret(key.as_bytes());
    let claims = jsonwebtoken::decode(token, &key, &validation).ok()?;
    Some(claims.claims)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::{EncodingKey, Header};
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
        let expired = verdict(&keys, &token, expired).await;
        assert_eq!(expired, Err(NotAllowed::Expired(capability())));
    }

    #[tokio::test]
    async fn a_token_of_the_old_key_is_valid_until_that_key_is_removed() {
        let token = signed(&secret("a", &["a"])).await;
        let both = secret("b", &["a", "b"]);
        assert_eq!(verdict(&both, &token, NOON).await, Ok(capability()));
        let later = secret("b", &["b"]);
        assert_eq!(
            verdict(&later, &token, NOON).await,
            Err(NotAllowed::Invalid)
        );
    }

    #[tokio::test]
    async fn a_token_tells_its_bearer_nothing() {
        let keys = under(&secret("a", &["a"])).await;
        let mut seen = std::collections::BTreeSet::new();
        let mut lengths = std::collections::BTreeSet::new();
        for owner in ["user:a", "user:auth0|5f7c", "user:auth0|5f7c"] {
            let owner = owner.parse().expect("valid");
            let capability = CallbackToken {
                owner,
                ..capability()
            };
            let token = keys.sign(&capability, NOON).await.expect("sealed");
            let (kid, sealed) = token.expose()[VERSION.len()..]
                .split_once('.')
                .expect("two parts");
            assert_eq!(kid, "a");
            let bytes = URL_SAFE_NO_PAD.decode(sealed).expect("base64url");
            let text = String::from_utf8_lossy(&bytes);
            for word in ["auth0", "user", "dependabot", "sub", "exp"] {
                assert!(!text.contains(word), "{word} in {text}");
            }
            lengths.insert(bytes.len());
            assert!(
                seen.insert(bytes),
                "equal tokens would tell that owners are"
            );
        }
        assert_eq!(lengths.len(), 1, "{lengths:?}");
    }

    #[tokio::test]
    async fn an_altered_or_foreign_token_is_not_valid() {
        let keys = secret("a", &["a", "b"]);
        let token = signed(&keys).await;
        let sealed = token.strip_prefix("v2.a.").expect("sealed under a");
        let bytes = URL_SAFE_NO_PAD.decode(sealed).expect("base64url");
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1;
            let altered = format!("v2.a.{}", URL_SAFE_NO_PAD.encode(bytes));
            assert_eq!(
                verdict(&keys, &altered, NOON).await,
                Err(NotAllowed::Invalid),
                "{place}"
            );
        }
        for other in [
            format!("v2.b.{sealed}"),
            format!("v2.z.{sealed}"),
            format!("v3.a.{sealed}"),
            format!("v2.a.{}", &sealed[..sealed.len() - 4]),
            "v2.a.".to_owned(),
            "v2.".to_owned(),
            sealed.to_owned(),
        ] {
            assert_eq!(
                verdict(&keys, &other, NOON).await,
                Err(NotAllowed::Invalid),
                "{other}"
            );
        }
    }

    #[tokio::test]
    async fn of_the_version_before_only_a_token_with_its_header_and_claims_is_valid() {
        let keys = secret("a", &["a"]);
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
        let token = made(Algorithm::HS256, Some("a"), good.clone());
        let expired = NOON + Duration::from_secs(60);
        assert!(verdict(&keys, &token, NOON).await.is_ok());
        let expired = verdict(&keys, &token, expired).await;
        assert!(matches!(expired, Err(NotAllowed::Expired(_))));
        let without = |name: &str| {
            let mut claims = good.clone();
            claims.as_object_mut().expect("an object").remove(name);
            claims
        };
        let mut other = good.clone();
        other["aud"] = "security-agent".into();
        let mut altered = made(Algorithm::HS256, Some("a"), good.clone());
        altered.insert(altered.len() - 3, 'x');
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
                Err(NotAllowed::Invalid),
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
