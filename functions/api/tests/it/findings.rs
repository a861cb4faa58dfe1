//! Findings over HTTP.

use std::time::Duration;

use domain::finding::{
    CvssScore, DependencyScope, DismissReason, Finding, FindingStatus, IgnoredReason, Severity,
};
use serde_json::json;

use crate::support::{
    Call, NOON, Stack, get,
    github::{finding, succeeded},
};

const FINDINGS: &str = "/v1/owners/{owner}/findings";
const FINDING: &str = "/v1/owners/{owner}/findings/{id}";
const APP: (u64, &str) = (7, "octo/app");
const DOCS: (u64, &str) = (8, "octo/docs");

fn list(query: &str) -> Call {
    get(FINDINGS).query(query)
}

/// Two repositories: four findings in the first, one in the second.
async fn stack() -> Stack {
    use FindingStatus::{Fixed, Ignored, Open};
    use Severity::{Critical, High, Low};

    let stack = Stack::connected().await;
    stack.record(APP, true, &succeeded()).await;
    stack.record(DOCS, true, &succeeded()).await;
    stack
        .store(vec![
            finding(APP, 1, Low, Open, NOON),
            finding(APP, 2, Critical, Fixed, NOON),
            finding(APP, 3, High, Open, NOON),
            finding(APP, 4, High, Ignored, NOON),
        ])
        .await;
    stack
        .store(vec![finding(DOCS, 1, Critical, Open, NOON)])
        .await;
    stack
}

#[tokio::test]
async fn a_finding_has_all_documented_fields() {
    let stack = Stack::connected().await;
    stack.record(APP, true, &succeeded()).await;
    let detected = NOON - Duration::from_secs(86_400);
    stack
        .store(vec![Finding {
            ignored_reason: Some(IgnoredReason::Dismissed(DismissReason::NotUsed)),
            ignored_by: Some("octocat".to_owned()),
            dependency_scope: Some(DependencyScope::Runtime),
            cvss_score: CvssScore::new(7.2),
            ..finding(APP, 42, Severity::High, FindingStatus::Ignored, detected)
        }])
        .await;
    let answer = stack.call(get(FINDING).id("dependabot-7-42")).await;
    let expected = json!({
        "id": "dependabot-7-42", "repository": "octo/app", "source": "dependabot", "sourceId": "42",
        "severity": "high", "status": "ignored", "ignoredReason": "not_used", "ignoredBy": "octocat",
        "package": {"ecosystem": "npm", "name": "lodash"}, "vulnerableVersionRange": "< 4.17.21",
        "patchedVersion": "4.17.21", "manifestPath": "package-lock.json", "dependencyScope": "runtime",
        "ghsaId": "GHSA-35jh-r3h4-6jhm", "cveId": "CVE-2021-23337", "cvssScore": 7.2,
        "cweIds": ["CWE-77", "CWE-94"], "title": "Command Injection in lodash",
        "description": "`lodash` is vulnerable.",
        "url": "https://github.com/octo/app/security/dependabot/42",
        "firstDetectedAt": "2026-11-22T12:00:00.000Z", "fixedAt": null, "slaDueAt": "2026-12-22T12:00:00.000Z",
        "lastSyncedAt": "2026-11-23T12:00:00.000Z", "analysis": null
    });
    assert_eq!((answer.status, &answer.body), (200, &expected));
    assert_eq!(
        stack.call(get(FINDINGS)).await.body,
        json!({"findings": [expected], "nextCursor": null})
    );
    for id in [
        "dependabot-7-43",
        "dependabot-8-42",
        "42",
        "dependabot-7-042",
    ] {
        assert_eq!(
            stack.call(get(FINDING).id(id)).await.problem(404),
            "NOT_FOUND",
            "{id}"
        );
    }
    let stranger = get(FINDING)
        .id("dependabot-7-42")
        .claims(json!({"sub": "somebody"}));
    assert_eq!(stack.call(stranger).await.problem(404), "NOT_FOUND");
}

#[tokio::test]
async fn the_due_date_follows_the_configuration() {
    let stack = stack().await;
    let call = crate::support::put("/v1/owners/{owner}/config").header("if-match", "0");
    let saved = stack.call(call.body(json!({"slaDays": {"low": 1}}))).await;
    assert_eq!(saved.status, 200, "{}", saved.body);
    let answer = stack.call(get(FINDING).id("dependabot-7-1")).await;
    assert_eq!(answer.body["slaDueAt"], "2026-11-24T12:00:00.000Z");
}

#[tokio::test]
async fn filters_narrow_the_list_and_the_most_severe_come_first() {
    let stack = stack().await;
    let everything = [
        "dependabot-8-1",
        "dependabot-7-2",
        "dependabot-7-3",
        "dependabot-7-4",
        "dependabot-7-1",
    ];
    for (query, expected) in [
        ("", &everything[..]),
        ("analysis=none", &everything),
        (
            "status=open",
            &["dependabot-8-1", "dependabot-7-3", "dependabot-7-1"],
        ),
        ("severity=high", &["dependabot-7-3", "dependabot-7-4"]),
        (
            "repository=Octo/App&status=open",
            &["dependabot-7-3", "dependabot-7-1"],
        ),
        ("repository=octo/docs", &["dependabot-8-1"]),
        ("repository=octo/unknown", &[]),
        ("analysis=running", &[]),
        ("status=closed", &[]),
    ] {
        let answer = stack.call(list(query)).await;
        assert_eq!(answer.ids("findings"), expected, "{query}");
        assert_eq!(answer.next(), None, "{query}");
    }
}

#[tokio::test]
async fn a_repository_filter_uses_the_current_name() {
    for (before, now) in [(7, 9), (9, 7)] {
        let stack = Stack::connected().await;
        for id in [before, now] {
            let repository = (id, APP.1);
            let open = finding(repository, 1, Severity::Low, FindingStatus::Open, NOON);
            stack.store(vec![open]).await;
            stack.record(repository, true, &succeeded()).await;
        }
        // Another repository has the name now. The one that had it before is no longer in the installation.
        stack.record((before, APP.1), false, &succeeded()).await;
        let answer = stack.call(list("repository=octo/app")).await;
        assert_eq!(answer.ids("findings"), [format!("dependabot-{now}-1")]);
    }
}

#[tokio::test]
async fn pages_add_up_to_the_whole_list_under_every_filter() {
    let stack = stack().await;
    for filter in ["", "status=open", "repository=octo/app", "severity=high"] {
        let whole = stack.call(list(filter)).await.ids("findings");
        let mut pages = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = stack.call(list(&format!("limit=1&{filter}{cursor}"))).await;
            pages.extend(page.ids("findings"));
            assert!(pages.len() <= whole.len(), "{filter} ends");
            let Some(next) = page.next() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(pages, whole, "{filter}");
    }
}

#[tokio::test]
async fn a_cursor_belongs_to_its_filters() {
    let stack = stack().await;
    let next = stack
        .call(list("status=open&repository=octo/app&limit=1"))
        .await
        .next();
    let cursor = next.expect("a second page");
    let same = list(&format!(
        "repository=OCTO/app&limit=2&status=open&cursor={cursor}"
    ));
    assert_eq!(stack.call(same).await.ids("findings"), ["dependabot-7-1"]);
    for filter in ["", "status=open", "status=open&repository=octo/docs"] {
        let answer = stack.call(list(&format!("{filter}&cursor={cursor}"))).await;
        assert_eq!(answer.problem(400), "INVALID_CURSOR", "{filter}");
    }
}
