use std::collections::BTreeMap;

use serde_json::{Value, json};

use domain::finding::{
    CvssScore, FindingDigest, FindingStatus, IgnoredReason, InvalidDigest, RepositoryId,
};

use super::*;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/dependabot");

fn repository(name: &str) -> Repository {
    Repository {
        id: RepositoryId::new(7),
        name: name.parse().expect("valid"),
    }
}

fn bundled(file: &str) -> Value {
    let text = std::fs::read_to_string(format!("{DATA}/{file}")).expect("the bundled data");
    serde_json::from_str(&text).expect("JSON")
}

fn read(name: &str, alert: &Value) -> Alert {
    let raw = serde_json::value::to_raw_value(alert).expect("JSON");
    Dependabot.read(&repository(name), &raw).expect("an alert")
}

fn map(alert: Value) -> Result<Finding, NotMappable> {
    read("octo/app", &alert).finding
}

/// An open alert whose optional fields are absent or null.
fn bare() -> Value {
    json!({
        "number": 42,
        "state": "open",
        "dependency": {},
        "security_advisory": {
            "ghsa_id": "GHSA-c2qf-rxjj-qqgw", "cve_id": null, "summary": "A summary", "description": "A description", "cwes": []
        },
        "security_vulnerability": {
            "package": {"ecosystem": "npm", "name": "semver"}, "severity": "medium", "vulnerable_version_range": "< 7.5.2",
            "first_patched_version": null
        },
        "url": "https://api.github.com/repos/octo/app/dependabot/alerts/42",
        "html_url": "https://github.com/octo/app/security/dependabot/42",
        "created_at": "2026-06-24T13:57:12Z", "updated_at": "2026-06-25T13:57:12Z",
        "dismissed_at": null, "dismissed_by": null, "dismissed_reason": null, "dismissed_comment": null, "fixed_at": null
    })
}

fn with(changes: Value) -> Value {
    fn merge(into: &mut Value, changes: Value) {
        match (into, changes) {
            (Value::Object(into), Value::Object(changes)) => {
                for (key, value) in changes {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, changes) => *into = changes,
        }
    }
    let mut alert = bare();
    merge(&mut alert, changes);
    alert
}

#[test]
fn every_bundled_alert_is_converted_and_the_counts_are_as_recorded() {
    let counts = bundled("counts.json");
    for (name, counts) in counts.as_object().expect("counts by repository") {
        let alerts = bundled(&format!("alerts/{}.json", name.replace('/', "__")));
        let (mut severity, mut status) = (BTreeMap::new(), BTreeMap::new());
        let mut digests = std::collections::HashSet::new();
        for raw in alerts.as_array().expect("alerts") {
            let alert = read(name, raw);
            let finding = alert.finding.expect("all words are known");
            *severity.entry(finding.severity.as_str()).or_insert(0u64) += 1;
            let state = match (finding.status, finding.ignored_reason) {
                (FindingStatus::Ignored, Some(IgnoredReason::AutoDismissed)) => "auto_dismissed",
                (FindingStatus::Ignored, Some(IgnoredReason::Dismissed(reason))) => {
                    assert_eq!(raw["dismissed_reason"], reason.as_str());
                    assert_eq!(raw["dismissed_by"]["login"], json!(finding.ignored_by));
                    "dismissed"
                }
                (status, None) => status.as_str(),
                other => panic!("{other:?} in {name}#{}", alert.number),
            };
            *status.entry(state).or_insert(0u64) += 1;
            assert!(
                digests.insert(finding.digest()),
                "{name}#{} looks like another",
                alert.number
            );
            let stored = serde_json::to_string(&finding).expect("JSON");
            let read: Finding = serde_json::from_str(&stored).expect("a finding");
            assert_eq!((&read, read.digest()), (&finding, finding.digest()));
        }
        assert_eq!(json!(severity), counts["severity"], "{name}");
        assert_eq!(json!(status), counts["state"], "{name}");
    }
    assert_eq!(counts.as_object().map(serde_json::Map::len), Some(5));
}

#[test]
fn a_finding_is_written_as_the_api_shows_it() {
    let finding = map(with(json!({
        "state": "dismissed",
        "dependency": {"package": {"ecosystem": "npm", "name": "semver"}, "manifest_path": "package-lock.json", "scope": "runtime"},
        "security_advisory": {
            "cve_id": "CVE-2022-25883", "cvss": {"vector_string": "CVSS:3.1/AV:N", "score": 5.3},
            "cwes": [{"cwe_id": "CWE-400", "name": "b"}, {"cwe_id": "CWE-1333", "name": "a"}, {"cwe_id": "CWE-400", "name": "b"}]
        },
        "security_vulnerability": {"first_patched_version": {"identifier": "7.5.2"}},
        "dismissed_by": {"login": "mona", "id": 1}, "dismissed_reason": "not_used", "dismissed_comment": "Only in a test.",
    })));
    assert_eq!(
        serde_json::to_value(finding.expect("known words")).expect("JSON"),
        json!({
            "id": "dependabot-7-42", "repository": "octo/app", "source": "dependabot", "sourceId": "42",
            "severity": "medium", "status": "ignored", "ignoredReason": "not_used", "ignoredBy": "mona",
            "package": {"ecosystem": "npm", "name": "semver"}, "vulnerableVersionRange": "< 7.5.2", "patchedVersion": "7.5.2",
            "manifestPath": "package-lock.json", "dependencyScope": "runtime",
            "ghsaId": "GHSA-c2qf-rxjj-qqgw", "cveId": "CVE-2022-25883", "cvssScore": 5.3, "cweIds": ["CWE-1333", "CWE-400"],
            "title": "A summary", "description": "A description", "url": "https://github.com/octo/app/security/dependabot/42",
            "firstDetectedAt": "2026-06-24T13:57:12.000Z", "fixedAt": null, "sourceUpdatedAt": "2026-06-25T13:57:12.000Z",
        })
    );
}

#[test]
fn each_state_becomes_a_status_with_reason_and_person() {
    let told = |changes: Value| {
        let finding = map(with(changes)).expect("known words");
        (finding.status, finding.ignored_reason, finding.ignored_by)
    };
    assert_eq!(
        told(json!({"state": "open"})),
        (FindingStatus::Open, None, None)
    );
    assert_eq!(
        told(json!({"state": "fixed"})),
        (FindingStatus::Fixed, None, None)
    );
    // A reopened alert still shows its earlier dismissal, which no longer counts.
    let reopened = json!({"state": "open", "dismissed_reason": "inaccurate", "dismissed_by": {"login": "mona"}});
    assert_eq!(told(reopened), (FindingStatus::Open, None, None));
    assert_eq!(
        told(json!({"state": "auto_dismissed"})),
        (
            FindingStatus::Ignored,
            Some(IgnoredReason::AutoDismissed),
            Some("github".to_owned())
        )
    );
    assert_eq!(
        told(json!({"state": "dismissed"})),
        (FindingStatus::Ignored, None, None)
    );
    let later = json!({"state": "dismissed", "dismissed_reason": "astrology", "dismissed_by": {"login": "mona"}});
    assert_eq!(
        told(later),
        (
            FindingStatus::Ignored,
            Some(IgnoredReason::Other),
            Some("mona".to_owned())
        )
    );
}

#[test]
fn an_unknown_state_or_severity_is_an_error_that_names_the_alert() {
    let state = map(with(json!({"state": "snoozed"}))).expect_err("an unknown state");
    assert_eq!(
        state.to_string(),
        "alert 42 has a state this version does not know"
    );
    let severity = map(with(
        json!({"security_vulnerability": {"severity": "apocalyptic"}}),
    ))
    .expect_err("unknown");
    assert_eq!(
        severity.to_string(),
        "alert 42 has a severity this version does not know"
    );
}

#[test]
fn an_optional_field_may_be_null_absent_or_an_unknown_word() {
    let finding = map(bare()).expect("known words");
    assert_eq!(
        (
            finding.manifest_path.as_str(),
            finding.dependency_scope,
            finding.cvss_score
        ),
        ("", None, None)
    );
    assert_eq!(
        finding.package.name, "semver",
        "the vulnerability's package, because the dependency has none"
    );
    let nulls = json!({
        "dependency": null, "security_advisory": {"cwes": null, "cvss": null, "cvss_severities": null, "epss": null},
        "new_field": {"deeply": ["nested"]}
    });
    assert_eq!(map(with(nulls)).expect("known words"), finding);
    let unknown_scope = json!({"dependency": {"scope": "imaginary"}});
    assert_eq!(
        map(with(unknown_scope))
            .expect("known words")
            .dependency_scope,
        None
    );
}

#[test]
fn the_score_is_cvss_3_or_else_cvss_4() {
    let none = json!({"vector_string": null, "score": 0.0});
    let v3 = json!({"vector_string": "CVSS:3.1/AV:N", "score": 7.5});
    let v4 = json!({"vector_string": "CVSS:4.0/AV:N", "score": 8.7});
    let score = |advisory: Value| {
        let finding = map(with(json!({"security_advisory": advisory}))).expect("known words");
        finding.cvss_score.map(CvssScore::as_f64)
    };
    assert_eq!(
        score(json!({"cvss_severities": {"cvss_v3": v3, "cvss_v4": v4}})),
        Some(7.5)
    );
    assert_eq!(
        score(json!({"cvss": none, "cvss_severities": {"cvss_v3": none, "cvss_v4": v4}})),
        Some(8.7)
    );
    assert_eq!(
        score(json!({"cvss_severities": {"cvss_v3": null, "cvss_v4": v4}})),
        Some(8.7)
    );
    assert_eq!(
        score(json!({"cvss": v3})),
        Some(7.5),
        "as API version 2022-11-28 may say it"
    );
    assert_eq!(
        score(json!({"cvss": none, "cvss_severities": {"cvss_v3": none, "cvss_v4": none}})),
        None
    );
}

#[test]
fn the_digest_covers_the_content_and_is_stable_across_versions() {
    let digest = |changes: Value| map(with(changes)).expect("known words").digest();
    // If this value changes, every stored digest changes, and every row is written once more.
    assert_eq!(digest(json!({})).to_string(), "a4fee931a65d8681");
    assert_eq!(
        digest(json!({"dismissal_request": null, "assignees": []})),
        digest(json!({})),
        "nothing of it is kept"
    );
    let changes = [
        json!({"number": 43}),
        json!({"state": "fixed"}),
        json!({"updated_at": "2026-06-26T13:57:12Z"}),
        json!({"dependency": {"scope": "runtime"}}),
        json!({"security_advisory": {"description": "Another"}}),
        json!({"security_vulnerability": {"severity": "high"}}),
    ];
    for change in changes {
        assert_ne!(digest(change.clone()), digest(json!({})), "{change}");
    }
    let order = |first: &str, second: &str| json!({"security_advisory": {"cwes": [{"cwe_id": first}, {"cwe_id": second}]}});
    assert_eq!(
        digest(order("CWE-1", "CWE-2")),
        digest(order("CWE-2", "CWE-1"))
    );
}

#[test]
fn a_digest_has_exactly_one_text() {
    let digest = map(bare()).expect("known words").digest();
    assert_eq!(digest.to_string().parse(), Ok(digest));
    for text in [
        "",
        "0",
        "000000000000000G",
        "ABCDEF0123456789",
        "+123456789abcdef",
        "0123456789abcdef0",
    ] {
        assert_eq!(
            text.parse::<FindingDigest>(),
            Err(InvalidDigest),
            "{text:?}"
        );
    }
}
