//! DynamoDB's limits: what a partition serves in a second, and what it holds.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tests::{Stack, command_id, eventually, is_over, message};
use tokio::time::{Duration, Instant, sleep};

use crate::scene::{NODEGOAT, PYGOAT, Scene, ZEPPELIN};

/// Each transaction of `sync` that writes findings is cancelled for these reasons.
fn cancelled(reasons: &[&str]) -> Value {
    json!({"service": "dynamodb", "operation": "TransactWriteItems", "function": "sync",
        "contains": "finding#", "effect": "error", "reasons": reasons})
}

/// How often a worker has given a message back: how many deliveries were spent.
fn redelivered(stack: &Stack) -> usize {
    let released = "the lease is released; the message is redelivered";
    let failed = "the ledger could not be written; the message is redelivered";
    stack.logged(released).len() + stack.logged(failed).len()
}

#[tokio::test]
async fn fault_24_a_first_sync_at_the_partition_limit_loses_nothing() {
    let all = [ZEPPELIN.0, NODEGOAT.0, PYGOAT.0];
    let scene = Scene::with(&["--partition-limits"], &all).await;
    // A busy machine may be too slow to meet the limit unaided.
    let mut fault = cancelled(&["None", "ThrottlingError"]);
    fault["times"] = json!(3);
    fault["after"] = json!(1);
    scene.stack.fault(&fault).await;
    let id = scene.ada.sync().await;
    let ended = scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    let (attempts, spent) = (&ended["attempts"], redelivered(&scene.stack));
    assert_eq!((attempts, spent), (&json!(1), 0), "no delivery is spent");
    assert_eq!(scene.ada.all("findings").await.len(), 317 + 69 + 14);
    scene.holds().await;
}

#[tokio::test]
async fn fault_24_a_throttled_page_is_written_again_within_the_delivery() {
    let scene = Scene::set().await;
    for reasons in [
        &["None", "ThrottlingError", "TransactionConflict"][..],
        &["ProvisionedThroughputExceeded"],
    ] {
        let mut fault = cancelled(reasons);
        fault["times"] = json!(1);
        scene.stack.fault(&fault).await;
    }
    let id = scene.ada.sync().await;
    let ended = scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    let spent = redelivered(&scene.stack);
    assert_eq!((&ended["attempts"], spent), (&json!(1), 0));
    scene.holds().await;
}

#[tokio::test]
async fn fault_24_a_sync_throttled_for_long_waits_visibly_at_its_page() {
    let scene = Scene::with(&[], &[ZEPPELIN.0]).await;
    let mut fault = cancelled(&["None", "ThrottlingError"]);
    // Two pages are stored, each by two transactions.
    fault["after"] = json!(4);
    scene.stack.fault(&fault).await;
    let key = scene.ada.key(scene.ada.sync().await);
    let waiting = scene
        .ada
        .until(key.id, "waiting", |view| !view["waitingUntil"].is_null())
        .await;
    assert_eq!(waiting["status"], "running");
    let error = waiting["lastError"].as_str().expect("an error");
    assert!(error.contains("limits how fast"), "{error}");
    scene.stack.heal().await;
    let waits = &["waiting_until"];
    scene.stack.backstage.let_pass(&key, waits).await;
    let continuation = message(&key, 1);
    scene.stack.backstage.send("SyncQueue", &continuation).await;
    let ended = scene.ada.ends_as(key.id, "SYNC_COMPLETED").await;
    let spent = redelivered(&scene.stack);
    assert_eq!((&ended["attempts"], spent), (&json!(2), 0));
    let pages = scene.stack.github_calls("/dependabot/alerts").await.len();
    assert!(
        pages <= 6,
        "{pages} pages: only what was not stored is read again"
    );
    assert_eq!(scene.ada.all("findings").await.len(), 317);
    eventually("the delayed copy is acknowledged", async || {
        scene.stack.depth("SyncQueue").await == 0
    })
    .await;
    scene.holds().await;
}

#[tokio::test]
async fn fault_24_a_full_partition_ends_a_sync_at_once() {
    let scene = Scene::set().await;
    let fault = cancelled(&["None", "ItemCollectionSizeLimitExceeded"]);
    scene.stack.fault(&fault).await;
    let id = scene.ada.sync().await;
    let ended = scene.ada.ends_as(id, "SYNC_PARTIAL_FAILURE").await;
    let spent = redelivered(&scene.stack);
    assert_eq!((&ended["attempts"], spent), (&json!(1), 0));
    let error = ended["lastError"].as_str().expect("an error");
    assert!(error.contains("no room for more findings"), "{error}");
    assert_eq!(ended["effect"], "none");
    scene.stack.heal().await;
    let id = scene.ada.sync().await;
    scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    assert_eq!(scene.ada.all("findings").await.len(), 14);
    scene.holds().await;
}

#[tokio::test]
async fn fault_24_an_erasure_at_the_partition_limit_deletes_every_row() {
    let scene = Scene::with(&["--partition-limits"], &[ZEPPELIN.0]).await;
    let id = scene.ada.sync().await;
    scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    let erased = scene.ada.try_erase().await.expect("an answer");
    assert!(erased.status.is_success(), "{}", erased.body);
    eventually("no finding is left", async || {
        scene.stack.backstage.items("finding#").await.is_empty()
    })
    .await;
    let interrupted = "the erasure was interrupted; its message is redelivered";
    assert_eq!(scene.stack.logged(interrupted).len(), 0);
}

/// How many calls of `sync` were throttled.
async fn throttled(stack: &Stack) -> u64 {
    let calls = stack.calls().await["functions"]["sync"]["dynamodb"].clone();
    let operations = calls.as_object().expect("a map").values();
    operations.filter_map(|of| of["throttled"].as_u64()).sum()
}

/// The write units that `sync` has consumed.
async fn written(stack: &Stack) -> f64 {
    let calls = stack.calls().await["functions"]["sync"]["dynamodb"].clone();
    let operations = calls.as_object().expect("a map").values();
    operations.filter_map(|of| of["writeUnits"].as_f64()).sum()
}

/// Writes a dataset of repositories with so many alerts each, all copies of Zeppelin's. Returns the repositories' ids.
fn dataset(directory: &Path, alerts: &[usize]) -> Vec<u64> {
    let of = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/dependabot");
    let read = |name: &str| -> Value {
        let text = fs::read_to_string(of.join(name)).expect("the dataset is there");
        serde_json::from_str(&text).expect("it is JSON")
    };
    let write = |name: &str, value: &Value| {
        fs::write(directory.join(name), value.to_string()).expect("a writable directory");
    };
    fs::create_dir_all(directory.join("alerts")).expect("a writable directory");
    let mut listing = read("installation-repositories.json");
    let (template, alert_of) = (
        listing["repositories"][0].clone(),
        read("alerts/acme-appsec__zeppelin.json"),
    );
    let templates = alert_of.as_array().expect("a list");
    let mut repositories = Vec::new();
    let mut ids = Vec::new();
    for (place, count) in alerts.iter().enumerate() {
        let (id, name) = (710_000_000 + place as u64, format!("large-{place}"));
        let mut repository = template.clone();
        repository["id"] = json!(id);
        repository["name"] = json!(name);
        repository["full_name"] = json!(format!("acme-appsec/{name}"));
        repositories.push(repository);
        ids.push(id);
        let numbered = |number: usize| {
            let mut alert = templates[number % templates.len()].clone();
            alert["number"] = json!(number + 1);
            alert
        };
        let alerts = (0..*count).map(numbered).collect();
        write(&format!("alerts/acme-appsec__{name}.json"), &alerts);
    }
    listing["total_count"] = json!(repositories.len());
    listing["repositories"] = Value::Array(repositories);
    write("installation-repositories.json", &listing);
    write("installation-token.json", &read("installation-token.json"));
    ids
}

/// Prints the row of docs/scale.md: `cargo test --test faults ten_thousand -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "takes some five minutes, most of them waiting for its turn to write"]
#[expect(clippy::print_stdout, reason = "the row is its output")]
async fn a_first_sync_of_ten_thousand_alerts_is_measured() {
    let directory = std::env::temp_dir().join(format!("ten-thousand-{}", std::process::id()));
    // One large repository, and fifty small ones.
    let alerts: Vec<usize> = std::iter::once(5_000).chain([100; 50]).collect();
    let ids = dataset(&directory, &alerts);
    let github = format!("--github={}", directory.display());
    let scene = Scene::with(&["--partition-limits", &github], &ids).await;
    scene.stack.forget_calls().await;
    let began = Instant::now();
    let id = scene.ada.sync().await;
    let ended = loop {
        let view = scene.ada.command(id).await;
        if is_over(&view) {
            break view;
        }
        assert!(began.elapsed() < Duration::from_secs(1_800), "{view}");
        sleep(Duration::from_secs(1)).await;
    };
    let seconds = began.elapsed().as_secs_f64();
    let throttled = throttled(&scene.stack).await;
    let units = written(&scene.stack).await;
    let pages = scene.stack.github_calls("/dependabot/alerts").await.len();
    println!(
        "| alerts | repositories | seconds | WCU | WCU/s | throttled | attempts | deliveries spent | pages |\n\
         | 10000 | {} | {seconds:.0} | {units:.0} | {:.0} | {throttled} | {} | {} | {pages} |",
        ids.len(),
        units / seconds,
        ended["attempts"],
        redelivered(&scene.stack),
    );
    assert_eq!(ended["resultCode"], "SYNC_COMPLETED", "{ended}");
    assert_eq!(command_id(&ended), id);
    let findings = scene.stack.backstage.items("finding#").await;
    assert_eq!(findings.len(), 10_000, "nothing is lost");
    fs::remove_dir_all(&directory).expect("it was written here");
}
