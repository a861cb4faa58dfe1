//! A finding: what is stored of one alert. `github` converts alerts to findings.

mod identity;
mod score;
mod words;

pub use crate::text::UnknownWord;
pub use identity::{
    AlertNumber, FindingId, InvalidIdentity, Repository, RepositoryId, RepositoryName, Source,
};
pub use score::CvssScore;
pub use words::{DependencyScope, DismissReason, FindingStatus, IgnoredReason, Severity};

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Timestamp;

/// One vulnerability in one repository.
///
/// Serialised in the API's format. The store adds the analysis, the due date and the time of the last sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Repository and alert number. Written as `id`, `source` and `sourceId`.
    #[serde(flatten, with = "written_identity")]
    pub id: FindingId,
    /// The name of its repository when the finding was last written.
    pub repository: RepositoryName,
    /// The severity of the vulnerability.
    pub severity: Severity,
    /// The status of the finding.
    pub status: FindingStatus,
    /// Why it is ignored, if it is.
    pub ignored_reason: Option<IgnoredReason>,
    /// The login of the person who dismissed it, if known.
    pub ignored_by: Option<String>,
    /// The vulnerable package.
    pub package: Package,
    /// Its vulnerable versions, such as `< 7.5.2`.
    pub vulnerable_version_range: String,
    /// The first version without the vulnerability, if there is one.
    pub patched_version: Option<String>,
    /// The manifest that names the package; empty if GitHub does not say.
    pub manifest_path: String,
    /// The scope of the dependency.
    pub dependency_scope: Option<DependencyScope>,
    /// The advisory's id on GitHub.
    pub ghsa_id: String,
    /// Its CVE id, if it has one.
    pub cve_id: Option<String>,
    /// The CVSS base score, if there is one.
    pub cvss_score: Option<CvssScore>,
    /// The CWE ids, sorted and without duplicates.
    pub cwe_ids: Vec<String>,
    /// The advisory's one-line summary.
    pub title: String,
    /// The advisory's text, in Markdown.
    pub description: String,
    /// The alert's page for people.
    pub url: String,
    /// When GitHub raised the alert.
    pub first_detected_at: Timestamp,
    /// When it was fixed, if it was.
    pub fixed_at: Option<Timestamp>,
    /// When the alert last changed on GitHub.
    pub source_updated_at: Timestamp,
}

/// A package in its ecosystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Such as `npm` or `maven`.
    pub ecosystem: String,
    /// Such as `lodash`.
    pub name: String,
}

impl Finding {
    /// A hash that is equal for findings that would be stored alike.
    ///
    /// The hash starts with its version. A change of the serialised text changes every digest, so every row is written
    /// once more.
    pub fn digest(&self) -> FindingDigest {
        let content =
            serde_json::to_vec(self).expect("a finding is plain data, which always serialises");
        let hash = Sha256::new()
            .chain_update(b"finding/1\n")
            .chain_update(content)
            .finalize();
        FindingDigest(
            hash.first_chunk()
                .copied()
                .expect("SHA-256 is longer than 8 bytes"),
        )
    }
}

/// A short hash of a whole finding, written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FindingDigest([u8; 8]);

impl fmt::Display for FindingDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// The text is not a digest of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 16 lowercase hexadecimal digits")]
pub struct InvalidDigest;

impl FromStr for FindingDigest {
    type Err = InvalidDigest;
    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let digits = text.len() == 16
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = u64::from_str_radix(text, 16)
            .ok()
            .filter(|_| digits)
            .ok_or(InvalidDigest)?;
        Ok(Self(number.to_be_bytes()))
    }
}

crate::text::serde_by_text!(FindingDigest);

/// Serialises an identity as the three fields `id`, `source` and `sourceId`.
mod written_identity {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{FindingId, Source};

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Written {
        id: FindingId,
        source: Source,
        source_id: String,
    }

    #[derive(Deserialize)]
    struct Stored {
        id: FindingId,
    }

    pub(super) fn serialize<S: Serializer>(
        id: &FindingId,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Written {
            id: *id,
            source: id.source,
            source_id: id.number.to_string(),
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<FindingId, D::Error> {
        Stored::deserialize(deserializer).map(|stored| stored.id)
    }
}
