//! Faults between a queue and a worker that only a sync can show. `conformance` has those that all types share.

use std::time::Duration;

use futures::future::join;
use serde_json::{Value, json};
use tests::{batch, eventually, failures, is_over, message};
use tokio::time::Instant;

use crate::{
    oracle,
    scene::{NODEGOAT, PYGOAT, Scene, ZEPPELIN},
};

/// The longest time from a worker's death to the takeover.
const TAKEOVER: Duration = Duration::from_secs(90);

/// Delays GitHub's answer, to give a test time to act.
fn slow_github(milliseconds: u64) -> Value {
    json!({"repository": PYGOAT.1, "operation": "list_alerts", "delayMs": milliseconds, "times": 1})
}

/// A fault of a sync's claim.
fn claim_fault(effect: &str) -> Value {
    json!({"service": "dynamodb", "operation": "UpdateItem", "function": "sync", "contains": "started_at",
        "effect": effect, "times": 1})
}

/// The test does not redeliver: the queue has to.
#[tokio::test]
async fn fault_10_a_killed_workers_message_is_redelivered_within_90_seconds() {
    let scene = Scene::set().await;
    let mut killed = Vec::new();
    for (effect, status, attempts) in [("kill_before", "accepted", 0), ("kill_after", "running", 1)]
    {
        scene.stack.fault(&claim_fault(effect)).await;
        let id = scene.ada.sync().await;
        scene.dies("sync", killed.len() as u64 + 1).await;
        let view = scene.ada.command(id).await;
        assert_eq!(
            (&view["status"], &view["attempts"]),
            (&json!(status), &json!(attempts))
        );
        killed.push((id, Instant::now(), attempts + 1));
    }
    assert_eq!(scene.listings().await, 0);
    for (id, died, attempts) in killed {
        let left = TAKEOVER.saturating_sub(died.elapsed());
        let ended = scene.ada.until_within(left, id, "ended", is_over).await;
        assert_eq!(ended["resultCode"], "SYNC_COMPLETED", "{ended}");
        assert_eq!(ended["attempts"], attempts, "{ended}");
    }
    assert_eq!(scene.listings().await, 2);
    scene.holds().await;
}

#[tokio::test]
async fn fault_13_a_timed_out_function_keeps_what_its_batch_has_settled() {
    let scene = Scene::set().await;
    let bob = scene.another("bob").await;
    scene
        .stack
        .backstage
        .enable(bob.owner(), &[NODEGOAT.0])
        .await;
    let first = scene.stack.backstage.admit(scene.ada.owner()).await;
    let second = scene.stack.backstage.admit(bob.owner()).await;
    let slow =
        json!({"repository": NODEGOAT.1, "operation": "list_alerts", "delayMs": 4_000, "times": 1});
    scene.stack.github_fault(&slow).await;
    let both = batch("SyncQueue", &[message(&first, 0), message(&second, 0)]);
    let (killed, settled) = join(scene.stack.invoke("sync", &both), async {
        let settled = scene.ada.ends_as(first.id, "SYNC_COMPLETED").await;
        // Bob's sync waits for GitHub. The process is stopped here and runs into the function's timeout.
        scene.stack.freeze("sync").await;
        settled
    })
    .await;
    let killed = killed.expect_err("it is killed at its timeout");
    assert_eq!(killed["errorType"], "Sandbox.Timedout", "{killed}");
    assert_eq!(bob.command(second.id).await["status"], "running");

    scene
        .stack
        .backstage
        .let_pass(&second, &["claim_until"])
        .await;
    let again = scene
        .stack
        .invoke("sync", &both)
        .await
        .expect("the invocation succeeds");
    assert_eq!(failures(&again), [""; 0]);
    let taken_over = bob.ends_as(second.id, "SYNC_COMPLETED").await;
    assert_eq!(
        (&settled["attempts"], &taken_over["attempts"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(scene.ada.command(first.id).await, settled);
    oracle::check(&scene.stack, &[&scene.ada, &bob]).await;
}

#[tokio::test]
async fn fault_16_a_worker_that_loses_its_lease_sends_no_more_requests() {
    let scene = Scene::with(&[], &[ZEPPELIN.0]).await;
    let key = scene.stack.backstage.admit(scene.ada.owner()).await;
    let slow =
        json!({"repository": ZEPPELIN.1, "operation": "list_alerts", "delayMs": 5_000, "times": 1});
    scene.stack.github_fault(&slow).await;
    let delivery = batch("SyncQueue", &[message(&key, 0)]);
    let zombie = scene.stack.invoke("sync", &delivery);
    let successor = async {
        eventually("the first page is requested", async || {
            scene.stack.github_calls("/dependabot/alerts").await.len() == 1
        })
        .await;
        scene.stack.backstage.let_pass(&key, &["claim_until"]).await;
        scene.stack.invoke("sync", &delivery).await
    };
    let (zombie, successor) = join(zombie, successor).await;
    zombie.expect("it notices the lost lease and ends");
    assert_eq!(
        failures(&successor.expect("the invocation succeeds")),
        [""; 0]
    );
    let pages = scene.stack.github_calls("/dependabot/alerts").await.len();
    assert_eq!(
        pages,
        1 + 4,
        "one page by the zombie, four by its successor"
    );
    scene.holds().await;
}

#[tokio::test]
async fn a_running_sync_shows_its_progress() {
    let scene = Scene::with(&[], &[PYGOAT.0, NODEGOAT.0]).await;
    scene.stack.github_fault(&slow_github(5_000)).await;
    let id = scene.ada.sync().await;
    let expected = json!({"done": 1, "total": 2});
    let shown = |view: &Value| view["progress"] == expected;
    let halfway = scene.ada.until(id, "halfway", shown).await;
    assert_eq!(halfway["status"], "running");
    scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    scene.holds().await;
}
