//! A Dependabot alert as GitHub's REST API returns it: the parts we use.
//!
//! Read leniently, because GitHub adds fields and words at any time: unknown fields are ignored, what the schema calls
//! nullable or optional may be null or absent, and unknown words are kept as such.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{
    Timestamp,
    finding::{AlertNumber, CvssScore, Package, Severity},
};

/// One alert.
#[derive(Clone, Debug, Deserialize)]
pub struct Alert {
    /// Its number within the repository.
    pub number: AlertNumber,
    /// Where it stands.
    pub state: AlertState,
    /// Where the vulnerable package is asked for.
    #[serde(default, deserialize_with = "null_as_default")]
    pub dependency: Dependency,
    /// The advisory it stems from.
    pub security_advisory: Advisory,
    /// The part of the advisory that matched.
    pub security_vulnerability: Vulnerability,
    /// Its page for people.
    pub html_url: String,
    /// When it was raised.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
    /// When it was dismissed, if it was, in whole seconds.
    pub dismissed_at: Option<Timestamp>,
    /// Who dismissed it, if anyone did and still has an account.
    pub dismissed_by: Option<User>,
    /// Why it was dismissed, in a word.
    pub dismissed_reason: Option<String>,
    /// What was said to it.
    pub dismissed_comment: Option<String>,
    /// When it was fixed.
    pub fixed_at: Option<Timestamp>,
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// To be dealt with.
    Open,
    /// The vulnerable version is gone.
    Fixed,
    /// A person dismissed it.
    Dismissed,
    /// A rule dismissed it.
    AutoDismissed,
    /// A state this version does not know.
    #[serde(other)]
    Other,
}

/// Where the vulnerable package is asked for. GitHub promises none of it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Dependency {
    /// The package.
    pub package: Option<Package>,
    /// The manifest that asks for it.
    pub manifest_path: Option<String>,
    /// What it is needed for, in a word.
    pub scope: Option<String>,
}

/// A security advisory.
#[derive(Clone, Debug, Deserialize)]
pub struct Advisory {
    /// Its id at GitHub.
    pub ghsa_id: String,
    /// Its CVE id.
    pub cve_id: Option<String>,
    /// One line about it.
    pub summary: String,
    /// All about it, in Markdown.
    pub description: String,
    /// The older place of its score, gone in API version 2026-03-10.
    pub cvss: Option<Cvss>,
    /// Its scores by version of CVSS.
    pub cvss_severities: Option<CvssSeverities>,
    /// The weaknesses it is classified as.
    #[serde(default, deserialize_with = "null_as_default")]
    pub cwes: Vec<Cwe>,
}

impl Advisory {
    /// The score by CVSS 3, or by CVSS 4 where that is the only one.
    pub fn cvss_score(&self) -> Option<CvssScore> {
        let of = |cvss: Option<&Cvss>| cvss.and_then(Cvss::score);
        let severities = self.cvss_severities.as_ref();
        of(severities.and_then(|by| by.cvss_v3.as_ref()))
            .or_else(|| of(self.cvss.as_ref()))
            .or_else(|| of(severities.and_then(|by| by.cvss_v4.as_ref())))
    }
}

/// Scores by version of CVSS.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the fields explain themselves")]
pub struct CvssSeverities {
    pub cvss_v3: Option<Cvss>,
    pub cvss_v4: Option<Cvss>,
}

/// A score with the vector it was computed from. GitHub gives 0.0 and no vector where there is no score.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the fields explain themselves")]
pub struct Cvss {
    pub vector_string: Option<String>,
    pub score: Option<f64>,
}

impl Cvss {
    fn score(&self) -> Option<CvssScore> {
        self.vector_string.as_ref()?;
        self.score.and_then(CvssScore::new)
    }
}

/// A class of weakness.
#[derive(Clone, Debug, Deserialize)]
pub struct Cwe {
    /// Such as `CWE-79`.
    pub cwe_id: String,
}

/// The part of an advisory that concerns one package.
#[derive(Clone, Debug, Deserialize)]
pub struct Vulnerability {
    /// The package.
    pub package: Package,
    /// How bad it is.
    pub severity: AlertSeverity,
    /// Its vulnerable versions.
    pub vulnerable_version_range: String,
    /// The first version without the vulnerability.
    pub first_patched_version: Option<Version>,
}

/// GitHub's severity, which may be a word this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertSeverity(Option<Severity>);

impl AlertSeverity {
    /// The severity, unless it is an unknown word.
    pub const fn known(self) -> Option<Severity> {
        self.0
    }
}

impl<'de> Deserialize<'de> for AlertSeverity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(String::deserialize(deserializer)?.parse().ok()))
    }
}

/// A version of a package.
#[derive(Clone, Debug, Deserialize)]
pub struct Version {
    /// Such as `7.5.2`.
    pub identifier: String,
}

/// A user of GitHub.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    /// The name it signs in with.
    pub login: String,
}

/// An alert that this version cannot read; with its number, if at least that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The alert's number.
    pub number: Option<AlertNumber>,
}

impl Alert {
    /// Reads one alert by itself, so that it cannot spoil its neighbours.
    pub(super) fn read(raw: &RawValue) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Numbered {
            number: AlertNumber,
        }
        serde_json::from_str(raw.get()).map_err(|_| Unreadable {
            number: serde_json::from_str::<Numbered>(raw.get())
                .ok()
                .map(|numbered| numbered.number),
        })
    }
}

/// What GitHub calls optional may be null instead of absent.
pub(super) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
