//! Repositories, summary and integration.

use std::time::Duration;

use domain::finding::{FindingStatus, Severity};
use serde_json::json;
use store::{
    owners::AUTH_INVALID_FOR,
    repositories::{RepositoryFailure, RepositoryOutcome},
};

use crate::support::{
    NOON, Stack, get,
    github::{finding, succeeded},
    owner, put,
};

const REPOSITORIES: &str = "/v1/owners/{owner}/repositories";
const SUMMARY: &str = "/v1/owners/{owner}/summary";
const INTEGRATION: &str = "/v1/owners/{owner}/integration";
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn repositories_are_listed_by_name_with_their_last_refresh() {
    let stack = Stack::connected().await;
    stack.record((7, "octo/app"), true, &succeeded()).await;
    let failed = RepositoryOutcome::Failed(RepositoryFailure::RepositoryUnavailable);
    stack.record((9, "Acme/site"), true, &failed).await;
    stack.record((8, "octo/gone"), false, &failed).await;
    let app = json!({
        "id": 7, "fullName": "octo/app", "private": true, "inScope": false,
        "lastAttemptedAt": "2026-11-23T12:00:00.000Z", "lastSucceededAt": "2026-11-23T12:00:00.000Z",
        "lastFailureCode": null
    });
    let site = json!({
        "id": 9, "fullName": "Acme/site", "private": true, "inScope": false,
        "lastAttemptedAt": "2026-11-23T12:00:00.000Z", "lastSucceededAt": null,
        "lastFailureCode": "REPOSITORY_UNAVAILABLE"
    });
    let whole = stack.call(get(REPOSITORIES)).await;
    assert_eq!(
        whole.body,
        json!({"repositories": [site, app], "nextCursor": null})
    );

    // A selected repository that has left the installation stays visible.
    let chosen =
        json!({"enabled": true, "repositorySelection": "selected", "selectedRepositoryIds": [8]});
    let saved = put("/v1/owners/{owner}/config")
        .header("if-match", "0")
        .body(chosen);
    assert_eq!(stack.call(saved).await.status, 200);
    let whole = stack.call(get(REPOSITORIES)).await;
    assert_eq!(whole.ids("repositories"), ["9", "7", "8"]);
    let in_scope = |place: usize| whole.body["repositories"][place]["inScope"].clone();
    assert_eq!(
        [in_scope(0), in_scope(1), in_scope(2)],
        [false, false, true]
    );

    let first = stack.call(get(REPOSITORIES).query("limit=2")).await;
    let next = first.next().expect("a second page");
    let rest = stack
        .call(get(REPOSITORIES).query(&format!("limit=2&cursor={next}")))
        .await;
    assert_eq!(
        (first.ids("repositories"), rest.ids("repositories")),
        (vec!["9".into(), "7".into()], vec!["8".into()])
    );
    assert_eq!(rest.next(), None);
    let exactly = stack.call(get(REPOSITORIES).query("limit=3")).await;
    assert_eq!(
        (exactly.ids("repositories").len(), exactly.next()),
        (3, None)
    );
}

#[tokio::test]
async fn the_summary_counts_what_is_stored() {
    let stack = Stack::connected().await;
    let empty = stack.call(get(SUMMARY)).await;
    let nothing = json!({"critical": 0, "high": 0, "medium": 0, "low": 0});
    let no_analysis = json!({
        "pending": 0, "running": 0, "completed": 0, "failed": 0, "exploitable": 0, "notExploitable": 0
    });
    assert_eq!(
        empty.body,
        json!({
            "findings": {"open": 0, "fixed": 0, "ignored": 0, "openBySeverity": nothing},
            "analysis": no_analysis, "sla": {"overdue": 0, "dueSoon": 0}, "lastSyncedAt": null
        })
    );

    let app = (7, "octo/app");
    stack.record(app, true, &succeeded()).await;
    stack
        .store(vec![
            finding(
                app,
                1,
                Severity::Critical,
                FindingStatus::Open,
                NOON - 20 * DAY,
            ),
            finding(
                app,
                2,
                Severity::Critical,
                FindingStatus::Open,
                NOON - 9 * DAY,
            ),
            finding(app, 3, Severity::Low, FindingStatus::Open, NOON - 20 * DAY),
            finding(
                app,
                4,
                Severity::Low,
                FindingStatus::Fixed,
                NOON - 200 * DAY,
            ),
            finding(
                app,
                5,
                Severity::High,
                FindingStatus::Ignored,
                NOON - 200 * DAY,
            ),
            finding(app, 6, Severity::High, FindingStatus::Open, NOON),
            finding(app, 7, Severity::High, FindingStatus::Open, NOON),
            finding(app, 8, Severity::High, FindingStatus::Open, NOON),
        ])
        .await;
    stack
        .app
        .owners
        .mark_synced(&owner(), NOON)
        .await
        .expect("marked");
    let answer = stack.call(get(SUMMARY)).await;
    assert_eq!(
        answer.body,
        json!({
            "findings": {
                "open": 6, "fixed": 1, "ignored": 1,
                "openBySeverity": {"critical": 2, "high": 3, "medium": 0, "low": 1}
            },
            "analysis": no_analysis, "sla": {"overdue": 1, "dueSoon": 1},
            "lastSyncedAt": "2026-11-23T12:00:00.000Z"
        })
    );
}

#[tokio::test]
async fn the_integration_shows_its_permission() {
    let stack = Stack::start().await;
    let none = json!({"connected": false, "installationId": null, "canReadAlerts": false, "authInvalidAt": null});
    assert_eq!(stack.call(get(INTEGRATION)).await.body, none);
    stack.connect(false).await;
    stack
        .app
        .owners
        .mark_auth_invalid(&owner(), NOON)
        .await
        .expect("marked");
    let later = NOON + AUTH_INVALID_FOR;
    assert_eq!(
        stack.call_at(get(INTEGRATION), later).await.body,
        json!({
            "connected": true, "installationId": 51_000_001, "canReadAlerts": false,
            "authInvalidAt": "2026-11-23T12:00:00.000Z"
        })
    );
}
