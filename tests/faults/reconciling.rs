//! Races with the reconciler and the dead-letter consumer, and each of them running late or twice.

use std::time::Duration;

use futures::future::join;
use serde_json::{Value, json};
use store::table::DueKind;
use tests::{batch, eventually, failures, message};

use crate::{oracle, scene::Scene};

/// The number of shards of the `due` index, over all kinds.
const EVERY_SHARD: u64 = DueKind::Command.shards() as u64
    + DueKind::Schedule.shards() as u64
    + DueKind::Analysis.shards() as u64
    + DueKind::Automation.shards() as u64
    + DueKind::Erasure.shards() as u64;

/// Delays the reconciler between its reads and its writes.
fn slow_reconciler(milliseconds: u64) -> Value {
    json!({"service": "dynamodb", "operation": "UpdateItem", "function": "reconcile",
        "effect": "delay", "delayMs": milliseconds})
}

#[tokio::test]
async fn fault_18_a_worker_that_settles_before_the_reconciler_writes_wins() {
    let scene = Scene::set().await;
    let key = scene.stack.backstage.admit(scene.ada.owner()).await;
    scene.stack.backstage.claim_and_die(&key).await;
    let passed = ["due_at", "deadline"];
    scene.stack.backstage.let_pass(&key, &passed).await;
    scene.stack.fault(&slow_reconciler(2_500)).await;
    scene.stack.forget_calls().await;
    let worker = async {
        eventually("the reconciler has read every shard", async || {
            let calls = scene.stack.calls().await;
            calls["functions"]["reconcile"]["dynamodb"]["Query"]["requests"] == EVERY_SHARD
        })
        .await;
        let delivery = batch("SyncQueue", &[message(&key, 0)]);
        let answer = scene.stack.invoke("sync", &delivery).await;
        assert_eq!(failures(&answer.expect("the invocation succeeds")), [""; 0]);
        scene.ada.ended(key.id).await
    };
    let (report, ended) = join(scene.stack.reconcile(), worker).await;
    assert_eq!(ended["resultCode"], "SYNC_COMPLETED", "{ended}");
    assert_eq!(ended["attempts"], 2, "{ended}");
    let counted = (&report["nominated"], &report["raced"], &report["stalled"]);
    assert_eq!(counted, (&json!(1), &json!(1), &json!(0)), "{report}");
    assert_eq!(scene.ada.command(key.id).await, ended);
    scene.holds().await;
}

#[tokio::test]
async fn fault_19_two_overlapping_reconcilers_do_the_work_of_one() {
    let scene = Scene::set().await;
    let unsent = scene.stack.backstage.admit(scene.ada.owner()).await;
    let stalled = scene.stack.backstage.admit(scene.ada.owner()).await;
    scene.stack.backstage.let_pass(&unsent, &["due_at"]).await;
    scene.stack.backstage.claim_and_die(&stalled).await;
    scene
        .stack
        .backstage
        .let_pass(&stalled, &["due_at", "deadline"])
        .await;
    scene.stack.backstage.schedule_due(scene.ada.owner()).await;
    scene.stack.fault(&slow_reconciler(500)).await;
    // A claim between the two writes would hide the second one's outcome.
    let no_claim = json!({"service": "dynamodb", "operation": "UpdateItem", "function": "sync", "contains": "started_at",
        "effect": "error"});
    scene.stack.fault(&no_claim).await;
    let (one, other) = join(scene.stack.reconcile(), scene.stack.reconcile()).await;
    let sum = |count: &str| one[count].as_u64().unwrap_or(0) + other[count].as_u64().unwrap_or(0);
    for (count, expected) in [
        ("resent", 1),
        ("stalled", 1),
        ("dispatched", 1),
        ("errors", 0),
    ] {
        assert_eq!(sum(count), expected, "{count}: {one} and {other}");
    }
    assert_eq!(
        (sum("nominated"), sum("raced")),
        (6, 3),
        "they overlapped: {one} and {other}"
    );
    scene.stack.heal().await;
    scene.ada.ends_as(unsent.id, "SYNC_COMPLETED").await;
    scene.ada.ends_as(stalled.id, "COMMAND_STALLED").await;
    let told = scene
        .stack
        .logged("the command has failed: its deadline has passed");
    assert_eq!(told[0]["previous_status"], "running", "{told:?}");
    eventually("the scheduled sync ends", async || {
        scene.stack.logged("a scheduled sync has ended").len() == 1
    })
    .await;
    scene.holds().await;
}

#[tokio::test]
async fn fault_23_a_dead_letter_consumer_that_fails_or_runs_twice_settles_once() {
    let scene = Scene::set().await;
    let stage = &scene.stack.backstage;
    stage
        .hide_for("SyncDeadLetterQueue", Duration::from_secs(1))
        .await;
    let down = json!({"service": "dynamodb", "operation": "UpdateItem", "function": "dead-letter", "effect": "error"});
    scene.stack.fault(&down).await;
    let late = stage.admit(scene.ada.owner()).await;
    stage.send("SyncDeadLetterQueue", &message(&late, 0)).await;
    eventually("it fails twice", async || {
        let again = "cannot settle the dead letter; it is redelivered";
        scene.stack.logged(again).len() >= 2
    })
    .await;
    assert_eq!(scene.ada.command(late.id).await["status"], "accepted");
    scene.stack.heal().await;
    let ended = scene.ada.ends_as(late.id, "QUEUE_RETRIES_EXHAUSTED").await;
    assert_eq!(ended["effect"], "none");

    let twice = stage.admit(scene.ada.owner()).await;
    let dead = batch("SyncDeadLetterQueue", &[message(&twice, 0)]);
    let (one, other) = join(
        scene.stack.invoke("dead-letter", &dead),
        scene.stack.invoke("dead-letter", &dead),
    )
    .await;
    for answer in [one, other] {
        assert_eq!(failures(&answer.expect("the invocation succeeds")), [""; 0]);
    }
    scene.ada.ends_as(twice.id, "QUEUE_RETRIES_EXHAUSTED").await;
    eventually("the dead letter is acknowledged", async || {
        scene.stack.depth("SyncDeadLetterQueue").await == 0
    })
    .await;
    oracle::check(&scene.stack, &[&scene.ada]).await;
}
