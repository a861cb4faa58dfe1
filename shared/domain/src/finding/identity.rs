//! The identity of a finding: its source, its repository and the alert's number there.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::text::words;

/// The text is not an identifier of the expected form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct InvalidIdentity {
    expected: &'static str,
}

/// GitHub's number for a repository. Unlike its name, it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RepositoryId(u64);

impl RepositoryId {
    /// From GitHub's number.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// GitHub's number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RepositoryId {
    type Err = InvalidIdentity;
    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        canonical(text).map(Self).ok_or(InvalidIdentity {
            expected: "a repository id",
        })
    }
}

/// The number of an alert within its repository; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AlertNumber(u32);

impl AlertNumber {
    /// `None` for zero, which GitHub never uses.
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 {
            None
        } else {
            Some(Self(number))
        }
    }

    /// GitHub's number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for AlertNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AlertNumber {
    type Err = InvalidIdentity;
    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        canonical(text)
            .and_then(|number| u32::try_from(number).ok())
            .and_then(Self::new)
            .ok_or(InvalidIdentity {
                expected: "an alert number",
            })
    }
}

impl<'de> Deserialize<'de> for AlertNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u32::deserialize(deserializer)?)
            .ok_or_else(|| de::Error::custom("an alert number is never zero"))
    }
}

/// Digits without sign or leading zeros, so that each number has exactly one text.
fn canonical(text: &str) -> Option<u64> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    let one_form = text == "0" || !text.starts_with('0');
    if digits_only && one_form {
        text.parse().ok()
    } else {
        None
    }
}

/// `owner/name`, in the characters that GitHub allows. Safe in a URL's path without escaping.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct RepositoryName(String);

/// GitHub's own limits are 39 and 100 characters; enterprise-managed owners have a suffix.
const LONGEST_OWNER: usize = 60;
const LONGEST_NAME: usize = 100;

impl RepositoryName {
    /// `owner/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both name the same repository. GitHub ignores case.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RepositoryName {
    type Error = InvalidIdentity;
    fn try_from(text: String) -> Result<Self, InvalidIdentity> {
        let valid = |part: &str, longest: usize| {
            let allowed =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            // `.` and `..` would change the path of a URL.
            (1..=longest).contains(&part.len())
                && part.bytes().all(allowed)
                && part != "."
                && !part.contains("..")
        };
        match text.split_once('/') {
            Some((owner, name)) if valid(owner, LONGEST_OWNER) && valid(name, LONGEST_NAME) => {
                Ok(Self(text))
            }
            Some(_) | None => Err(InvalidIdentity {
                expected: "a repository name such as octo/app",
            }),
        }
    }
}

impl FromStr for RepositoryName {
    type Err = InvalidIdentity;
    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        text.to_owned().try_into()
    }
}

impl<'de> Deserialize<'de> for RepositoryName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .try_into()
            .map_err(de::Error::custom)
    }
}

/// A repository with both identifiers: the id, which never changes, and its current name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repository {
    /// Its id.
    pub id: RepositoryId,
    /// Its name.
    pub name: RepositoryName,
}

/// The kind of alert that a finding is stored for. Each source numbers its own alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Dependabot alerts: a vulnerable dependency.
    Dependabot,
}

// No word may contain a hyphen, which ends the source in a finding's id.
words!(Source, "a source of findings", {
    Dependabot => "dependabot",
});

/// Names a finding within its owner. Written as `<source>-<repository id>-<alert number>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingId {
    /// Its source.
    pub source: Source,
    /// Its repository.
    pub repository: RepositoryId,
    /// The alert's number there.
    pub number: AlertNumber,
}

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.source, self.repository, self.number)
    }
}

impl FromStr for FindingId {
    type Err = InvalidIdentity;
    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        let parse = || {
            let (source, rest) = text.split_once('-')?;
            let (repository, number) = rest.split_once('-')?;
            Some(Self {
                source: source.parse().ok()?,
                repository: repository.parse().ok()?,
                number: number.parse().ok()?,
            })
        };
        parse().ok_or(InvalidIdentity {
            expected: "a finding id",
        })
    }
}

crate::text::serde_by_text!(FindingId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_id_is_read_back_from_its_text() {
        let id = FindingId {
            source: Source::Dependabot,
            repository: RepositoryId::new(700_000_001),
            number: AlertNumber::new(42).expect("positive"),
        };
        assert_eq!(id.to_string(), "dependabot-700000001-42");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(
            serde_json::to_value(id).expect("a string"),
            "dependabot-700000001-42"
        );
    }

    #[test]
    fn a_finding_id_has_exactly_one_text() {
        for text in [
            "",
            "dependabot-1",
            "dependabot-1-0",
            "dependabot-1-01",
            "dependabot-01-1",
            "dependabot-+1-1",
            "dependabot-1-+1",
            "dependabot-1-1-1",
            "dependabot--1-1",
            "Dependabot-1-1",
            "dependabot-1-1 ",
            "dependabot-1-4294967296",
            "dependabot-18446744073709551616-1",
            "dependabot-1-١",
        ] {
            assert!(
                text.parse::<FindingId>().is_err(),
                "{text:?} was taken for a finding id"
            );
        }
    }

    #[test]
    fn a_repository_name_cannot_change_the_path_of_a_url() {
        for text in [
            "octo/app",
            "acme-appsec/security-agent-testbed",
            "a_b/.github",
            "o/a.b-c_d",
        ] {
            assert_eq!(
                text.parse::<RepositoryName>()
                    .map(|name| name.to_string())
                    .as_deref(),
                Ok(text)
            );
        }
        let long = format!("octo/{}", "a".repeat(101));
        for text in [
            "",
            "octo",
            "octo/",
            "/app",
            "octo/app/x",
            "octo/..",
            "octo/.",
            "../app",
            "octo/a..b",
            "octo/a?b",
            "octo/a#b",
            "octo/a%2fb",
            "octo/a b",
            "octo/ä",
            "octo\\app/x",
            &long,
        ] {
            assert!(
                text.parse::<RepositoryName>().is_err(),
                "{text:?} was taken for a repository name"
            );
        }
    }

    #[test]
    fn repository_names_are_compared_without_case() {
        let name = |text: &str| text.parse::<RepositoryName>().expect("valid");
        assert!(
            name("Octo/App").same_as(&name("octo/app"))
                && !name("octo/app").same_as(&name("octo/apps"))
        );
    }
}
