//! An account whose concurrency is far below what the event sources may use: Lambda throttles, and nothing is lost.

use std::time::Duration;

use domain::command::CommandId;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{Caller, Stack, command_id, is_over};
use tokio::time::{Instant, sleep};

use crate::{
    oracle,
    scene::{PYGOAT, Scene},
};

/// Far below the accepted timeout, after which the reconciler would end what still waits.
const ENOUGH: Duration = Duration::from_secs(120);

/// Requests a command as a client does that is throttled: again, with the same key.
async fn request(caller: &Caller, command: &Value, key: &str) -> CommandId {
    let deadline = Instant::now() + ENOUGH;
    loop {
        let answer = caller.post(command, Some(key)).await;
        if answer.status == StatusCode::ACCEPTED {
            return command_id(&answer.body);
        }
        busy(answer.status, &answer.body);
        assert!(Instant::now() < deadline, "never admitted");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Polls a command to its end.
async fn ends_as(caller: &Caller, id: CommandId, code: &str) {
    let deadline = Instant::now() + ENOUGH;
    loop {
        let answer = caller.get(&format!("commands/{id}")).await;
        match answer.status {
            StatusCode::OK if is_over(&answer.body) => {
                assert_eq!(answer.body["resultCode"], code, "{}", answer.body);
                return;
            }
            StatusCode::OK => {}
            status => busy(status, &answer.body),
        }
        assert!(Instant::now() < deadline, "never ended: {}", answer.body);
        sleep(Duration::from_millis(300)).await;
    }
}

/// What the gateway answers for a throttled function, and a function that waits for the machine in vain.
#[track_caller]
fn busy(status: StatusCode, body: &Value) {
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
}

async fn throttles(stack: &Stack) -> u64 {
    let functions = stack.functions().await;
    let throttles = functions.iter();
    throttles
        .filter_map(|function| function["throttles"].as_u64())
        .sum()
}

/// Several owners sync and dismiss at once, GitHub is slow, and the account runs this many invocations at once. Returns
/// how many invocations were throttled.
async fn every_command_ends(concurrency: u32) -> u64 {
    let options = [format!("--concurrency={concurrency}")];
    let scene = Scene::with(&options.each_ref().map(String::as_str), &[PYGOAT.0]).await;
    let mut owners = vec![];
    for name in ["bob", "cleo", "dan"] {
        owners.push(scene.another(name).await);
    }
    let everybody = || owners.iter().chain([&scene.ada]);
    let slow = json!({"repository": "*", "operation": "*", "delayMs": 700});
    scene.stack.github_fault(&slow).await;
    let sync = async |owner: &Caller, key: String| {
        let id = request(owner, &json!({"type": "sync"}), &key).await;
        ends_as(owner, id, "SYNC_COMPLETED").await;
    };
    let syncs = everybody().flat_map(|owner| (0..3).map(move |n| (owner, n)));
    join_all(syncs.map(|(owner, n)| sync(owner, format!("sync-{n}")))).await;
    // Each owner dismisses an alert of its own.
    let dismissals = everybody().zip(10..);
    let findings = scene.open_findings().await;
    join_all(dismissals.map(async |(owner, n): (&Caller, usize)| {
        let finding = &findings[n - 10];
        let dismiss =
            json!({"type": "dismiss_finding", "findingId": finding, "reason": "not_used"});
        let id = request(owner, &dismiss, "dismiss").await;
        ends_as(owner, id, "FINDING_DISMISSED").await;
    }))
    .await;
    // All owners look at one repository, and each dismissal is news to the others.
    join_all(everybody().map(|owner| sync(owner, "last".to_owned()))).await;
    scene.stack.heal().await;
    let throttles = throttles(&scene.stack).await;
    let everybody: Vec<_> = everybody().collect();
    oracle::check(&scene.stack, &everybody).await;
    throttles
}

#[tokio::test]
async fn fault_22_with_a_concurrency_of_ten_every_command_ends() {
    // A fast machine may never run ten at once.
    every_command_ends(10).await;
}

#[tokio::test]
async fn fault_22_with_a_concurrency_of_three_every_command_ends() {
    assert_ne!(every_command_ends(3).await, 0, "nothing was throttled");
}
