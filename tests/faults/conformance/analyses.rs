//! `start_analysis`: its effect is a session of the agent, whose callback is held until the faults are cleared. Every
//! failure frees the slot.

use std::time::Duration;

use domain::{
    command::{Action, CommandId, CommandType, StartAnalysis},
    result_code::ResultCode,
};
use serde_json::{Value, json};
use tests::{command_id, eventually};

use super::{Subject, Write};
use crate::{
    analysing::held,
    dismissal::id,
    scene::{PYGOAT, Scene},
};

pub(super) struct Analyses;

fn finding() -> String {
    id(14)
}

/// The agent's sessions for the finding.
async fn sessions(scene: &Scene) -> Vec<Value> {
    let mut sessions = scene.stack.agent_sessions().await;
    sessions.retain(|session| session["findingId"] == finding());
    sessions
}

/// The number of requests for a token of GitHub.
async fn tokens(scene: &Scene) -> usize {
    scene.stack.github_calls("/access_tokens").await.len()
}

impl Subject for Analyses {
    const TYPE: CommandType = CommandType::StartAnalysis;
    const SUCCESS: ResultCode = ResultCode::AnalysisLaunchStarted;
    const SETTLEMENT: Write = ("TransactWriteItems", "ANALYSIS_LAUNCH_STARTED");
    const STORE: &'static [Write] = &[
        ("Query", "owner#"),
        ("BatchGetItem", "finding#"),
        // The slot.
        ("TransactWriteItems", "in_flight"),
    ];
    /// The second request has the idempotency key of the first, and gets its session.
    const REQUESTS_IF_FOUND_DONE: usize = 2;

    async fn scene() -> Scene {
        let scene = Scene::synced(&[PYGOAT.0]).await;
        assert_eq!(tokens(&scene).await, 1, "the sync's");
        scene.stack.agent_fault(&held()).await;
        scene
    }

    fn request() -> Value {
        json!({"type": "start_analysis", "findingId": finding()})
    }

    fn action() -> Action {
        StartAnalysis::of(finding().parse().expect("a finding's id")).into()
    }

    async fn requests(scene: &Scene) -> usize {
        let sessions = sessions(scene).await.into_iter();
        let requests = sessions.filter_map(|session| session["requests"].as_u64());
        usize::try_from(requests.sum::<u64>()).expect("few")
    }

    async fn effects(scene: &Scene) -> usize {
        sessions(scene).await.len()
    }

    /// Delays the agent's token: GitHub's simulator shows a request before it answers, the agent's does not.
    async fn hold_up(scene: &Scene, time: Duration) {
        let slow = json!({"repository": "*", "operation": "installation_token",
            "delayMs": time.as_millis(), "times": 1});
        scene.stack.github_fault(&slow).await;
    }

    async fn is_held_up(scene: &Scene) -> bool {
        tokens(scene).await > 1
    }

    async fn fail(scene: &Scene) {
        let fails = json!({"operation": "create_session", "status": 503});
        scene.stack.agent_fault(&fails).await;
    }

    async fn is_unsettled(scene: &Scene) {
        assert_eq!(scene.analysis(&finding()).await["status"], "pending");
        assert_eq!(scene.slots_taken().await, 1);
    }

    async fn has_succeeded(scene: &Scene, id: CommandId) {
        let (session, known) = (scene.session(id).await, scene.analysis(&finding()).await);
        for id in ["cloudAgentSessionId", "cliSessionId"] {
            assert_eq!(known[id], session[id], "{id}");
        }
        assert!(
            scene
                .audited(id)
                .await
                .contains(&"analysis_started".to_owned())
        );
    }

    async fn has_failed(scene: &Scene, view: &Value) {
        eventually("the slot is free", async || scene.slots_taken().await == 0).await;
        let analysis = scene.analysis(&finding()).await;
        let audited = scene.audited(command_id(view)).await;
        if view["attempts"] == 0 {
            assert_eq!((analysis, audited.len()), (Value::Null, 0));
            return;
        }
        // Every attempt takes the slot before it fails.
        assert_eq!(
            (&analysis["status"], &analysis["failureCode"]),
            (&json!("failed"), &view["resultCode"]),
            "{analysis}"
        );
        assert_eq!(audited, ["analysis_failed"]);
    }

    async fn holds(scene: &Scene) {
        scene.analyses_hold().await;
        assert_eq!(scene.slots_taken().await, 0);
    }
}
