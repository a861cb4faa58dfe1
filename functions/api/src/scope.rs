//! Authorisation, from the claims that the gateway verified and nothing else. Only this module builds an
//! [`OwnerScope`], so no handler can reach an owner that the caller may not act for.

use std::collections::{BTreeSet, HashMap};

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    command::Actor,
    owner::{Owner, UserId},
};
use lambda_http::request::RequestContext;

use crate::{
    claims::{self, SignIn},
    gateway::segment,
    problem::{Code, Problem},
};

/// The caller, from verified claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    id: UserId,
    own: Owner,
    organisations: BTreeSet<Owner>,
    sign_in: SignIn,
}

impl Caller {
    /// Reads the claims that API Gateway passes on. `None` without a valid `sub`.
    pub fn from_claims(claims: &HashMap<String, String>) -> Option<Self> {
        let sub = UserId::parse(claims.get("sub")?).ok()?;
        let own = Owner::User(sub.clone());
        let organisations = claims.get("orgs").map(|orgs| {
            claims::organisations(orgs).unwrap_or_else(|| {
                tracing::warn!(
                    caller = %own.hashed(),
                    "the claim orgs is not a list of UUIDs and nothing else, so it gives no organisation"
                );
                BTreeSet::new()
            })
        });
        Some(Self {
            own,
            id: sub,
            organisations: organisations.unwrap_or_default(),
            sign_in: SignIn::read(claims.get("auth_time").map(String::as_str)),
        })
    }

    /// Returns the owner that `{owner}` in a path names, if the caller may act for it.
    fn owner(&self, given: &str) -> Option<Owner> {
        // Comparing with the one encoding of the one person that the caller may name leaves nothing to decode.
        if given == "me" || given == encoded(&self.id) {
            return Some(self.own.clone());
        }
        let owner = given.parse().ok()?;
        (owner == self.own || self.organisations.contains(&owner)).then_some(owner)
    }
}

/// Returns a person as an owner without a character that a gateway could take for a part of a URL: `user~` and the id's
/// UTF-8 in base64url, without padding.
fn encoded(id: &UserId) -> String {
    format!("user~{}", URL_SAFE_NO_PAD.encode(id.as_str()))
}

/// An owner that the caller may act for. Only a completed check builds one.
#[derive(Clone, Debug)]
pub struct OwnerScope {
    owner: Owner,
    caller: UserId,
    sign_in: SignIn,
    given: String,
}

impl OwnerScope {
    /// The owner that the request is about.
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The caller.
    pub fn actor(&self) -> Actor {
        Actor::User(self.caller.clone())
    }

    /// When the caller signed in, as far as the token says.
    pub const fn sign_in(&self) -> SignIn {
        self.sign_in
    }

    /// Returns a path below this owner, with the owner as the caller wrote it.
    pub fn path(&self, below: impl std::fmt::Display) -> String {
        format!("/v1/owners/{}/{below}", segment(&self.given))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OwnerScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = caller(parts)?;
        let given = parameter(parts, state, "owner").await?;
        match caller.owner(&given) {
            Some(owner) => Ok(Self {
                owner,
                caller: caller.id,
                sign_in: caller.sign_in,
                given,
            }),
            None => {
                tracing::info!(caller = %caller.own.hashed(), "the caller may not act for this owner");
                Err(Problem::not_found())
            }
        }
    }
}

fn caller(parts: &Parts) -> Result<Caller, Problem> {
    let context = parts.extensions.get::<RequestContext>();
    let claims = context.and_then(|context| match context {
        RequestContext::ApiGatewayV2(context) => {
            Some(&context.authorizer.as_ref()?.jwt.as_ref()?.claims)
        }
        _ => None,
    });
    // Fail closed: a route that has lost its authorizer must not be open to everybody.
    let Some(claims) = claims else {
        tracing::error!("the request reached an owner's route without verified claims");
        return Err(Problem::new(
            Code::Internal,
            "The caller could not be identified. The operators have been notified.",
        ));
    };
    Caller::from_claims(claims).ok_or_else(|| {
        Problem::new(
            Code::CallerNotIdentified,
            "The token's subject must have 1 to 128 characters and no control characters.",
        )
    })
}

/// The `{id}` of a path, decoded.
#[derive(Clone, Debug)]
pub struct PathId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        parameter(parts, state, "id").await.map(Self)
    }
}

async fn parameter<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<String, Problem> {
    // A parameter that is not UTF-8 once decoded names nothing.
    let parameters = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|_| Problem::not_found())?;
    parameters
        .iter()
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value.to_owned())
        .ok_or_else(Problem::not_found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "6f1d1d3e-7a52-4c3b-9a55-0d0f3c1f7a10";
    const B: &str = "0b8e4b38-4f0c-4d3e-8a43-2b9a4a8f9a11";

    fn caller(orgs: &str) -> Caller {
        let claims = [("sub", "auth0|5f7c"), ("orgs", orgs)];
        let claims = claims.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Caller::from_claims(&claims.into()).expect("a usable subject")
    }

    #[test]
    fn a_member_acts_for_each_organisation_of_the_claim_and_no_other() {
        let caller = caller(&format!("[{A}]"));
        assert!(caller.owner(&format!("org:{A}")).is_some());
        assert_eq!(caller.owner(&format!("org:{B}")), None);
    }

    #[test]
    fn nobody_acts_for_an_owner_that_no_claim_names() {
        for orgs in [
            String::new(),
            "[]".to_owned(),
            format!(r#"["Evil {A}"]"#),
            format!("my team {A}"),
            format!("[map[note:x {A} y]]"),
        ] {
            let caller = caller(&orgs);
            for owner in [
                format!("org:{A}"),
                "user:auth0|5f7d".to_owned(),
                "user:".to_owned(),
                "ME".to_owned(),
                "auth0|5f7c".to_owned(),
                // auth0|5f7d; then auth0|5f7c with padding, with a stray bit, and after the other prefix.
                "user~YXV0aDB8NWY3ZA".to_owned(),
                "user~YXV0aDB8NWY3Yw==".to_owned(),
                "user~YXV0aDB8NWY3Yx".to_owned(),
                "user:YXV0aDB8NWY3Yw".to_owned(),
                String::new(),
            ] {
                assert_eq!(caller.owner(&owner), None, "{owner} by {orgs}");
            }
            for own in ["me", "user:auth0|5f7c", "user~YXV0aDB8NWY3Yw"] {
                assert_eq!(caller.owner(own), Some(caller.own.clone()), "{own}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_person_has_one_encoding_that_needs_none(one in "[^\\p{Cc}]{1,40}", other in "[^\\p{Cc}]{1,40}") {
            let claims = HashMap::from([("sub".to_owned(), one.clone())]);
            let caller = Caller::from_claims(&claims).expect("a usable subject");
            let written = encoded(&caller.id);
            prop_assert_eq!(segment(&written), written.as_str());
            prop_assert_eq!(caller.owner(&written), Some(caller.own.clone()));
            let theirs = encoded(&UserId::parse(&other).expect("valid"));
            prop_assert_eq!(caller.owner(&theirs).is_some(), one == other);
        }
    }

    #[test]
    fn a_token_without_a_valid_subject_identifies_nobody() {
        for sub in [None, Some(""), Some("a\u{0}b")] {
            let claims = sub.map(|sub| ("sub".to_owned(), sub.to_owned()));
            assert_eq!(Caller::from_claims(&claims.into_iter().collect()), None);
        }
    }
}
