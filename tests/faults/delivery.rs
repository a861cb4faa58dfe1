//! Faults between a queue and a worker: kills, duplicates, timeouts.

use std::time::Duration;

use futures::future::join;
use serde_json::{Value, json};
use tests::{batch, eventually, failures, is_over, message};
use tokio::time::Instant;

use crate::{
    oracle,
    scene::{NODEGOAT, PYGOAT, Scene, ZEPPELIN},
};

/// Within how long of a worker's death another must have taken over.
const TAKEOVER: Duration = Duration::from_secs(90);
/// Holds up GitHub's answer, so that a test has time to do something meanwhile.
fn slow_github(milliseconds: u64) -> Value {
    json!({"repository": PYGOAT.1, "operation": "list_alerts", "delayMs": milliseconds, "times": 1})
}

/// What befalls a write of a command's row: an operation whose request holds this text.
fn befalls(effect: &str, (operation, text): (&str, &str)) -> Value {
    json!({"service": "dynamodb", "operation": operation, "function": "sync", "contains": text,
        "effect": effect, "times": 1})
}

/// Only the claim sets it.
const CLAIM: (&str, &str) = ("UpdateItem", "started_at");
/// Only the settlement writes it, in one transaction with the audit event.
const SETTLEMENT: (&str, &str) = ("TransactWriteItems", "SYNC_COMPLETED");

/// Waits until a worker has died.
async fn a_worker_dies(scene: &Scene) {
    eventually("a worker dies", async || {
        let functions = scene.stack.functions().await;
        functions
            .iter()
            .any(|function| function["name"] == "sync" && function["errors"] == 1)
    })
    .await;
}

#[tokio::test]
async fn fault_08_a_settlement_whose_answer_is_lost_is_recognised() {
    let scene = Scene::set().await;
    scene
        .stack
        .fault(&befalls("drop_response", SETTLEMENT))
        .await;
    let id = scene.ada.sync().await;
    let ended = scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    assert_eq!(ended["attempts"], 1);
    eventually("the message is acknowledged", async || {
        scene.stack.depth("SyncQueue").await == 0
    })
    .await;
    let logged = scene.stack.logged("the command has ended");
    assert_eq!(
        logged.len(),
        1,
        "the repetition was taken for its own success"
    );
    scene.holds().await;
}

#[tokio::test]
async fn fault_09_a_worker_killed_before_its_claim_leaves_the_work_to_the_next_delivery() {
    let scene = Scene::set().await;
    scene.stack.fault(&befalls("kill_before", CLAIM)).await;
    let id = scene.ada.sync().await;
    a_worker_dies(&scene).await;
    let waiting = scene.ada.command(id).await;
    assert_eq!(
        (&waiting["status"], &waiting["attempts"]),
        (&json!("accepted"), &json!(0))
    );
    let ended = scene.ada.until_within(TAKEOVER, id, "over", is_over).await;
    assert_eq!(ended["resultCode"], "SYNC_COMPLETED", "{ended}");
    assert_eq!(ended["attempts"], 1);
    scene.holds().await;
}

#[tokio::test]
async fn fault_10_a_worker_killed_after_its_claim_is_followed_within_ninety_seconds() {
    let scene = Scene::set().await;
    scene.stack.fault(&befalls("kill_after", CLAIM)).await;
    let id = scene.ada.sync().await;
    a_worker_dies(&scene).await;
    let killed = Instant::now();
    let orphan = scene.ada.command(id).await;
    assert_eq!(
        (&orphan["status"], &orphan["attempts"]),
        (&json!("running"), &json!(1))
    );
    assert_eq!(scene.listings().await, 0);
    let ended = scene.ada.until_within(TAKEOVER, id, "over", is_over).await;
    assert!(killed.elapsed() < TAKEOVER);
    assert_eq!(ended["resultCode"], "SYNC_COMPLETED", "{ended}");
    assert_eq!((&ended["attempts"], scene.listings().await), (&json!(2), 1));
    scene.holds().await;
}

#[tokio::test]
async fn fault_12_a_worker_killed_after_its_settlement_is_followed_by_one_that_does_nothing() {
    let scene = Scene::set().await;
    scene.stack.fault(&befalls("kill_after", SETTLEMENT)).await;
    let id = scene.ada.sync().await;
    a_worker_dies(&scene).await;
    let ended = scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    assert_eq!(
        (&ended["attempts"], &ended["effect"]),
        (&json!(1), &json!("applied"))
    );
    let deadline = Instant::now() + TAKEOVER;
    while scene.stack.depth("SyncQueue").await > 0 {
        assert!(Instant::now() < deadline, "it was never delivered again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let late = scene
        .stack
        .logged("late delivery of a command that has ended");
    assert_eq!((late.len(), scene.listings().await), (1, 1));
    scene.holds().await;
}

#[tokio::test]
async fn fault_11_a_worker_killed_before_its_settlement_is_followed_by_one_that_finds_the_work_done()
 {
    let scene = Scene::set().await;
    scene.stack.fault(&befalls("kill_before", SETTLEMENT)).await;
    let key = scene.ada.key(scene.ada.sync().await);
    a_worker_dies(&scene).await;
    assert_eq!(scene.ada.command(key.id).await["status"], "running");
    assert_eq!(
        scene.ada.all("findings").await.len(),
        14,
        "the effect is there"
    );

    // In place of the half minute until the claim lapses and the message comes again.
    scene.stack.backstage.let_pass(&key, &["claim_until"]).await;
    scene
        .stack
        .backstage
        .send("SyncQueue", &message(&key, 0))
        .await;
    let ended = scene.ada.ends_as(key.id, "SYNC_COMPLETED").await;
    assert_eq!(
        (&ended["attempts"], &ended["effect"]),
        (&json!(2), &json!("applied"))
    );
    assert_eq!(scene.listings().await, 1, "what is done is not done again");
    scene.holds().await;
}

#[tokio::test]
async fn fault_13_a_function_that_runs_out_of_time_keeps_what_its_batch_has_settled() {
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
        // Bob's sync waits for GitHub. From here on the function does nothing more, until its timeout.
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
    let again = scene.stack.invoke("sync", &both).await.expect("it ends");
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
async fn fault_15_two_deliveries_at_once_make_one_claim() {
    let scene = Scene::set().await;
    let key = scene.stack.backstage.admit(scene.ada.owner()).await;
    scene.stack.github_fault(&slow_github(1_500)).await;
    let delivery = batch("SyncQueue", &[message(&key, 0)]);
    let (one, other) = join(
        scene.stack.invoke("sync", &delivery),
        scene.stack.invoke("sync", &delivery),
    )
    .await;
    let (one, other) = (one.expect("it ends"), other.expect("it ends"));
    let mut handed_back = [failures(&one), failures(&other)].concat();
    handed_back.sort_unstable();
    assert_eq!(handed_back, ["m0"], "one works, the other gives it back");
    let ended = scene.ada.ends_as(key.id, "SYNC_COMPLETED").await;
    assert_eq!((&ended["attempts"], scene.listings().await), (&json!(1), 1));
    scene.holds().await;
}

#[tokio::test]
async fn fault_16_a_worker_whose_claim_was_taken_over_can_no_longer_settle() {
    let scene = Scene::set().await;
    let key = scene.stack.backstage.admit(scene.ada.owner()).await;
    scene.stack.github_fault(&slow_github(4_000)).await;
    let delivery = batch("SyncQueue", &[message(&key, 0)]);
    let zombie = scene.stack.invoke("sync", &delivery);
    let others = async {
        scene
            .ada
            .until(key.id, "running", |view| view["status"] == "running")
            .await;
        let early = scene
            .stack
            .invoke("sync", &delivery)
            .await
            .expect("it ends");
        assert_eq!(
            failures(&early),
            ["m0"],
            "no second claim while the first lives"
        );
        scene.stack.backstage.let_pass(&key, &["claim_until"]).await;
        let successor = scene
            .stack
            .invoke("sync", &delivery)
            .await
            .expect("it ends");
        assert_eq!(failures(&successor), [""; 0]);
        scene.ada.ends_as(key.id, "SYNC_COMPLETED").await
    };
    let (zombie, ended) = join(zombie, others).await;
    zombie.expect("it notices, and ends");
    assert_eq!(ended["attempts"], 2);
    assert_eq!(scene.ada.command(key.id).await, ended);
    let logs = scene.stack.logs();
    assert!(
        logs.contains("fenced: "),
        "the zombie's writes were refused"
    );
    assert_eq!(scene.stack.logged("the command has ended").len(), 1);
    scene.holds().await;
}

#[tokio::test]
async fn fault_16_a_worker_that_learns_that_its_claim_is_lost_asks_for_nothing_more() {
    let scene = Scene::with(&[], &[ZEPPELIN.0]).await;
    let key = scene.stack.backstage.admit(scene.ada.owner()).await;
    let slow =
        json!({"repository": ZEPPELIN.1, "operation": "list_alerts", "delayMs": 5_000, "times": 1});
    scene.stack.github_fault(&slow).await;
    let delivery = batch("SyncQueue", &[message(&key, 0)]);
    let zombie = scene.stack.invoke("sync", &delivery);
    let successor = async {
        eventually("the first page is asked for", async || {
            scene.stack.github_calls("/dependabot/alerts").await.len() == 1
        })
        .await;
        scene.stack.backstage.let_pass(&key, &["claim_until"]).await;
        scene.stack.invoke("sync", &delivery).await
    };
    let (zombie, successor) = join(zombie, successor).await;
    zombie.expect("it notices, and ends");
    assert_eq!(failures(&successor.expect("it ends")), [""; 0]);
    let pages = scene.stack.github_calls("/dependabot/alerts").await.len();
    assert_eq!(pages, 1 + 4, "the zombie's one, and its successor's");
    scene.holds().await;
}

#[tokio::test]
async fn a_sync_under_way_shows_how_far_it_is() {
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

#[tokio::test]
async fn fault_17_a_delivery_after_the_end_is_acknowledged_and_counted() {
    let scene = Scene::set().await;
    let key = scene.ada.key(scene.ada.sync().await);
    let ended = scene.ada.ends_as(key.id, "SYNC_COMPLETED").await;
    for _ in 0..3 {
        scene
            .stack
            .backstage
            .send("SyncQueue", &message(&key, 0))
            .await;
    }
    eventually("they are acknowledged", async || {
        scene.stack.depth("SyncQueue").await == 0
    })
    .await;
    let late = scene
        .stack
        .logged("late delivery of a command that has ended");
    assert_eq!(late.len(), 3);
    assert_eq!(scene.ada.command(key.id).await, ended);
    assert_eq!(scene.listings().await, 1);
    scene.holds().await;
}
