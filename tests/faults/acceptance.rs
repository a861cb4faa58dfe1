//! The main flows with few or no faults, and the calls they cost.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Answer, Caller, TIMEOUT, command_id};

use crate::scene::{PYGOAT, Scene, ZEPPELIN, ada};

/// The five repositories of the dataset whose alerts GitHub lists without an error.
const FIVE: [u64; 5] = [
    700_000_001,
    700_000_002,
    700_000_003,
    700_000_004,
    700_000_005,
];

/// Reads the configuration and saves it with this change, under its version.
pub(crate) async fn save(caller: &Caller, change: &Value) -> Answer {
    let read = caller.get("config").await.body;
    let version = read["version"].to_string();
    let mut config = read;
    config.as_object_mut().expect("an object").remove("version");
    for (name, value) in change.as_object().expect("fields") {
        config[name] = value.clone();
    }
    let headers = [("if-match", version.as_str())];
    let saved = caller
        .request(Method::PUT, "me/config", &headers, Some(&config), TIMEOUT)
        .await;
    saved.expect("the API answers")
}

/// The number of findings for each value of a field.
fn counted(findings: &[&Value], field: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for finding in findings {
        let value = finding[field].as_str().expect("a text").to_owned();
        *counts.entry(value).or_default() += 1;
    }
    counts
}

/// The dataset's counts, with GitHub's states mapped to the statuses of findings.
fn expected(counts: &Value) -> BTreeMap<String, u64> {
    let mut expected = BTreeMap::new();
    for (name, count) in counts.as_object().expect("counts") {
        let name = match name.as_str() {
            "dismissed" | "auto_dismissed" => "ignored",
            name => name,
        };
        *expected.entry(name.to_owned()).or_default() += count.as_u64().expect("a count");
    }
    expected
}

#[tokio::test]
async fn an_owner_enables_five_repositories_and_then_all_of_them() {
    let stack = tests::Stack::start(&[]).await;
    let ada = ada(&stack).await;
    let five =
        json!({"enabled": true, "repositorySelection": "selected", "selectedRepositoryIds": FIVE});
    let saved = save(&ada, &five).await;
    assert_eq!(saved.status, StatusCode::OK, "{}", saved.body);
    assert_eq!(
        saved.body["initialSync"]["admitted"], true,
        "{}",
        saved.body
    );
    let id = command_id(&saved.body["initialSync"]["command"]);
    let ended = ada.ends_as(id, "SYNC_COMPLETED").await;
    assert_eq!(
        (&ended["effect"], &ended["origin"]),
        (&json!("applied"), &json!("enable_initial_sync"))
    );
    assert_eq!(ended["progress"], json!({"done": 5, "total": 5}));

    let counts = include_str!("../data/dependabot/counts.json");
    let counts: Value = serde_json::from_str(counts).expect("it is JSON");
    let findings = ada.all("findings").await;
    for (repository, counts) in counts.as_object().expect("repositories") {
        let own = findings
            .iter()
            .filter(|finding| &finding["repository"] == repository);
        let own: Vec<&Value> = own.collect();
        assert_eq!(counts["alerts"], own.len(), "{repository}");
        for (ours, theirs) in [("severity", "severity"), ("status", "state")] {
            assert_eq!(
                counted(&own, ours),
                expected(&counts[theirs]),
                "{repository}: {ours}"
            );
        }
    }
    let synced = ada.get("summary").await.body["lastSyncedAt"].clone();
    assert!(synced.is_string());

    let all = save(&ada, &json!({"repositorySelection": "all"})).await;
    assert_eq!(all.status, StatusCode::OK, "{}", all.body);
    let id = command_id(&all.body["initialSync"]["command"]);
    let failed = ada.ends_as(id, "REPOSITORY_UNAVAILABLE").await;
    let began = failed["startedAt"].as_str().expect("it began");
    let repositories = ada.get("repositories").await.body["repositories"].clone();
    let mut failures = BTreeMap::new();
    for repository in repositories.as_array().expect("a list") {
        assert_eq!(repository["inScope"], true);
        let attempted = repository["lastAttemptedAt"]
            .as_str()
            .expect("each was attempted");
        assert!(attempted >= began, "{repository}");
        if let Some(code) = repository["lastFailureCode"].as_str() {
            let name = repository["fullName"].as_str().expect("a name");
            failures.insert(name.to_owned(), code.to_owned());
        } else {
            let succeeded = repository["lastSucceededAt"].as_str();
            assert!(succeeded.expect("it is fresh") >= began, "{repository}");
        }
    }
    let expected = [
        ("legacy-portal", "DEPENDABOT_ALERTS_DISABLED"),
        ("old-billing-archive", "DEPENDABOT_ALERTS_DISABLED"),
        ("gone-since-listing", "REPOSITORY_UNAVAILABLE"),
        ("taken-down", "REPOSITORY_UNAVAILABLE"),
        ("no-permission", "GITHUB_PERMISSION_MISSING"),
        ("renamed-service", "REPOSITORY_UNAVAILABLE"),
    ];
    let expected = expected.map(|(name, code)| (format!("acme-appsec/{name}"), code.to_owned()));
    assert_eq!(failures, BTreeMap::from(expected));
    assert_eq!(
        ada.get("summary").await.body["lastSyncedAt"],
        synced,
        "some repositories failed"
    );
    crate::oracle::check(&stack, &[&ada]).await;
}

#[tokio::test]
async fn a_page_that_fails_once_is_retried_within_the_delivery() {
    let scene = Scene::with(&[], &[ZEPPELIN.0]).await;
    let fault = json!({"repository": ZEPPELIN.1, "operation": "list_alerts", "status": 503, "after": 2, "times": 1});
    scene.stack.github_fault(&fault).await;
    let id = scene.ada.sync().await;
    let ended = scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    assert_eq!(ended["attempts"], 1);
    let answers = scene.stack.github_calls("/dependabot/alerts").await;
    assert_eq!(answers, [200, 200, 503, 200, 200]);
    assert_eq!(scene.ada.all("findings").await.len(), 317);
    scene.holds().await;
}

/// How often this function called each operation since counting began.
async fn calls(scene: &Scene, function: &str) -> BTreeMap<String, u64> {
    let calls = scene.stack.calls().await["functions"][function].clone();
    let mut counts = BTreeMap::new();
    for service in ["dynamodb", "sqs"] {
        for (operation, calls) in calls[service].as_object().into_iter().flatten() {
            counts.insert(
                operation.clone(),
                calls["requests"].as_u64().expect("a count"),
            );
        }
    }
    counts
}

fn counts<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, u64> {
    expected
        .map(|(operation, count)| (operation.to_owned(), count))
        .into()
}

#[tokio::test]
async fn an_unchanged_repository_costs_one_request_and_no_finding_write() {
    let scene = Scene::set().await;
    let first = scene.ada.sync().await;
    scene.ada.ends_as(first, "SYNC_COMPLETED").await;
    let asked = scene.stack.github_calls("").await.len();
    let mut before = scene.stack.backstage.items("finding#").await;
    scene.stack.forget_calls().await;

    let second = scene.ada.sync_of(PYGOAT.1).await;
    scene.ada.ends_as(second, "SYNC_COMPLETED").await;
    let calls_of_worker = calls(&scene, "sync").await;
    assert_eq!(
        scene.stack.github_calls("").await.len() - asked,
        1,
        "one listing"
    );
    let mut after = scene.stack.backstage.items("finding#").await;
    let by_key = |item: &store::table::Item| format!("{:?}", item.get("sk"));
    before.sort_by_key(by_key);
    after.sort_by_key(by_key);
    assert_eq!(before, after);
    let expected = counts([
        // Configuration, repositories.
        ("Query", 2),
        // The attempt; the settlement with its audit event.
        ("TransactWriteItems", 2),
        // Claim, the repository's outcome.
        ("UpdateItem", 2),
        ("ChangeMessageVisibility", 1),
    ]);
    assert_eq!(calls_of_worker, expected);
    scene.holds().await;
}

#[tokio::test]
async fn a_command_costs_a_read_and_a_write_to_admit_and_a_read_to_poll() {
    let scene = Scene::set().await;
    let sync = json!({"type": "sync"});
    for (key, write) in [(None, "PutItem"), (Some("once"), "TransactWriteItems")] {
        scene.stack.forget_calls().await;
        let answer = scene.ada.post(&sync, key).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        assert_eq!(
            calls(&scene, "api").await,
            // Whether the owner is being erased, then the command.
            counts([("GetItem", 1), (write, 1), ("SendMessage", 1)])
        );
        let id = command_id(&answer.body);
        scene.ada.ends_as(id, "SYNC_COMPLETED").await;
        scene.stack.forget_calls().await;
        scene.ada.command(id).await;
        assert_eq!(calls(&scene, "api").await, counts([("GetItem", 1)]));
    }
    scene.holds().await;
}
