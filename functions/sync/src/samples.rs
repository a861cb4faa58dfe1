//! Sample values for tests.

use domain::{
    Timestamp,
    finding::{AlertNumber, Repository, RepositoryId, RepositoryName, Source},
    page::PageCursor,
};
use github::Alert;
use serde_json::{Value, json};
use store::repositories::{Checkpoint, Counts, RepositoryRecord, Watermark, Watermarks};
use uuid::Uuid;

/// The pass under test, and another.
pub(crate) const PASS: Uuid = Uuid::from_u128(1);
pub(crate) const OTHER: Uuid = Uuid::from_u128(2);

/// 2026-11-23T12:00:00Z plus `seconds`.
pub(crate) const fn noon(seconds: i64) -> Timestamp {
    Timestamp::from_millis((1_795_435_200 + seconds) * 1_000)
}

pub(crate) fn name(text: &str) -> RepositoryName {
    text.parse().expect("a name")
}

/// A repository that is named after its id.
pub(crate) fn repository(id: u64) -> Repository {
    Repository {
        id: RepositoryId::new(id),
        name: name(&format!("octo/app-{id}")),
    }
}

/// A listed repository that was never attempted.
pub(crate) fn record(id: u64) -> RepositoryRecord {
    RepositoryRecord {
        repository: repository(id),
        private: false,
        listed: true,
        last_attempted_at: None,
        last_succeeded_at: None,
        last_failure: None,
        completed_at: None,
        watermarks: Watermarks::new(),
        pass: None,
        counts: Counts::default(),
    }
}

pub(crate) fn number(number: u32) -> AlertNumber {
    AlertNumber::new(number).expect("not zero")
}

/// The page after the first.
pub(crate) fn page() -> PageCursor {
    PageCursor::new("the page after the first".to_owned())
}

pub(crate) fn cursor() -> Checkpoint {
    Checkpoint {
        source: Source::Dependabot,
        done: Watermarks::new(),
        next: page(),
        watermark: Watermark {
            updated_at: Some(noon(0)),
            ..Watermark::default()
        },
        complete: true,
        unstorable: true,
    }
}

/// An open alert, updated `updated` seconds after noon, with these fields replaced.
pub(crate) fn alert_but(number: u32, updated: i64, fields: Value) -> Alert {
    let mut alert = json!({
        "number": number,
        "state": "open",
        "dependency": {},
        "security_advisory": {
            "ghsa_id": "GHSA-c2qf-rxjj-qqgw", "cve_id": null, "summary": "A summary", "description": "A description",
            "cwes": []
        },
        "security_vulnerability": {
            "package": {"ecosystem": "npm", "name": "semver"}, "severity": "medium",
            "vulnerable_version_range": "< 7.5.2", "first_patched_version": null
        },
        "html_url": "https://github.com/octo/app/security/dependabot/42",
        "created_at": "2026-06-24T13:57:12Z",
        "updated_at": noon(updated),
        "dismissed_at": null,
        "dismissed_by": null,
        "dismissed_reason": null,
        "dismissed_comment": null,
        "fixed_at": null,
    });
    let Value::Object(fields) = fields else {
        panic!("fields are an object");
    };
    for (name, value) in fields {
        alert[name] = value;
    }
    let raw = serde_json::value::to_raw_value(&alert).expect("JSON");
    Alert::read(Source::Dependabot, &repository(7), &raw).expect("an alert")
}

pub(crate) fn alert(number: u32, updated: i64) -> Alert {
    alert_but(number, updated, json!({}))
}
