//! Dependabot alerts: <https://docs.github.com/en/rest/dependabot/alerts>.

mod wire;

use domain::finding::{AlertNumber, DismissReason, Finding, FindingId, Repository, Source};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    alert::{Alert, Dismissal, FindingState, NotMappable, Unreadable, finding_state},
    source::AlertSource,
};

/// The source of Dependabot alerts.
#[derive(Debug)]
pub(crate) struct Dependabot;

impl AlertSource for Dependabot {
    fn path(&self) -> &'static str {
        "dependabot/alerts"
    }

    fn listing(&self) -> &'static str {
        "per_page=100&sort=updated&direction=desc"
    }

    fn permission(&self) -> &'static str {
        "vulnerability_alerts"
    }

    fn dismissal(&self, reason: DismissReason, comment: Option<&str>) -> Value {
        let mut change = json!({"state": "dismissed", "dismissed_reason": reason});
        // GitHub accepts a text here, but rejects `null`.
        if let Some(comment) = comment {
            change["dismissed_comment"] = comment.into();
        }
        change
    }

    fn reopening(&self) -> Value {
        json!({"state": "open"})
    }

    fn read(&self, repository: &Repository, raw: &RawValue) -> Result<Alert, Unreadable> {
        #[derive(Deserialize)]
        struct Numbered {
            number: AlertNumber,
        }
        let alert: wire::Alert = serde_json::from_str(raw.get()).map_err(|_| Unreadable {
            number: serde_json::from_str::<Numbered>(raw.get())
                .ok()
                .map(|numbered| numbered.number),
        })?;
        let dismissal = Dismissal {
            at: alert.dismissed_at,
            by: alert.dismissed_by.as_ref().map(|user| user.login.clone()),
            reason: alert.dismissed_reason.clone(),
            comment: alert.dismissed_comment.clone(),
        };
        let finding = match finding_state(alert.state, &dismissal) {
            Some(finding_state) => finding(repository, &alert, finding_state),
            None => Err(unknown(&alert, "a state")),
        };
        Ok(Alert {
            number: alert.number,
            state: alert.state,
            updated_at: alert.updated_at,
            fixed_at: alert.fixed_at,
            dismissal,
            finding,
        })
    }

    fn has_none(&self, message: &str) -> bool {
        // GitHub's messages include "... are not available for archived repositories" and "... is not available for
        // this repository".
        [
            "dependabot alerts are disabled",
            "not available",
            "archived",
        ]
        .iter()
        .any(|words| message.contains(words))
    }
}

const fn unknown(alert: &wire::Alert, what: &'static str) -> NotMappable {
    NotMappable {
        number: alert.number,
        what,
    }
}

/// Converts `alert` of `repository` to a finding.
fn finding(
    repository: &Repository,
    alert: &wire::Alert,
    (status, ignored_reason, ignored_by): FindingState,
) -> Result<Finding, NotMappable> {
    let vulnerability = &alert.security_vulnerability;
    let advisory = &alert.security_advisory;
    let severity = vulnerability
        .severity
        .known()
        .ok_or(unknown(alert, "a severity"))?;
    let mut cwe_ids: Vec<String> = advisory.cwes.iter().map(|cwe| cwe.cwe_id.clone()).collect();
    cwe_ids.sort_unstable();
    cwe_ids.dedup();
    let package = alert
        .dependency
        .package
        .as_ref()
        .unwrap_or(&vulnerability.package);
    Ok(Finding {
        id: FindingId {
            source: Source::Dependabot,
            repository: repository.id,
            number: alert.number,
        },
        repository: repository.name.clone(),
        severity,
        status,
        ignored_reason,
        ignored_by,
        package: package.clone(),
        vulnerable_version_range: vulnerability.vulnerable_version_range.clone(),
        patched_version: vulnerability
            .first_patched_version
            .as_ref()
            .map(|version| version.identifier.clone()),
        manifest_path: alert.dependency.manifest_path.clone().unwrap_or_default(),
        dependency_scope: alert
            .dependency
            .scope
            .as_deref()
            .and_then(|scope| scope.parse().ok()),
        ghsa_id: advisory.ghsa_id.clone(),
        cve_id: advisory.cve_id.clone(),
        cvss_score: advisory.cvss_score(),
        cwe_ids,
        title: advisory.summary.clone(),
        description: advisory.description.clone(),
        url: alert.html_url.clone(),
        first_detected_at: alert.created_at,
        fixed_at: alert.fixed_at,
        source_updated_at: alert.updated_at,
    })
}

#[cfg(test)]
mod tests;
