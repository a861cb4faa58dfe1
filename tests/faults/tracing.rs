//! Tracing: a request and everything it causes share one trace, and log lines name their command.

use std::collections::{BTreeMap, BTreeSet};

use domain::command::CommandId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{command_id, eventually, message};

use crate::scene::{PYGOAT, Scene};

/// The operator's guide to following a command.
const DOCUMENT: &str = include_str!("../../docs/operating/tracing.md");

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// The trace id of a command whose caller sent none.
fn own(id: CommandId) -> String {
    id.to_string().replace('-', "")
}

/// Requests a command as part of a trace.
async fn post(scene: &Scene, command: &Value, traceparent: &str) -> CommandId {
    let headers = [("traceparent", traceparent)];
    let posted = scene.ada.request(
        Method::POST,
        "me/commands",
        &headers,
        Some(command),
        tests::TIMEOUT,
    );
    let answer = posted.await.expect("the API answers");
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    command_id(&answer.body)
}

/// The log lines about a command.
fn lines(scene: &Scene, id: CommandId) -> Vec<Value> {
    let id = id.to_string();
    let logs = scene.stack.logs();
    let lines = logs
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["command.id"] == *id)
        .collect()
}

/// The functions that logged these lines.
fn functions(lines: &[Value]) -> BTreeSet<&str> {
    let modules = lines.iter().filter_map(|line| line["target"].as_str());
    modules
        .filter_map(|module| module.split("::").next())
        .collect()
}

fn traces(lines: &[Value]) -> BTreeSet<&str> {
    lines
        .iter()
        .filter_map(|line| line["trace.id"].as_str())
        .collect()
}

/// The rest of `traceparent` and the path of each request to GitHub in this trace.
async fn at_github(scene: &Scene, trace: &str) -> BTreeMap<String, String> {
    let requests = scene.stack.github_requests().await;
    let given = requests.iter().filter_map(|request| {
        let parent = request["traceparent"].as_str()?;
        let parent = parent.strip_prefix(&format!("00-{trace}-"))?;
        Some((parent.to_owned(), request["path"].as_str()?.to_owned()))
    });
    given.collect()
}

#[tokio::test]
async fn a_callers_trace_spans_queues_workers_github_agent_and_callback() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let finding = scene.open_findings().await.remove(0);
    let start = json!({"type": "start_analysis", "findingId": finding});
    let given = format!("00-{TRACE}-b7ad6b7169203331-01");
    let id = post(&scene, &start, &given).await;
    scene.ada.ends_as(id, "ANALYSIS_LAUNCH_STARTED").await;
    scene.analysis_is(&finding, "completed").await;

    let minted = at_github(&scene, TRACE).await;
    assert!(
        minted.values().any(|path| path.ends_with("access_tokens")),
        "{minted:?}"
    );
    assert!(
        minted
            .keys()
            .all(|rest| rest.ends_with("-01") && rest != "b7ad6b7169203331-01")
    );
    let session = scene.session(id).await;
    let told = session["traceparent"]
        .as_str()
        .expect("the agent got a traceparent");
    assert_eq!(told.get(..36), given.get(..36));
    assert_ne!(told, given, "each step has its own span id");
    eventually("all three have logged", async || {
        functions(&lines(&scene, id)).len() >= 3
    })
    .await;
    let lines = lines(&scene, id);
    assert_eq!(
        functions(&lines),
        ["api", "record_analysis", "runtime"].into()
    );
    assert_eq!(traces(&lines), [TRACE].into());
    scene.holds().await;
}

#[tokio::test]
async fn without_a_callers_trace_the_command_id_is_the_trace_id() {
    let scene = Scene::set().await;
    let ids = [
        scene.ada.sync().await,
        post(&scene, &json!({"type": "sync"}), "00-not-a-trace-01").await,
    ];
    for id in ids {
        scene.ada.ends_as(id, "SYNC_COMPLETED").await;
        eventually("its end is logged", async || {
            lines(&scene, id)
                .iter()
                .any(|line| line["message"] == "the command has ended")
        })
        .await;
        let lines = lines(&scene, id);
        assert_eq!(traces(&lines), [own(id).as_str()].into());
        for line in &lines {
            assert_eq!(line["owner"], scene.ada.owner().hashed(), "{line}");
            assert_eq!(line["command.type_name"], "sync", "{line}");
            assert!(line["requestId"].is_string(), "{line}");
            if line["target"] == "api::admission" {
                assert_eq!(line["http.route"], "/v1/owners/{owner}/commands", "{line}");
            } else {
                assert_eq!(line["command.attempt"], 1, "{line}");
            }
        }
    }
    let own = own(ids[0]);
    let asked = at_github(&scene, &own).await;
    let listed = format!("/repos/{}/dependabot/alerts", PYGOAT.1);
    assert!(
        asked.values().any(|path| path.starts_with(&listed)),
        "{asked:?}"
    );
}

#[tokio::test]
async fn the_reconciler_and_dead_letter_function_log_in_the_commands_trace() {
    let scene = Scene::set().await;
    let stage = &scene.stack.backstage;
    let resent = stage.admit(scene.ada.owner()).await;
    let exhausted = stage.admit(scene.ada.owner()).await;
    stage.let_pass(&resent, &["due_at"]).await;
    scene.stack.reconcile().await;
    stage
        .send("SyncDeadLetterQueue", &message(&exhausted, 0))
        .await;
    scene.ada.ends_as(resent.id, "SYNC_COMPLETED").await;
    scene
        .ada
        .ends_as(exhausted.id, "QUEUE_RETRIES_EXHAUSTED")
        .await;
    for (key, function) in [(&resent, "reconcile"), (&exhausted, "dead_letter")] {
        eventually(function, async || {
            functions(&lines(&scene, key.id)).contains(function)
        })
        .await;
        let lines = lines(&scene, key.id);
        assert_eq!(traces(&lines), [own(key.id).as_str()].into(), "{lines:?}");
    }
    assert!(!at_github(&scene, &own(resent.id)).await.is_empty());
}

#[tokio::test]
async fn a_continued_command_stays_in_its_trace() {
    let scene = Scene::set().await;
    // It waits for a rate limit and continues in another message.
    let limit = json!({"repository": PYGOAT.1, "operation": "list_alerts", "status": 429,
        "headers": {"retry-after": "1"}, "times": 1});
    scene.stack.github_fault(&limit).await;
    let given = format!("00-{TRACE}-b7ad6b7169203331-00");
    let id = post(&scene, &json!({"type": "sync"}), &given).await;
    let ended = scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    assert_eq!(ended["attempts"], 2, "{ended}");
    eventually("its end is logged", async || {
        lines(&scene, id)
            .iter()
            .any(|line| line["command.attempt"] == 2)
    })
    .await;
    assert_eq!(traces(&lines(&scene, id)), [TRACE].into());
    let listings = at_github(&scene, TRACE).await;
    let listings = listings
        .values()
        .filter(|path| path.contains("/dependabot/alerts"));
    assert_eq!(listings.count(), 2);
}

/// The fields that the document's table for function logs names. `queries` checks the document's queries.
fn documented() -> BTreeSet<&'static str> {
    let (functions, _) = DOCUMENT
        .split_once("## The access log")
        .expect("a section for API Gateway's log");
    let rows = functions.lines().filter(|line| line.starts_with("| `"));
    let names = rows.map(|row| row.split('|').nth(1).expect("a first column"));
    names
        .flat_map(|names| names.split('`').skip(1).step_by(2))
        .collect()
}

#[tokio::test]
async fn tracing_md_names_only_fields_that_logs_have() {
    let scene = Scene::set().await;
    scene
        .ada
        .ends_as(scene.ada.sync().await, "SYNC_COMPLETED")
        .await;
    let unsent =
        json!({"service": "sqs", "operation": "SendMessage", "function": "api", "effect": "error"});
    scene.stack.fault(&unsent).await;
    let refused = scene.ada.post(&json!({"type": "sync"}), None).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let fields = documented();
    assert!(fields.len() > 10, "{fields:?}");
    let missing = || {
        let logs = scene.stack.logs();
        let lines: Vec<Value> = logs
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let has = |field: &&&str| lines.iter().any(|line| !line[**field].is_null());
        fields.iter().filter(|field| !has(field)).copied().collect()
    };
    eventually("all is logged", async || {
        let missing: Vec<&str> = missing();
        missing.is_empty()
    })
    .await;
    // A failure has the fields that the query for failures groups by.
    let failed: Vec<_> = scene
        .stack
        .logged("the command failed: it could not be queued");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["command.status"], "failed");
    assert_eq!(failed[0]["command.code"], "QUEUE_ADMISSION_FAILED");
    assert_eq!(failed[0]["command.type_name"], "sync");
}
