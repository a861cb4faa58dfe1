//! Credentials: the app's JSON web tokens, and the installation tokens issued for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::locked;

/// GitHub's maximum lifetime of an app's token, in seconds.
const LONGEST_APP_TOKEN: i64 = 600;
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// The level of a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Access {
    Read,
    Write,
    Admin,
}

/// The permissions of an installation or a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Permissions(BTreeMap<String, Access>);

impl Permissions {
    const ALERTS: &str = "vulnerability_alerts";
    const METADATA: &str = "metadata";
    const CONTENTS: &str = "contents";

    /// Returns the wanted permissions, or `None` if they exceed the granted ones. Always includes reading metadata.
    pub(crate) fn narrowed(&self, wanted: &Self) -> Option<Self> {
        let granted =
            |name: &String, access: &Access| self.0.get(name).is_some_and(|most| access <= most);
        if !wanted.0.iter().all(|(name, access)| granted(name, access)) {
            return None;
        }
        let mut narrowed = wanted.clone();
        narrowed
            .0
            .entry(Self::METADATA.to_owned())
            .or_insert(Access::Read);
        Some(narrowed)
    }

    /// Adds the permissions that the system needs beyond reading alerts: dismissing them, and reading code for the
    /// agent.
    pub(crate) fn extend(&mut self) {
        if let Some(access) = self.0.get_mut(Self::ALERTS) {
            *access = (*access).max(Access::Write);
            self.0
                .entry(Self::CONTENTS.to_owned())
                .or_insert(Access::Read);
        }
    }

    pub(crate) fn allow_alerts(&self, access: Access) -> bool {
        self.0.get(Self::ALERTS).is_some_and(|most| access <= *most)
    }
}

impl Default for Permissions {
    fn default() -> Self {
        Self(BTreeMap::from([
            (Self::CONTENTS.to_owned(), Access::Read),
            (Self::METADATA.to_owned(), Access::Read),
            (Self::ALERTS.to_owned(), Access::Write),
        ]))
    }
}

/// What an installation token grants.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) expires_at: Timestamp,
    pub(crate) permissions: Permissions,
    /// `None` means all of the installation's repositories.
    pub(crate) repositories: Option<BTreeSet<u64>>,
}

impl Grant {
    pub(crate) fn includes(&self, repository: u64) -> bool {
        let chosen = self.repositories.as_ref();
        chosen.is_none_or(|chosen| chosen.contains(&repository))
    }
}

/// The valid installation tokens. In memory only: a restart invalidates them, as if they had expired.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<HashMap<String, Arc<Grant>>>);

impl Tokens {
    pub(crate) fn issue(
        &self,
        app_id: u64,
        permissions: Permissions,
        repositories: Option<BTreeSet<u64>>,
        now: Timestamp,
    ) -> Result<(String, Arc<Grant>), aws_lc_rs::error::Unspecified> {
        // As long as GitHub's stateless tokens, so that no caller relies on 40 characters.
        let mut secret = [0; 192];
        rand::fill(&mut secret)?;
        let token = format!("ghs_{app_id}_{}", URL_SAFE_NO_PAD.encode(secret));
        let expires_at = now + LIFETIME;
        let grant = Arc::new(Grant {
            expires_at: expires_at
                - SignedDuration::from_nanos(expires_at.subsec_nanosecond().into()),
            permissions,
            repositories,
        });
        let mut tokens = locked(&self.0);
        tokens.retain(|_, grant| grant.expires_at > now);
        tokens.insert(token.clone(), Arc::clone(&grant));
        Ok((token, grant))
    }

    pub(crate) fn grant(&self, token: &str, now: Timestamp) -> Option<Arc<Grant>> {
        let tokens = locked(&self.0);
        let grant = tokens.get(token).filter(|grant| grant.expires_at > now)?;
        Some(Arc::clone(grant))
    }

    pub(crate) fn revoke_all(&self) {
        locked(&self.0).clear();
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<Value>,
    iat: Option<i64>,
    exp: Option<i64>,
}

/// Verifies the app's JSON web token. `Err` contains GitHub's message.
pub(crate) fn verify_app(
    token: &str,
    key: &DecodingKey,
    app_id: u64,
    now: Timestamp,
) -> Result<(), &'static str> {
    // The checks below have no leeway and use GitHub's messages.
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let claims: Claims = jsonwebtoken::decode(token, key, &validation)
        .map_err(|_| "A JSON web token could not be decoded")?
        .claims;

    let now = now.as_second();
    let app_id = app_id.to_string();
    let issuer = match claims.iss {
        Some(Value::String(issuer)) => issuer,
        Some(Value::Number(issuer)) => issuer.to_string(),
        _ => return Err("Missing 'issuer' claim ('iss') in assertion"),
    };
    match (claims.exp, claims.iat) {
        _ if issuer != app_id => Err("'Issuer' claim ('iss') must be the application's ID"),
        (None, _) => Err("Missing 'expiration time' claim ('exp') in assertion"),
        (_, None) => Err("Missing 'issued at' claim ('iat') in assertion"),
        (Some(exp), _) if exp <= now => Err(
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
        ),
        (Some(exp), _) if exp > now + LONGEST_APP_TOKEN => {
            Err("'Expiration time' claim ('exp') is too far in the future")
        }
        (_, Some(iat)) if iat > now => Err(
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
        ),
        (Some(_), Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    use super::*;
    use crate::AppKey;

    const APP: u64 = 7;

    #[test]
    fn only_a_token_that_follows_githubs_rules_is_accepted() {
        let key = AppKey::generate().expect("a key");
        let other = AppKey::generate().expect("another key");
        let now = Timestamp::from_second(1_800_000_000).expect("in range");
        let at = now.as_second();
        let good = json!({"iss": "7", "iat": at - 60, "exp": at + 540});
        let verdict = |key_pair: &AppKey, claims: &Value| {
            let signing = EncodingKey::from_rsa_pem(key_pair.private_key_pem().as_bytes())
                .expect("a PEM key");
            let token = jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &signing)
                .expect("signed");
            verify_app(&token, &key.decoding_key(), APP, now)
        };

        assert_eq!(verdict(&key, &good), Ok(()));
        assert_eq!(
            verdict(&key, &json!({"iss": 7, "iat": at, "exp": at + 600})),
            Ok(())
        );
        assert!(verdict(&other, &good).is_err(), "signed by another key");
        for wrong in [
            json!({"iss": "8", "iat": at, "exp": at + 60}),
            json!({"iss": "7", "iat": at, "exp": at + 601}),
            json!({"iss": "7", "iat": at - 60, "exp": at}),
            json!({"iss": "7", "iat": at + 1, "exp": at + 60}),
            json!({"iss": "7", "exp": at + 60}),
            json!({"iss": "7", "iat": at}),
            json!({"iat": at, "exp": at + 60}),
        ] {
            assert!(verdict(&key, &wrong).is_err(), "{wrong}");
        }

        let secret = EncodingKey::from_secret(key.public_key_der());
        let confused =
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), &good, &secret).expect("signed");
        assert!(
            verify_app(&confused, &key.decoding_key(), APP, now).is_err(),
            "not RS256"
        );
    }

    #[test]
    fn an_installation_token_lives_one_hour() {
        let tokens = Tokens::default();
        let now = Timestamp::from_second(1_800_000_000).expect("in range");
        let (token, grant) = tokens
            .issue(APP, Permissions::default(), None, now)
            .expect("random bytes");
        let second = SignedDuration::from_secs(1);

        assert_eq!(grant.expires_at, now + LIFETIME);
        assert!(tokens.grant(&token, grant.expires_at - second).is_some());
        assert!(tokens.grant(&token, grant.expires_at).is_none());
        tokens.revoke_all();
        assert!(tokens.grant(&token, now).is_none());
    }

    #[test]
    fn permissions_can_only_be_narrowed() {
        let granted = Permissions::default();
        let wanted =
            |json: Value| serde_json::from_value::<Permissions>(json).expect("permissions");
        let narrowed = granted.narrowed(&wanted(json!({"vulnerability_alerts": "read"})));
        assert_eq!(
            narrowed,
            Some(wanted(
                json!({"metadata": "read", "vulnerability_alerts": "read"})
            ))
        );
        assert_eq!(granted.narrowed(&wanted(json!({"issues": "read"}))), None);
        assert_eq!(
            granted.narrowed(&wanted(json!({"contents": "write"}))),
            None
        );
        assert_eq!(
            granted.narrowed(&wanted(json!({"vulnerability_alerts": "admin"}))),
            None
        );
    }
}
