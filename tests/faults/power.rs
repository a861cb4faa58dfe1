//! The machine loses power.

use std::time::Duration;

use serde_json::json;
use tests::{Stack, eventually, is_alive, is_over};

use crate::{
    oracle,
    scene::{PYGOAT, ada},
};

#[tokio::test]
async fn fault_37_a_stack_resumes_from_its_data_after_a_power_loss() {
    let data = std::env::temp_dir().join(format!("faults-{}", uuid::Uuid::new_v4()));
    let mut stack = Stack::start_on(&data, &[]).await;
    let ada = ada(&stack).await;
    stack.backstage.enable(ada.owner(), &[PYGOAT.0]).await;
    let hangs = json!({"repository": PYGOAT.1, "operation": "list_alerts", "delayMs": 20_000});
    stack.github_fault(&hangs).await;
    let id = ada.sync().await;
    ada.until(id, "running", |view| view["status"] == "running")
        .await;
    let functions = stack.function_pids().await;
    assert!(functions.len() >= 4, "{functions:?}");
    stack.kill();
    eventually("no function is left", async || {
        !functions.iter().any(|pid| is_alive(*pid))
    })
    .await;
    drop(stack);

    let stack = Stack::start_on(&data, &[]).await;
    let ada = ada.at(stack.url());
    let takeover = Duration::from_secs(90);
    let ended = ada.until_within(takeover, id, "ended", is_over).await;
    assert_eq!(ended["resultCode"], "SYNC_COMPLETED", "{ended}");
    assert_eq!(ended["attempts"], 2);
    oracle::check(&stack, &[&ada]).await;
    // This file holds, or held, every message that was ever queued.
    let queued = std::fs::read(data.join("sqs.db")).expect("the queues are kept there");
    let queued = String::from_utf8_lossy(&queued);
    for secret in oracle::SECRETS {
        assert!(!queued.contains(secret), "{secret} in a message");
    }
    drop(stack);
    std::fs::remove_dir_all(&data).expect("it can be removed");
}
