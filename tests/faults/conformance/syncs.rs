//! `sync` of one repository with one page. Its effect is in the store, so a second effect shows as a second listing.

use std::time::Duration;

use domain::{
    command::{Action, CommandId, CommandType, SyncFindings},
    result_code::ResultCode,
};
use serde_json::{Value, json};

use super::{Subject, Write};
use crate::scene::{PYGOAT, Scene};

pub(super) struct Syncs;

/// Pygoat's alerts.
const ALERTS: usize = 14;

fn listing() -> Value {
    json!({"repository": PYGOAT.1, "operation": "list_alerts"})
}

impl Subject for Syncs {
    const TYPE: CommandType = CommandType::Sync;
    const SUCCESS: ResultCode = ResultCode::SyncCompleted;
    const SETTLEMENT: Write = ("TransactWriteItems", "SYNC_COMPLETED");
    const STORE: &'static [Write] = &[
        ("Query", "owner#"),
        ("BatchGetItem", "finding#"),
        ("TransactWriteItems", "finding#"),
    ];
    const REQUESTS_IF_FOUND_DONE: usize = 1;

    async fn scene() -> Scene {
        Scene::set().await
    }

    fn request() -> Value {
        json!({"type": "sync"})
    }

    fn action() -> Action {
        SyncFindings::all().into()
    }

    async fn requests(scene: &Scene) -> usize {
        scene.listings().await
    }

    async fn effects(scene: &Scene) -> usize {
        scene.ada.all("findings").await.len() / ALERTS
    }

    async fn hold_up(scene: &Scene, time: Duration) {
        let mut slow = listing();
        slow["delayMs"] = json!(time.as_millis());
        slow["times"] = json!(1);
        scene.stack.github_fault(&slow).await;
    }

    async fn fail(scene: &Scene) {
        let mut fails = listing();
        fails["status"] = json!(502);
        scene.stack.github_fault(&fails).await;
    }

    async fn has_succeeded(scene: &Scene, id: CommandId) {
        assert_eq!(scene.ada.all("findings").await.len(), ALERTS);
        assert_eq!(scene.audited(id).await, ["sync_completed"]);
    }
}
