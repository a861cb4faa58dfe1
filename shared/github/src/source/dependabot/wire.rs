//! A Dependabot alert as GitHub's REST API returns it: the parts we use.
//!
//! Read leniently, because GitHub adds fields and words at any time: unknown fields are ignored, what the schema calls
//! nullable or optional may be null or absent, and unknown words are kept as such.

use serde::{Deserialize, Deserializer};

use domain::{
    Timestamp,
    change::AlertState,
    finding::{AlertNumber, CvssScore, Package, Severity},
};

use crate::json::null_as_default;

/// One alert.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Alert {
    /// Its number within the repository.
    pub(super) number: AlertNumber,
    /// Where it stands.
    pub(super) state: AlertState,
    /// Where the vulnerable package is asked for.
    #[serde(default, deserialize_with = "null_as_default")]
    pub(super) dependency: Dependency,
    /// The advisory it stems from.
    pub(super) security_advisory: Advisory,
    /// The part of the advisory that matched.
    pub(super) security_vulnerability: Vulnerability,
    /// Its page for people.
    pub(super) html_url: String,
    /// When it was raised.
    pub(super) created_at: Timestamp,
    /// When its state last changed.
    pub(super) updated_at: Timestamp,
    /// When it was dismissed, if it was, in whole seconds.
    pub(super) dismissed_at: Option<Timestamp>,
    /// Who dismissed it, if anyone did and still has an account.
    pub(super) dismissed_by: Option<User>,
    /// Why it was dismissed, in a word.
    pub(super) dismissed_reason: Option<String>,
    /// What was said to it.
    pub(super) dismissed_comment: Option<String>,
    /// When it was fixed.
    pub(super) fixed_at: Option<Timestamp>,
}

/// Where the vulnerable package is asked for. GitHub promises none of it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Dependency {
    /// The package.
    pub(super) package: Option<Package>,
    /// The manifest that asks for it.
    pub(super) manifest_path: Option<String>,
    /// What it is needed for, in a word.
    pub(super) scope: Option<String>,
}

/// A security advisory.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Advisory {
    /// Its id at GitHub.
    pub(super) ghsa_id: String,
    /// Its CVE id.
    pub(super) cve_id: Option<String>,
    /// One line about it.
    pub(super) summary: String,
    /// All about it, in Markdown.
    pub(super) description: String,
    /// The older place of its score, gone in API version 2026-03-10.
    pub(super) cvss: Option<Cvss>,
    /// Its scores by version of CVSS.
    pub(super) cvss_severities: Option<CvssSeverities>,
    /// The weaknesses it is classified as.
    #[serde(default, deserialize_with = "null_as_default")]
    pub(super) cwes: Vec<Cwe>,
}

impl Advisory {
    /// The score by CVSS 3, or by CVSS 4 where that is the only one.
    pub(super) fn cvss_score(&self) -> Option<CvssScore> {
        let of = |cvss: Option<&Cvss>| cvss.and_then(Cvss::score);
        let severities = self.cvss_severities.as_ref();
        of(severities.and_then(|by| by.cvss_v3.as_ref()))
            .or_else(|| of(self.cvss.as_ref()))
            .or_else(|| of(severities.and_then(|by| by.cvss_v4.as_ref())))
    }
}

/// Scores by version of CVSS.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CvssSeverities {
    pub(super) cvss_v3: Option<Cvss>,
    pub(super) cvss_v4: Option<Cvss>,
}

/// A score with the vector it was computed from. GitHub gives 0.0 and no vector where there is no score.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Cvss {
    pub(super) vector_string: Option<String>,
    pub(super) score: Option<f64>,
}

impl Cvss {
    fn score(&self) -> Option<CvssScore> {
        self.vector_string.as_ref()?;
        self.score.and_then(CvssScore::new)
    }
}

/// A class of weakness.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Cwe {
    /// Such as `CWE-79`.
    pub(super) cwe_id: String,
}

/// The part of an advisory that concerns one package.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Vulnerability {
    /// The package.
    pub(super) package: Package,
    /// How bad it is.
    pub(super) severity: AlertSeverity,
    /// Its vulnerable versions.
    pub(super) vulnerable_version_range: String,
    /// The first version without the vulnerability.
    pub(super) first_patched_version: Option<Version>,
}

/// GitHub's severity, which may be a word this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AlertSeverity(Option<Severity>);

impl AlertSeverity {
    /// The severity, unless it is an unknown word.
    pub(super) const fn known(self) -> Option<Severity> {
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
pub(super) struct Version {
    /// Such as `7.5.2`.
    pub(super) identifier: String,
}

/// A user of GitHub.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct User {
    /// The name it signs in with.
    pub(super) login: String,
}
