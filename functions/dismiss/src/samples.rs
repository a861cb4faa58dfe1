//! An alert as GitHub shows it.

use domain::{
    Timestamp,
    finding::{Repository, RepositoryId, Source},
};
use github::Alert;
use serde_json::{Value, json};

/// 2026-11-23T12:00:00Z, and so many seconds.
pub(crate) const fn noon(seconds: i64) -> Timestamp {
    Timestamp::from_millis((1_795_435_200 + seconds) * 1_000)
}

pub(crate) fn repository() -> Repository {
    Repository {
        id: RepositoryId::new(7),
        name: "octo/app".parse().expect("a name"),
    }
}

/// Alert 42, dismissed at noon by an app as inaccurate, but for these fields.
pub(crate) fn dismissed_but(fields: Value) -> Alert {
    let mut alert = json!({
        "number": 42,
        "state": "dismissed",
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
        "updated_at": "2026-11-23T12:00:00Z",
        "dismissed_at": "2026-11-23T12:00:00Z",
        "dismissed_by": {"login": "security-agent[bot]"},
        "dismissed_reason": "inaccurate",
        "dismissed_comment": "A false  alarm.",
        "fixed_at": null,
    });
    let Value::Object(fields) = fields else {
        panic!("fields are an object");
    };
    for (name, value) in fields {
        alert[name] = value;
    }
    let raw = serde_json::value::to_raw_value(&alert).expect("JSON");
    Alert::read(Source::Dependabot, &repository(), &raw).expect("an alert")
}
