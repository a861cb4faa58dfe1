//! Calls so rare that no other test makes them. Each needs a permission of its own, and the local stack refuses it
//! unless the function's role in template.yaml grants it.

use domain::Timestamp;
use runtime::queue::{Message, ScheduledSync};
use serde_json::{Value, json};
use tests::{batch, eventually, failures, message};
use uuid::Uuid;

use crate::{
    analysing::transaction,
    oracle,
    scene::{PYGOAT, Scene},
};

const HIDES: &str = "sqs:ChangeMessageVisibility";

impl Scene {
    /// Waits until a function has used a permission of its role on a queue.
    async fn uses(&self, function: &str, action: &str, queue: &str) {
        let resource = format!("arn:aws:sqs:us-east-1:000000000000:{queue}");
        let permission = json!({"action": action, "resource": resource});
        eventually(&format!("{function} uses {permission}"), async || {
            let permissions = self.stack.get("/local/aws/permissions").await;
            let used = permissions[function]["used"].as_array().expect("a list");
            used.contains(&permission)
        })
        .await;
    }

    /// Queues a scheduled sync of the owner.
    async fn schedules(&self) {
        let sync = Message::ScheduledSync(ScheduledSync {
            owner: self.ada.owner().clone(),
            pass: Uuid::new_v4(),
            began: now(),
        });
        let body = sync.body();
        self.stack.backstage.send("ScheduledSyncQueue", &body).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the stack lives in real time")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[tokio::test]
async fn a_dead_letter_waits_for_the_worker_that_holds_the_lease() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let slow = json!({"repository": "*", "operation": "*", "delayMs": 6_000});
    scene.stack.github_fault(&slow).await;
    let slow = json!({"operation": "create_session", "delayMs": 6_000});
    scene.stack.agent_fault(&slow).await;
    let findings = scene.open_findings().await;
    let commands = [
        (
            "Sync",
            "SYNC_COMPLETED",
            scene.ada.key(scene.ada.sync().await),
        ),
        ("Dismiss", "FINDING_DISMISSED", scene.dismiss(14).await),
        (
            "Analyse",
            "ANALYSIS_LAUNCH_STARTED",
            scene.ada.key(scene.analyse(&findings[0]).await),
        ),
    ];
    for (queues, _, key) in &commands {
        let running = |view: &Value| view["status"] == "running";
        scene.ada.until(key.id, "running", running).await;
        let queue = format!("{queues}DeadLetterQueue");
        let dead = batch(&queue, &[message(key, 0)]);
        let answer = scene.stack.invoke("dead-letter", &dead).await;
        assert_eq!(
            failures(&answer.expect("the invocation succeeds")),
            ["m0"],
            "{queues}"
        );
        scene.uses("dead-letter", HIDES, &queue).await;
    }
    scene.stack.heal().await;
    for (_, code, key) in &commands {
        scene.ada.ends_as(key.id, code).await;
    }
    scene.analysis_is(&findings[0], "completed").await;
    scene.analyses_hold().await;
}

#[tokio::test]
async fn a_rate_limited_launch_continues_in_a_delayed_message() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let finding = scene.open_findings().await.remove(0);
    let limited = json!({"repository": "*", "operation": "installation_token", "status": 429,
        "headers": {"retry-after": "2"}, "times": 1});
    scene.stack.github_fault(&limited).await;
    let id = scene.analyse(&finding).await;
    let ended = scene.ada.ends_as(id, "ANALYSIS_LAUNCH_STARTED").await;
    assert_eq!(ended["attempts"], 2, "one before the limit, one after it");
    let released = "the lease is released; the message is redelivered";
    assert_eq!(scene.stack.logged(released).len(), 0);
    scene.analysis_is(&finding, "completed").await;
    scene.analyses_hold().await;
}

#[tokio::test]
async fn a_scheduled_sync_waits_out_rate_limits_and_github_failures() {
    let scene = Scene::set().await;
    let ended = async |count: usize| {
        eventually("the scheduled sync ends", async || {
            scene.stack.logged("a scheduled sync has ended").len() == count
        })
        .await;
    };
    let limited = json!({"repository": "*", "operation": "list_alerts", "status": 429,
        "headers": {"retry-after": "2"}, "times": 1});
    scene.stack.github_fault(&limited).await;
    scene.schedules().await;
    ended(1).await;
    scene
        .uses("sync", "sqs:SendMessage", "ScheduledSyncQueue")
        .await;

    let fails = json!({"repository": "*", "operation": "list_repositories", "status": 502});
    scene.stack.github_fault(&fails).await;
    scene.schedules().await;
    eventually("it fails", async || {
        let failed = "the scheduled sync failed; its message is redelivered";
        !scene.stack.logged(failed).is_empty()
    })
    .await;
    scene.uses("sync", HIDES, "ScheduledSyncQueue").await;
    // The redelivery is in a minute; the test does not wait for it.
    scene.holds().await;
}

#[tokio::test]
async fn failed_recordings_and_erasures_retry_before_the_visibility_timeout() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let finding = scene.open_findings().await.remove(0);
    scene
        .stack
        .fault(&refused("record-analysis", "TransactWriteItems"))
        .await;
    let id = scene.analyse(&finding).await;
    scene.ada.ends_as(id, "ANALYSIS_LAUNCH_STARTED").await;
    // The visibility timeouts, 90 s of CallbackQueue and 180 s of EraseQueue, are longer than any wait in this test.
    scene.analysis_is(&finding, "completed").await;
    scene.uses("record-analysis", HIDES, "CallbackQueue").await;
    scene.analyses_hold().await;

    scene.stack.fault(&refused("erase", "BatchWriteItem")).await;
    let asked = scene.ada.try_erase().await.expect("the API answers");
    assert_eq!(asked.status, 202, "{}", asked.body);
    let findings = format!("finding#{}", scene.ada.owner());
    eventually("the findings are gone", async || {
        scene.stack.backstage.items(&findings).await.is_empty()
    })
    .await;
    scene.uses("erase", HIDES, "EraseQueue").await;
    let interrupted = "the erasure was interrupted; its message is redelivered";
    assert_eq!(scene.stack.logged(interrupted).len(), 1);
    oracle::check(&scene.stack, &[]).await;
}

/// Fails one call of a function with an error that the AWS client does not retry.
fn refused(function: &str, operation: &str) -> Value {
    let mut fault = transaction(function, 0, "error");
    fault["operation"] = json!(operation);
    fault["status"] = json!(400);
    fault["code"] = json!("ValidationException");
    fault
}
