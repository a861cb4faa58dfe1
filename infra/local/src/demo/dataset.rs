//! The results that the demo expects, counted from GitHub's data.

use std::collections::BTreeMap;
use std::path::Path;

use domain::finding::{FindingStatus, Severity};
use serde_json::Value;

use super::DemoError;
use super::client::{Client, list, text};

/// The repositories of this dataset that answer with errors.
pub(super) fn special(dataset: &Path) -> Result<Vec<String>, DemoError> {
    let path = dataset.join("special-repositories.json");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let read = || Ok(serde_json::from_slice::<Value>(&std::fs::read(&path)?)?);
    let entries = read().map_err(|source: std::io::Error| DemoError::Dataset {
        path: path.clone(),
        source,
    })?;
    Ok(list(&entries)
        .iter()
        .map(|entry| text(&entry["repository"]))
        .collect())
}

/// The findings that a sync of some repositories should produce.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expected {
    /// Findings by status.
    statuses: BTreeMap<&'static str, u64>,
    /// Open findings by severity.
    open: BTreeMap<&'static str, u64>,
}

impl Expected {
    /// Counts the alerts of these repositories in the simulator: the dataset and later changes.
    pub(super) async fn read(client: &Client, names: &[String]) -> Result<Self, DemoError> {
        let mut expected = Self {
            statuses: BTreeMap::from_iter(
                [
                    FindingStatus::Open,
                    FindingStatus::Fixed,
                    FindingStatus::Ignored,
                ]
                .map(|status| (status.as_str(), 0)),
            ),
            open: Severity::ALL
                .iter()
                .map(|word| (word.as_str(), 0))
                .collect(),
        };
        for name in names {
            let alerts = client.get(&format!("/local/github/alerts/{name}")).await?;
            for alert in list(&alerts) {
                expected.count(alert);
            }
        }
        Ok(expected)
    }

    fn count(&mut self, alert: &Value) {
        let status = match alert["state"].as_str() {
            Some("open") => "open",
            Some("fixed") => "fixed",
            _ => "ignored",
        };
        *self.statuses.entry(status).or_default() += 1;
        let severity = alert["security_vulnerability"]["severity"].as_str();
        let severity = Severity::ALL
            .iter()
            .find(|known| Some(known.as_str()) == severity);
        if let (Some(severity), "open") = (severity, status) {
            *self.open.entry(severity.as_str()).or_default() += 1;
        }
    }

    /// Compares the API's counts with the expected ones.
    pub(super) fn check(&self, findings: &Value) -> Result<(), DemoError> {
        let shown =
            |counts: &Value, names: &BTreeMap<&'static str, u64>| -> BTreeMap<&'static str, u64> {
                names
                    .keys()
                    .map(|name| (*name, counts[*name].as_u64().unwrap_or_default()))
                    .collect()
            };
        let statuses = shown(findings, &self.statuses);
        let open = shown(&findings["openBySeverity"], &self.open);
        if (&statuses, &open) == (&self.statuses, &self.open) {
            return Ok(());
        }
        Err(DemoError::Wrong(format!(
            "the findings should be {:?} and {:?}, but are {statuses:?} and {open:?}",
            self.statuses, self.open
        )))
    }
}
