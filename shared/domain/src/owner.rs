//! The owner of a row. Every row belongs to exactly one owner, and every key contains it.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A person or an organisation, written as `user:<id>` or `org:<uuid>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A person, with the identity provider's id.
    User(UserId),
    /// An organisation.
    Org(Uuid),
}

/// The identity provider's id of a person: 1 to 128 characters without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(String);

/// Why a text is not an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOwner {
    /// Neither `user:` nor `org:`.
    #[error("an owner is written user:<id> or org:<uuid>")]
    Kind,
    /// The part after `user:` is out of bounds.
    #[error("a user id has 1 to 128 characters and no control characters")]
    UserId,
    /// The part after `org:` is no UUID.
    #[error("an organisation id is a hyphenated UUID")]
    OrgId,
}

impl UserId {
    /// The longest id, in characters.
    pub const MAX_CHARS: usize = 128;

    /// Parses an identity provider's id.
    pub fn parse(text: &str) -> Result<Self, InvalidOwner> {
        let length = text.chars().take(Self::MAX_CHARS + 1).count();
        if length == 0 || length > Self::MAX_CHARS || text.chars().any(char::is_control) {
            return Err(InvalidOwner::UserId);
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as the identity provider writes it. Personal data: never logged.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Owner {
    /// A stable hash for logs, which must not contain a person's id.
    pub fn hashed(&self) -> String {
        let digest = Sha256::digest(self.to_string().as_bytes());
        digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(UserId(id)) => write!(f, "user:{id}"),
            Self::Org(id) => write!(f, "org:{}", id.as_hyphenated()),
        }
    }
}

// Debug output ends up in logs, and a person's id is personal data, so it shows the hash.
impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({})", self.hashed())
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserId(..)")
    }
}

impl FromStr for Owner {
    type Err = InvalidOwner;
    fn from_str(text: &str) -> Result<Self, InvalidOwner> {
        match text.split_once(':') {
            Some(("user", id)) => UserId::parse(id).map(Self::User),
            Some(("org", id)) if id.len() == 36 => Uuid::try_parse(id)
                .map(Self::Org)
                .map_err(|_| InvalidOwner::OrgId),
            Some(("org", _)) => Err(InvalidOwner::OrgId),
            _ => Err(InvalidOwner::Kind),
        }
    }
}

crate::text::serde_by_text!(Owner);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_written_as_they_are_parsed() {
        for text in [
            "user:auth0|5f7c",
            "user:oauth/google:117",
            "org:6f1d1d3e-7a52-4c3b-9a55-0d0f3c1f7a10",
        ] {
            assert_eq!(text.parse::<Owner>().expect("valid").to_string(), text);
        }
    }

    #[test]
    fn one_organisation_has_one_spelling() {
        let upper: Owner = "org:6F1D1D3E-7A52-4C3B-9A55-0D0F3C1F7A10"
            .parse()
            .expect("valid");
        assert_eq!(
            upper.to_string(),
            "org:6f1d1d3e-7a52-4c3b-9a55-0d0f3c1f7a10"
        );
    }

    #[test]
    fn a_text_that_is_not_an_owner_is_rejected() {
        assert_eq!("me".parse::<Owner>(), Err(InvalidOwner::Kind));
        assert_eq!("team:1".parse::<Owner>(), Err(InvalidOwner::Kind));
        assert_eq!("user:".parse::<Owner>(), Err(InvalidOwner::UserId));
        assert_eq!("user:a\nb".parse::<Owner>(), Err(InvalidOwner::UserId));
        assert_eq!(
            format!("user:{}", "é".repeat(129)).parse::<Owner>(),
            Err(InvalidOwner::UserId)
        );
        assert!(format!("user:{}", "é".repeat(128)).parse::<Owner>().is_ok());
        assert_eq!("org:1".parse::<Owner>(), Err(InvalidOwner::OrgId));
        assert_eq!(
            "org:6f1d1d3e7a524c3b9a550d0f3c1f7a10".parse::<Owner>(),
            Err(InvalidOwner::OrgId)
        );
    }

    #[test]
    fn debug_output_does_not_name_the_person() {
        let owner: Owner = "user:jane@example.org".parse().expect("valid");
        assert!(!format!("{owner:?}").contains("jane"));
    }
}
