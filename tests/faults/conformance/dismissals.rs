//! `dismiss_finding`: its effect is a change of the alert on GitHub.

use std::time::Duration;

use domain::{
    command::{Action, CommandId, CommandType, DismissFinding},
    finding::DismissReason,
    result_code::ResultCode,
};
use serde_json::{Value, json};

use super::{Subject, Write};
use crate::{
    dismissal::{dismissal, id},
    scene::{PYGOAT, Scene},
};

pub(super) struct Dismissals;

/// The alert to dismiss.
const ALERT: u32 = 14;

impl Subject for Dismissals {
    const TYPE: CommandType = CommandType::DismissFinding;
    const SUCCESS: ResultCode = ResultCode::FindingDismissed;
    const SETTLEMENT: Write = ("TransactWriteItems", "FINDING_DISMISSED");
    const STORE: &'static [Write] = &[("Query", "owner#"), ("BatchGetItem", "finding#")];
    const REQUESTS_IF_FOUND_DONE: usize = 1;

    async fn scene() -> Scene {
        Scene::synced(&[PYGOAT.0]).await
    }

    fn request() -> Value {
        dismissal(ALERT)
    }

    fn action() -> Action {
        DismissFinding {
            finding: id(ALERT).parse().expect("a finding's id"),
            reason: DismissReason::NotUsed,
            comment: None,
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
        assert_eq!(scene.finding(ALERT).await["status"], "open");
    }

    async fn has_succeeded(scene: &Scene, id: CommandId) {
        let finding = scene.finding(ALERT).await;
        assert_eq!(
            (&finding["status"], &finding["ignoredReason"]),
            (&json!("ignored"), &json!("not_used"))
        );
        assert_eq!(scene.audited(id).await, ["finding_dismissed"]);
    }
}
