//! One Dependabot alert: the JSON text that GitHub returns, and the few facts that lists sort and filter by.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::json::{self, Fields};
use crate::version::ApiVersion;

/// The states of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AlertState {
    AutoDismissed,
    Dismissed,
    Fixed,
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Facts {
    pub(crate) number: u64,
    pub(crate) state: AlertState,
    pub(crate) dependency: Dependency,
    pub(crate) security_advisory: Advisory,
    pub(crate) security_vulnerability: Vulnerability,
    #[serde(deserialize_with = "timestamp")]
    pub(crate) created_at: Timestamp,
    #[serde(deserialize_with = "timestamp")]
    pub(crate) updated_at: Timestamp,
    #[serde(default)]
    pub(crate) assignees: Vec<Assignee>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) package: Option<Package>,
    pub(crate) manifest_path: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) relationship: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) ecosystem: String,
    pub(crate) name: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Advisory {
    pub(crate) classification: Option<String>,
    pub(crate) epss: Option<Epss>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Epss {
    pub(crate) percentage: f64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Vulnerability {
    pub(crate) severity: Severity,
    pub(crate) first_patched_version: Option<PatchedVersion>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PatchedVersion {}

#[derive(Debug, Deserialize)]
pub(crate) struct Assignee {
    pub(crate) login: String,
}

/// An alert. Immutable: a change creates a new one.
#[derive(Debug)]
pub(crate) struct Alert {
    pub(crate) facts: Facts,
    text: Box<RawValue>,
    text_2026_03_10: Box<RawValue>,
}

impl Alert {
    /// Parses an alert in the format of GitHub's REST API.
    pub(crate) fn parse(text: &str) -> serde_json::Result<Self> {
        let facts = serde_json::from_str(text)?;
        let mut fields: Fields = serde_json::from_str(text)?;
        if let Some(advisory) = fields.get_mut("security_advisory") {
            *advisory = json::without(advisory, &["cvss"])?;
        }
        Ok(Self {
            facts,
            text: RawValue::from_string(json::compact(text))?,
            text_2026_03_10: RawValue::from_string(json::compact(to_raw_value(&fields)?.get()))?,
        })
    }

    /// Returns the alert with these fields changed.
    pub(crate) fn with(&self, changes: &Value) -> serde_json::Result<Self> {
        Self::parse(json::merge(&self.text, changes)?.get())
    }

    pub(crate) fn number(&self) -> u64 {
        self.facts.number
    }

    pub(crate) fn text(&self, version: ApiVersion) -> &RawValue {
        match version {
            ApiVersion::V2022_11_28 => &self.text,
            ApiVersion::V2026_03_10 => &self.text_2026_03_10,
        }
    }
}

fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)
}
