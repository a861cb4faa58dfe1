//! Issues tokens, and checks them as API Gateway's JWT authorizer does.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::issuer::Issuer;
use crate::template::JwtAuthorizer;

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The token is missing, expired, signed with another key, or for another issuer or audience.
    Unauthorized,
    /// The token has none of the route's scopes.
    Forbidden,
}

/// How long an issued token is valid.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// The API's authorizers, by name. They all trust one key: the stack's own.
#[derive(Debug)]
pub struct Authorizers(BTreeMap<String, Authorizer>);

impl Authorizers {
    /// Creates authorizers that trust tokens signed with this key.
    pub fn new(settings: &BTreeMap<String, JwtAuthorizer>, key: &str) -> Self {
        let authorizers = settings
            .iter()
            .map(|(name, settings)| (name.clone(), Authorizer::new(settings.clone(), key)));
        Self(authorizers.collect())
    }

    /// Also trusts tokens of the configured issuer itself.
    #[must_use]
    pub fn trusting_issuer(self) -> Self {
        let authorizers = self.0.into_iter();
        Self(
            authorizers
                .map(|(name, authorizer)| (name, authorizer.trusting_issuer()))
                .collect(),
        )
    }

    /// Issues a token for this caller with these scopes, by default all that any route needs; `over` replaces claims.
    /// Returns `None` if there is no authorizer.
    pub(super) fn issue(
        &self,
        caller: &Caller,
        scope: Option<&str>,
        over: Map<String, Value>,
        now: Timestamp,
    ) -> Option<Result<String, jsonwebtoken::errors::Error>> {
        let scopes = self.0.values().flat_map(|one| &one.settings.scopes);
        let scopes = scopes.map(String::as_str).collect::<BTreeSet<_>>();
        let all = scopes.into_iter().collect::<Vec<_>>().join(" ");
        let (_, any) = self.0.first_key_value()?;
        Some(any.issue(caller, scope.unwrap_or(&all), over, now))
    }

    /// Returns the claims of the request's token if this authorizer accepts it.
    pub(super) async fn claims(
        &self,
        authorizer: &str,
        headers: &HeaderMap,
    ) -> Result<Map<String, Value>, Refusal> {
        let authorizer = self.0.get(authorizer).ok_or(Refusal::Unauthorized)?;
        authorizer.claims(headers).await
    }
}

/// Issues and checks tokens with one secret key; also checks tokens of an external issuer, if one is trusted.
struct Authorizer {
    settings: JwtAuthorizer,
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    issuer: Option<Issuer>,
}

impl std::fmt::Debug for Authorizer {
    /// Omits the key.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.settings.fmt(formatter)
    }
}

/// The caller that a token identifies.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// The user's id.
    pub sub: String,
    /// The user's e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The organisations that the user may act for.
    #[serde(default)]
    pub orgs: Vec<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    #[serde(flatten)]
    caller: &'a Caller,
    iss: &'a str,
    aud: &'a [String],
    scope: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl Authorizer {
    /// Creates an authorizer that trusts tokens signed with this key.
    fn new(settings: JwtAuthorizer, key: &str) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&settings.audience);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = 0;
        Self {
            settings,
            issuer: None,
            encoding: EncodingKey::from_secret(key.as_bytes()),
            decoding: DecodingKey::from_secret(key.as_bytes()),
            validation,
        }
    }

    /// Also trusts tokens of the configured issuer itself.
    fn trusting_issuer(self) -> Self {
        let issuer = Issuer::new(self.settings.clone());
        Self {
            issuer: Some(issuer),
            ..self
        }
    }

    /// Issues a token for this caller with these scopes, separated by spaces, and with the claims of `over`.
    fn issue(
        &self,
        caller: &Caller,
        scope: &str,
        over: Map<String, Value>,
        now: Timestamp,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let claims = Claims {
            caller,
            iss: &self.settings.issuer,
            aud: &self.settings.audience,
            scope,
            iat: now.as_second(),
            nbf: now.as_second(),
            exp: now.as_second() + LIFETIME.as_secs(),
        };
        let mut claims = serde_json::to_value(claims)?;
        if let Some(claims) = claims.as_object_mut() {
            claims.extend(over);
        }
        encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
    }

    /// Returns the claims of the request's token.
    async fn claims(&self, headers: &HeaderMap) -> Result<Map<String, Value>, Refusal> {
        let claims = self.verified(headers).await.ok_or(Refusal::Unauthorized)?;
        // As in API Gateway: `scope` or `scp`, a string or a list.
        let scopes = claims.get("scope").or_else(|| claims.get("scp"));
        let has = |wanted: &String| match scopes {
            Some(Value::String(text)) => text.split(' ').any(|one| one == wanted),
            Some(Value::Array(list)) => list.iter().any(|one| one == wanted.as_str()),
            Some(_) | None => false,
        };
        let enough = self.settings.scopes.is_empty() || self.settings.scopes.iter().any(has);
        if enough {
            Ok(claims)
        } else {
            Err(Refusal::Forbidden)
        }
    }

    async fn verified(&self, headers: &HeaderMap) -> Option<Map<String, Value>> {
        let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
        // API Gateway accepts the token with or without the scheme.
        let token = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            Some(_) => return None,
            None => header,
        };
        let own = decode(token, &self.decoding, &self.validation);
        match (own, &self.issuer) {
            (Ok(data), _) => Some(data.claims),
            (Err(_), Some(issuer)) => issuer.claims(token).await,
            (Err(_), None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: &str = "security-agent:write";

    fn authorizer(key: &str, issuer: &str, audience: &str) -> Authorizer {
        let settings = JwtAuthorizer {
            issuer: issuer.to_owned(),
            audience: vec![audience.to_owned()],
            scopes: vec!["security-agent:admin".to_owned(), WRITE.to_owned()],
        };
        Authorizer::new(settings, key)
    }

    fn caller() -> Caller {
        Caller {
            sub: "auth0|5f7c".to_owned(),
            email: None,
            name: None,
            orgs: vec!["a".to_owned()],
        }
    }

    fn bearing(token: &str) -> HeaderMap {
        let value = format!("Bearer {token}").parse().expect("a header");
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    }

    #[tokio::test]
    async fn its_own_tokens_are_accepted_with_their_claims() {
        let authorizer = authorizer("key", "https://issuer.invalid/", "security-agent");
        let token = authorizer
            .issue(&caller(), WRITE, Map::new(), Timestamp::now())
            .expect("a token");
        let claims = authorizer
            .claims(&bearing(&token))
            .await
            .expect("it is valid");
        assert_eq!(claims["sub"], "auth0|5f7c");
        assert_eq!(claims["orgs"], serde_json::json!(["a"]));
        assert!(!claims.contains_key("email"));
    }

    #[tokio::test]
    async fn foreign_expired_and_absent_tokens_are_refused() {
        let authorizer = authorizer("key", "https://issuer.invalid/", "security-agent");
        let now = Timestamp::now();
        let yesterday = now - SignedDuration::from_hours(25);
        let other = |key, issuer, audience| {
            self::authorizer(key, issuer, audience).issue(&caller(), WRITE, Map::new(), now)
        };
        let tokens = [
            authorizer.issue(&caller(), WRITE, Map::new(), yesterday),
            other("other", "https://issuer.invalid/", "security-agent"),
            other("key", "https://other.invalid/", "security-agent"),
            other("key", "https://issuer.invalid/", "other"),
            Ok("not.a.token".to_owned()),
        ];
        for token in tokens {
            let token = token.expect("a token");
            let claims = authorizer.claims(&bearing(&token)).await;
            assert_eq!(claims, Err(Refusal::Unauthorized), "{token}");
        }
        let claims = authorizer.claims(&HeaderMap::new()).await;
        assert_eq!(claims, Err(Refusal::Unauthorized));
    }

    #[tokio::test]
    async fn a_token_needs_one_of_the_scopes() {
        let authorizer = authorizer("key", "https://issuer.invalid/", "security-agent");
        let claims = async |scope: &str| {
            let token = authorizer.issue(&caller(), scope, Map::new(), Timestamp::now());
            let bearing = bearing(&token.expect("a token"));
            authorizer.claims(&bearing).await
        };
        for enough in [WRITE, "openid security-agent:write", "security-agent:admin"] {
            assert!(claims(enough).await.is_ok(), "{enough}");
        }
        for not_enough in ["", "openid", "security-agent:writer", "security-agent"] {
            assert_eq!(
                claims(not_enough).await,
                Err(Refusal::Forbidden),
                "{not_enough}"
            );
        }
    }
}
