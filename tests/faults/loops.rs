//! Lambda stops a function that has run 16 times in one chain of requests. Continuations make such chains.

use domain::command::{CommandKey, StartAnalysis};
use runtime::queue::{Message, ScheduledSync};
use serde_json::{Value, json};
use store::ledger::NewCommand;
use tests::{Stack, TIMEOUT, eventually, message, sync_of};
use tokio::time::{Duration, Instant, sleep};
use uuid::Uuid;

use crate::scene::{PYGOAT, Scene};

/// The trace header after this many invocations of a function.
fn after(invocations: u32, function: &str) -> String {
    format!("Root=1-5759e988-bd862e3fe1be46a994272793;Lineage={function}:{invocations}")
}

/// A rate limit that makes the next call continue in another message.
fn limited(operation: &str) -> Value {
    json!({"repository": "*", "operation": operation, "status": 429,
        "headers": {"retry-after": "1"}, "times": 1})
}

/// Checks that the function's last invocation was this one of its chain, and that Lambda dropped none.
async fn ran_on(stack: &Stack, function: &str, invocations: u32) {
    let last = format!("Lineage={function}:{invocations}");
    assert!(
        stack.logs().contains(&last),
        "{function} has lost its chain: no {last}"
    );
    for found in stack.functions().await {
        let dropped = &found["recursiveInvocationsDropped"];
        assert_eq!(*dropped, 0, "{found}");
    }
}

impl Scene {
    /// Delivers a command's message as the 15th of its chain.
    async fn deliver_fifteenth(&self, queue: &str, function: &str, key: &CommandKey) {
        let trace = after(14, function);
        let body = message(key, 0);
        self.stack.backstage.send_traced(queue, &body, &trace).await;
    }
}

#[tokio::test]
async fn fault_32_a_sync_continues_beyond_sixteen_invocations() {
    let scene = Scene::set().await;
    for _ in 0..2 {
        scene.stack.github_fault(&limited("list_alerts")).await;
    }
    let key = scene.stack.backstage.admit(scene.ada.owner()).await;
    scene.deliver_fifteenth("SyncQueue", "sync", &key).await;
    let ended = scene.ada.ends_as(key.id, "SYNC_COMPLETED").await;
    assert_eq!(ended["attempts"], 3);
    ran_on(&scene.stack, "sync", 17).await;
    scene.holds().await;
}

#[tokio::test]
async fn fault_32_a_scheduled_sync_continues_beyond_sixteen_invocations() {
    let scene = Scene::set().await;
    for _ in 0..2 {
        scene.stack.github_fault(&limited("list_alerts")).await;
    }
    let sync = Message::ScheduledSync(ScheduledSync {
        owner: scene.ada.owner().clone(),
        pass: Uuid::new_v4(),
        began: now(),
    });
    let (trace, queue) = (after(14, "sync"), "ScheduledSyncQueue");
    let backstage = &scene.stack.backstage;
    backstage.send_traced(queue, &sync.body(), &trace).await;
    eventually("the scheduled sync ends", async || {
        scene.stack.logged("a scheduled sync has ended").len() == 1
    })
    .await;
    ran_on(&scene.stack, "sync", 17).await;
    scene.holds().await;
}

#[tokio::test]
async fn fault_32_a_dismissal_continues_beyond_sixteen_invocations() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    for _ in 0..2 {
        scene.stack.github_fault(&limited("update_alert")).await;
    }
    let finding = scene.open_findings().await.remove(0);
    let backstage = &scene.stack.backstage;
    let key = backstage.admit_dismissal(scene.ada.owner(), &finding).await;
    scene
        .deliver_fifteenth("DismissQueue", "dismiss", &key)
        .await;
    let ended = scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
    assert_eq!(ended["attempts"], 3);
    ran_on(&scene.stack, "dismiss", 17).await;
    scene.holds().await;
}

#[tokio::test]
async fn fault_32_a_launch_continues_beyond_sixteen_invocations() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    for _ in 0..2 {
        let limited = limited("installation_token");
        scene.stack.github_fault(&limited).await;
    }
    let finding = scene.open_findings().await.remove(0);
    let launch = StartAnalysis::of(finding.parse().expect("a finding's id"));
    let launch = NewCommand {
        action: launch.into(),
        ..sync_of(scene.ada.owner())
    };
    let key = scene.stack.backstage.admit_command(launch).await;
    scene
        .deliver_fifteenth("AnalyseQueue", "analyse", &key)
        .await;
    let ended = scene.ada.ends_as(key.id, "ANALYSIS_LAUNCH_STARTED").await;
    assert_eq!(ended["attempts"], 3);
    ran_on(&scene.stack, "analyse", 17).await;
    scene.analysis_is(&finding, "completed").await;
    scene.analyses_hold().await;
}

#[tokio::test]
async fn fault_32_an_erasure_continues_beyond_sixteen_invocations() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    // The API's own message is lost, so that the test's begins the chain.
    let lost =
        json!({"service": "sqs", "operation": "SendMessage", "function": "api", "effect": "error"});
    scene.stack.fault(&lost).await;
    let asked = scene.ada.try_erase().await.expect("the API answers");
    scene.stack.heal().await;
    let erasure = scene.ada.get("erasure").await.body;
    let requested = &erasure["requestedAt"];
    let requested = requested
        .as_str()
        .unwrap_or_else(|| panic!("{}", asked.body));
    let erase = Message::Erase {
        owner: scene.ada.owner().clone(),
        requested_at: requested.parse().expect("a time"),
    };
    let (backstage, trace) = (&scene.stack.backstage, after(15, "erase"));
    backstage
        .send_traced("EraseQueue", &erase.body(), &trace)
        .await;
    // The last sweep is 20 s after the request.
    let deadline = Instant::now() + TIMEOUT;
    while scene.ada.get("erasure").await.body["status"] != "completed" {
        assert!(Instant::now() < deadline, "the erasure never completed");
        sleep(Duration::from_millis(100)).await;
    }
    ran_on(&scene.stack, "erase", 17).await;
}

#[expect(clippy::disallowed_methods, reason = "the stack lives in real time")]
fn now() -> domain::Timestamp {
    domain::Timestamp::now()
}
