//! Tokens: the stack issues them, and its authorizer checks them as API Gateway's would.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::issuer::Issuer;
use crate::template::JwtAuthorizer;

/// How long an issued token is valid.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// Issues and checks tokens with one secret key, and checks those of an issuer elsewhere, if one is trusted.
pub struct Authorizer {
    settings: JwtAuthorizer,
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    issuer: Option<Issuer>,
}

impl std::fmt::Debug for Authorizer {
    /// Leaves the key out.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.settings.fmt(formatter)
    }
}

/// Who a token is for.
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
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl Authorizer {
    /// An authorizer that trusts what is signed with this key.
    pub fn new(settings: JwtAuthorizer, key: &str) -> Self {
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

    /// Trusts the tokens of the issuer itself, too.
    #[must_use]
    pub fn trusting_issuer(self) -> Self {
        let issuer = Issuer::new(self.settings.clone());
        Self {
            issuer: Some(issuer),
            ..self
        }
    }

    /// A token for this caller.
    pub fn issue(
        &self,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let claims = Claims {
            caller,
            iss: &self.settings.issuer,
            aud: &self.settings.audience,
            iat: now.as_second(),
            nbf: now.as_second(),
            exp: now.as_second() + LIFETIME.as_secs(),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
    }

    /// The claims of the request's token; `None` if it has no valid one.
    pub(super) async fn claims(&self, headers: &HeaderMap) -> Option<Map<String, Value>> {
        let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
        // As API Gateway, with or without the scheme.
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

    fn authorizer(key: &str, issuer: &str, audience: &str) -> Authorizer {
        let settings = JwtAuthorizer {
            issuer: issuer.to_owned(),
            audience: vec![audience.to_owned()],
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
            .issue(&caller(), Timestamp::now())
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
        let tokens = [
            authorizer.issue(&caller(), yesterday),
            self::authorizer("other", "https://issuer.invalid/", "security-agent")
                .issue(&caller(), now),
            self::authorizer("key", "https://other.invalid/", "security-agent")
                .issue(&caller(), now),
            self::authorizer("key", "https://issuer.invalid/", "other").issue(&caller(), now),
            Ok("not.a.token".to_owned()),
        ];
        for token in tokens {
            let token = token.expect("a token");
            assert!(
                authorizer.claims(&bearing(&token)).await.is_none(),
                "{token}"
            );
        }
        assert!(authorizer.claims(&HeaderMap::new()).await.is_none());
    }
}
