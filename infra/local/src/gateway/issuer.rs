//! Checks tokens of an external issuer as API Gateway does: discovers the issuer's documents from its URL, caches
//! its keys, and accepts only RSA signatures.

use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use crate::chain;
use crate::template::JwtAuthorizer;

/// How long keys are cached; API Gateway's own value.
const KEPT: Duration = Duration::from_secs(2 * 60 * 60);
/// A token with an unknown key makes the stack fetch the issuer's keys again, at most this often.
const ASKED_AT_MOST: Duration = Duration::from_secs(1);
/// Timeout of a request to the issuer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512];

/// Checks tokens with the keys that the issuer publishes.
#[derive(Debug)]
pub(super) struct Issuer {
    settings: JwtAuthorizer,
    http: Client,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    keys: JwkSet,
    asked_at: Option<Instant>,
}

#[derive(Deserialize)]
struct Discovery {
    jwks_uri: String,
}

impl Issuer {
    pub(super) fn new(settings: JwtAuthorizer) -> Self {
        Self {
            settings,
            http: Client::new(),
            known: Mutex::new(Known {
                keys: JwkSet { keys: Vec::new() },
                asked_at: None,
            }),
        }
    }

    /// Returns the claims of the token, or `None` if the token is not valid or the issuer cannot be reached.
    pub(super) async fn claims(&self, token: &str) -> Option<Map<String, Value>> {
        let header = decode_header(token).ok()?;
        if !ALGORITHMS.contains(&header.alg) {
            return None;
        }
        let key = self.key(&header.kid?).await?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_required_spec_claims(&["exp", "iss"]);
        validation.validate_nbf = true;
        // `is_for` checks the audience below: it may be in another claim.
        validation.validate_aud = false;
        validation.leeway = 0;
        let claims: Map<String, Value> = decode(token, &key, &validation).ok()?.claims;
        is_for(&claims, &self.settings.audience).then_some(claims)
    }

    async fn key(&self, id: &str) -> Option<DecodingKey> {
        let mut known = self.known.lock().await;
        let age = known.asked_at.map(|asked_at| asked_at.elapsed());
        let fresh = match age {
            None => false,
            Some(age) if known.keys.find(id).is_some() => age < KEPT,
            Some(age) => age < ASKED_AT_MOST,
        };
        if !fresh {
            known.asked_at = Some(Instant::now());
            match self.published().await {
                Ok(keys) => known.keys = keys,
                Err(error) => warn!("cannot fetch the issuer's keys: {}", chain(&error)),
            }
        }
        DecodingKey::from_jwk(known.keys.find(id)?).ok()
    }

    async fn published(&self) -> Result<JwkSet, reqwest::Error> {
        let issuer = self.settings.issuer.trim_end_matches('/');
        let discovery: Discovery = self
            .get(&format!("{issuer}/.well-known/openid-configuration"))
            .await?;
        self.get(&discovery.jwks_uri).await
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, url: &str) -> Result<T, reqwest::Error> {
        let answer = self.http.get(url).timeout(REQUEST_TIMEOUT).send().await?;
        answer.error_for_status()?.json().await
    }
}

/// Reports whether the token is for one of these audiences: by `aud`, or by `client_id` if it has no `aud`.
fn is_for(claims: &Map<String, Value>, audience: &[String]) -> bool {
    let named = |value: &Value| {
        value
            .as_str()
            .is_some_and(|name| audience.iter().any(|known| known == name))
    };
    match claims.get("aud") {
        Some(Value::Array(names)) => names.iter().any(named),
        Some(name) => named(name),
        None => claims.get("client_id").is_some_and(named),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_for_its_audience_or_without_one_for_its_client() {
        let audience = ["security-agent".to_owned()];
        for (claims, expected) in [
            (json!({"aud": "security-agent"}), true),
            (json!({"aud": ["other", "security-agent"]}), true),
            (json!({"client_id": "security-agent"}), true),
            (
                json!({"aud": "other", "client_id": "security-agent"}),
                false,
            ),
            (json!({"aud": []}), false),
            (json!({}), false),
        ] {
            let claims = claims.as_object().expect("an object").clone();
            assert_eq!(is_for(&claims, &audience), expected, "{claims:?}");
        }
    }
}
