//! `reopen_finding`: its effect is a change of the alert on GitHub.

use std::time::Duration;

use domain::{
    command::{Action, CommandId, CommandType, ReopenFinding},
    result_code::ResultCode,
};
use serde_json::{Value, json};

use super::{Subject, Write};
use crate::{
    dismissal::id,
    reopening::reopening,
    scene::{PYGOAT, Scene},
};

pub(super) struct Reopenings;

/// The dataset's dismissed alert.
const ALERT: u32 = 9;

impl Subject for Reopenings {
    const TYPE: CommandType = CommandType::ReopenFinding;
    const SUCCESS: ResultCode = ResultCode::FindingReopened;
    const SETTLEMENT: Write = ("TransactWriteItems", "FINDING_REOPENED");
    const STORE: &'static [Write] = &[("Query", "owner#"), ("BatchGetItem", "finding#")];
    const REQUESTS_IF_FOUND_DONE: usize = 1;

    async fn scene() -> Scene {
        Scene::synced(&[PYGOAT.0]).await
    }

    fn request() -> Value {
        reopening(ALERT)
    }

    fn action() -> Action {
        ReopenFinding {
            finding: id(ALERT).parse().expect("a finding's id"),
        }
        .into()
    }

    async fn requests(scene: &Scene) -> usize {
        scene.changes(ALERT).await.len()
    }

    async fn effects(scene: &Scene) -> usize {
        scene.changes_made().await
    }

    async fn hold_up(scene: &Scene, time: Duration) {
        let slow = json!({"delayMs": time.as_millis(), "times": 1});
        scene.changes_meet(&slow).await;
    }

    async fn fail(scene: &Scene) {
        scene.changes_meet(&json!({"status": 502})).await;
    }

    async fn is_unsettled(scene: &Scene) {
        assert_eq!(scene.finding(ALERT).await["status"], "ignored");
    }

    async fn has_succeeded(scene: &Scene, id: CommandId) {
        let finding = scene.finding(ALERT).await;
        assert_eq!(
            (&finding["status"], &finding["ignoredReason"]),
            (&json!("open"), &Value::Null)
        );
        assert_eq!(scene.audited(id).await, ["finding_reopened"]);
    }
}
