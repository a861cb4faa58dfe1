//! One owner's backlog must not delay another owner.

use serde_json::{Value, json};
use tests::eventually;

use crate::scene::Scene;

/// More commands than all of the function's processes receive at once.
const BACKLOG: usize = 40;
/// The largest batch of the function's queue.
const BATCH: usize = 5;

fn begun(commands: &[Value]) -> Vec<&str> {
    let times = commands.iter();
    times
        .filter_map(|command| command["startedAt"].as_str())
        .collect()
}

#[tokio::test]
async fn an_owners_backlog_does_not_delay_another_owner() {
    let scene = Scene::set().await;
    let bob = scene.another("bob").await;
    let slow = json!({"repository": "*", "operation": "list_alerts", "delayMs": 4_000});
    scene.stack.github_fault(&slow).await;
    for _ in 0..BACKLOG {
        scene.ada.sync().await;
    }
    let id = bob.sync().await;
    let before = scene.ada.all("commands").await;
    let before = begun(&before).len();
    assert!(
        before + BATCH < BACKLOG,
        "{before} of {BACKLOG} have begun already: there is no backlog"
    );
    bob.until(id, "running", |view| !view["startedAt"].is_null())
        .await;
    scene.stack.heal().await;
    eventually("all have begun", async || {
        begun(&scene.ada.all("commands").await).len() == BACKLOG
    })
    .await;
    let command = bob.command(id).await;
    let started = command["startedAt"].as_str().expect("it has begun");
    let commands = scene.ada.all("commands").await;
    let earlier = begun(&commands).into_iter().filter(|time| *time < started);
    // Only commands that had begun before, and those in the same batch.
    let earlier = earlier.count();
    assert!(
        earlier <= before + BATCH,
        "{earlier} of {BACKLOG} went first, {before} had begun"
    );
}
