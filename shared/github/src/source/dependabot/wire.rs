//! The parts of a Dependabot alert that we use, as GitHub's REST API returns it.
//!
//! Read leniently, because GitHub adds fields and words at any time: unknown fields are ignored, nullable and optional
//! fields may be null or absent, and unknown words are allowed.

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
    /// Its state.
    pub(super) state: AlertState,
    /// The dependency on the vulnerable package.
    #[serde(default, deserialize_with = "null_as_default")]
    pub(super) dependency: Dependency,
    /// The advisory that it was raised for.
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
    /// Who dismissed it, if that account still exists.
    pub(super) dismissed_by: Option<User>,
    /// The reason of the dismissal.
    pub(super) dismissed_reason: Option<String>,
    /// The comment of the dismissal.
    pub(super) dismissed_comment: Option<String>,
    /// When it was fixed.
    pub(super) fixed_at: Option<Timestamp>,
}

/// The dependency on the vulnerable package. GitHub may leave any field out.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Dependency {
    /// The package.
    pub(super) package: Option<Package>,
    /// The manifest that names it.
    pub(super) manifest_path: Option<String>,
    /// Its scope, such as `runtime`.
    pub(super) scope: Option<String>,
}

/// A security advisory.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Advisory {
    /// Its id on GitHub.
    pub(super) ghsa_id: String,
    /// Its CVE id.
    pub(super) cve_id: Option<String>,
    /// Its summary in one line.
    pub(super) summary: String,
    /// Its description in Markdown.
    pub(super) description: String,
    /// Its score in the older field, which API version 2026-03-10 does not have.
    pub(super) cvss: Option<Cvss>,
    /// Its scores by version of CVSS.
    pub(super) cvss_severities: Option<CvssSeverities>,
    /// The weaknesses it is classified as.
    #[serde(default, deserialize_with = "null_as_default")]
    pub(super) cwes: Vec<Cwe>,
}

impl Advisory {
    /// The CVSS 3 score, or the CVSS 4 score if it is the only one.
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

/// A score with its vector. GitHub sends 0.0 and no vector if there is no score.
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
    /// Its severity.
    pub(super) severity: AlertSeverity,
    /// Its vulnerable versions.
    pub(super) vulnerable_version_range: String,
    /// The first version without the vulnerability.
    pub(super) first_patched_version: Option<Version>,
}

/// GitHub's severity, which may be a word that this version does not know.
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
    /// The login.
    pub(super) login: String,
}
