//! Faults between a launch, the agent and its callback.

use domain::{command::CommandId, result_code::ResultCode};
use futures::future::{join, join_all};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{batch, eventually, failures};

use crate::{
    analysing::{callback_body, held, transaction},
    scene::{NODEGOAT, PYGOAT, Scene},
};

const LAUNCHED: &str = "ANALYSIS_LAUNCH_STARTED";

/// A launch has two transactions: the first takes the slot, the second settles.
const SLOT: u64 = 0;
const SETTLEMENT: u64 = 1;

/// Makes every send of `api` fail, so that no callback is queued.
fn unqueued() -> Value {
    json!({"service": "sqs", "operation": "SendMessage", "function": "api", "effect": "error"})
}

/// Makes the agent answer launches with this status.
fn launch(status: u16) -> Value {
    json!({"operation": "create_session", "status": status})
}

#[tokio::test]
async fn fault_10_a_launch_killed_with_its_slot_resumes_and_asks_the_agent_once() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let finding = scene.open_findings().await.remove(0);
    let dies = transaction("analyse", SLOT, "kill_after");
    scene.stack.fault(&dies).await;
    let key = scene.ada.key(scene.analyse(&finding).await);
    scene.dies("analyse", 1).await;
    assert_eq!(scene.stack.agent_sessions().await, [Value::Null; 0]);
    assert_eq!(scene.slots_taken().await, 1);
    assert_eq!(scene.analysis(&finding).await["status"], "pending");

    scene.taken_over(&key).await;
    let ended = scene.ada.ends_as(key.id, LAUNCHED).await;
    assert_eq!(
        (&ended["attempts"], &ended["effect"]),
        (&json!(2), &json!("applied"))
    );
    assert_eq!(scene.session(key.id).await["requests"], 1);
    scene.analysis_is(&finding, "completed").await;
    let told = ["analysis_started", "analysis_completed"];
    assert_eq!(scene.audited(key.id).await, told);
    scene.analyses_hold().await;
}

#[tokio::test]
async fn fault_11_a_callback_between_two_launch_attempts_is_not_lost() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let finding = scene.open_findings().await.remove(0);
    let dies = transaction("analyse", SETTLEMENT, "kill_before");
    scene.stack.fault(&dies).await;
    let key = scene.ada.key(scene.analyse(&finding).await);
    scene.dies("analyse", 1).await;
    scene.analysis_is(&finding, "completed").await;
    assert_eq!(scene.slots_taken().await, 0);
    assert_eq!(scene.ada.command(key.id).await["status"], "running");

    scene.taken_over(&key).await;
    let ended = scene.ada.ends_as(key.id, LAUNCHED).await;
    assert_eq!(ended["attempts"], 2);
    let (session, known) = (scene.session(key.id).await, scene.analysis(&finding).await);
    for id in ["cloudAgentSessionId", "cliSessionId"] {
        assert_eq!(known[id], session[id], "{id}");
    }
    assert_eq!(known["status"], "completed");
    let mut told = scene.audited(key.id).await;
    told.sort_unstable();
    assert_eq!(told, ["analysis_completed", "analysis_started"]);
    scene.analyses_hold().await;
}

#[tokio::test]
async fn fault_11_a_recorder_killed_before_or_after_its_write_records_once() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let findings = scene.open_findings().await;
    for (finding, effect, times) in [
        (&findings[0], "kill_before", 1),
        (&findings[1], "kill_after", 2),
    ] {
        let dies = transaction("record-analysis", 0, effect);
        scene.stack.fault(&dies).await;
        let id = scene.analyse(finding).await;
        scene.ada.ends_as(id, LAUNCHED).await;
        scene.dies("record-analysis", times).await;
        let recorded = effect == "kill_after";
        assert_eq!(scene.slots_taken().await, usize::from(!recorded));
        let delivery = scene.callback_message(finding, id);
        let again = batch("CallbackQueue", &[delivery]);
        for _ in 0..2 {
            let answer = scene.stack.invoke("record-analysis", &again).await;
            assert_eq!(failures(&answer.expect("the invocation succeeds")), [""; 0]);
        }
        let analysis = scene.analysis(finding).await;
        assert_eq!(analysis["status"], "completed", "{effect}");
        assert!(!analysis["result"].is_null());
        assert_eq!(scene.slots_taken().await, 0);
        let told = ["analysis_started", "analysis_completed"];
        assert_eq!(scene.audited(id).await, told, "{effect}");
    }
    scene.analyses_hold().await;
}

#[tokio::test]
async fn fault_28_a_launch_whose_answer_is_lost_creates_one_session() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let findings = scene.open_findings().await;
    let lost = json!({"operation": "create_session", "effect": "drop_response", "times": 1});
    let unavailable =
        json!({"operation": "create_session", "status": 503, "apply": true, "times": 1});
    // Loses the answer to every try of one delivery.
    let often = json!({"operation": "create_session", "effect": "drop_response", "times": 3});
    for (finding, fault) in findings.iter().zip([lost, unavailable, often]) {
        scene.stack.agent_fault(&fault).await;
        let id = scene.analyse(finding).await;
        let ended = scene.ada.ends_as(id, LAUNCHED).await;
        assert_eq!(ended["effect"], "applied");
        let requests = scene.session(id).await["requests"].as_u64();
        assert!(requests >= Some(2), "{fault}: {requests:?}");
        let analysis = scene.analysis_is(finding, "completed").await;
        assert!(!analysis["cliSessionId"].is_null(), "{fault}");
    }
    scene.analyses_hold().await;
}

#[tokio::test]
async fn a_callback_before_the_launch_is_recorded_keeps_both_session_ids() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let finding = scene.open_findings().await.remove(0);
    let mut slow = transaction("analyse", SETTLEMENT, "delay");
    slow["delayMs"] = json!(4_000);
    scene.stack.fault(&slow).await;
    let id = scene.analyse(&finding).await;
    scene.analysis_is(&finding, "completed").await;
    assert_eq!(scene.ada.command(id).await["status"], "running");
    let ended = scene.ada.ends_as(id, LAUNCHED).await;
    assert_eq!(ended["attempts"], 1);
    let (session, known) = (scene.session(id).await, scene.analysis(&finding).await);
    for id in ["cloudAgentSessionId", "cliSessionId"] {
        assert_eq!(known[id], session[id], "{id}");
    }
    assert_eq!(known["status"], "completed");
    assert_eq!(
        (scene.slots_taken().await, &session["requests"]),
        (0, &json!(1))
    );
    scene.analyses_hold().await;
}

#[tokio::test]
async fn twenty_concurrent_launches_start_three_analyses() {
    let scene = Scene::synced(&[NODEGOAT.0]).await;
    let findings = scene.open_findings().await;
    let (twenty, more) = findings.split_at(20);
    scene.stack.agent_fault(&held()).await;
    let launched = join_all(twenty.iter().map(|finding| async {
        let id = scene.analyse(finding).await;
        scene.ada.ended(id).await
    }))
    .await;
    let with = |code: &str| {
        let found = launched.iter().filter(|view| view["resultCode"] == code);
        found.count()
    };
    assert_eq!((with(LAUNCHED), with("OWNER_CAP_REACHED")), (3, 17));
    let refused = launched
        .iter()
        .filter(|view| view["resultCode"] == "OWNER_CAP_REACHED");
    for view in refused {
        assert_eq!(view["status"], "failed");
        assert_eq!(view["effect"], "none", "{view}");
        assert_eq!(
            view["message"].as_str(),
            ResultCode::OwnerCapReached.sentence()
        );
    }
    assert_eq!(scene.stack.agent_sessions().await.len(), 3);
    assert_eq!(scene.slots_taken().await, 3);

    scene.stack.heal().await;
    eventually("all three have ended", async || {
        scene.slots_taken().await == 0
    })
    .await;
    let id = scene.analyse(&more[0]).await;
    scene.ada.ends_as(id, LAUNCHED).await;
    scene.analyses_hold().await;
}

#[tokio::test]
async fn a_restart_replaces_an_analysis_and_ignores_its_late_callback() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let finding = scene.open_findings().await.remove(0);
    scene.stack.agent_fault(&held()).await;
    let first = scene.analyse(&finding).await;
    scene.ada.ends_as(first, LAUNCHED).await;
    let second = scene.analyse(&finding).await;
    let refused = scene.ada.ends_as(second, "ALREADY_IN_PROGRESS").await;
    assert_eq!(
        (&refused["status"], &refused["effect"]),
        (&json!("no_op"), &json!("none"))
    );
    assert_eq!(
        refused["message"].as_str(),
        ResultCode::AlreadyInProgress.sentence()
    );

    let third = scene.restart(&finding).await;
    let restarted = scene.ada.ends_as(third, "ANALYSIS_RESTART_STARTED").await;
    assert_eq!(
        (
            &restarted["status"],
            &restarted["effect"],
            &restarted["message"]
        ),
        (&json!("succeeded"), &json!("applied"), &Value::Null)
    );
    assert_eq!(scene.slots_taken().await, 1);
    let (old, new) = (scene.session(first).await, scene.session(third).await);
    assert_eq!(
        (&old["status"], &new["status"]),
        (&json!("interrupted"), &json!("running"))
    );
    let running = scene.analysis(&finding).await;
    assert_eq!(running["cloudAgentSessionId"], new["cloudAgentSessionId"]);
    let session = old["cloudAgentSessionId"].as_str().expect("an id");
    let answer = scene
        .stack
        .callback(session, &callback_body(&old, "completed"))
        .await;
    assert_eq!(answer, 202);
    assert_eq!(scene.analysis(&finding).await, running);
    let late = batch("CallbackQueue", &[scene.callback_message(&finding, first)]);
    let answer = scene.stack.invoke("record-analysis", &late).await;
    assert_eq!(failures(&answer.expect("the invocation succeeds")), [""; 0]);
    assert_eq!(scene.analysis(&finding).await, running);
    assert_eq!(scene.slots_taken().await, 1);

    scene.stack.heal().await;
    let completed = scene.analysis_is(&finding, "completed").await;
    assert_eq!(completed["cloudAgentSessionId"], new["cloudAgentSessionId"]);
    assert_eq!(scene.audited(first).await, ["analysis_started"]);
    scene.analyses_hold().await;
}

#[tokio::test]
async fn fault_11_a_replaced_launch_of_a_dead_worker_has_an_unknown_effect() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let finding = scene.open_findings().await.remove(0);
    scene.stack.agent_fault(&held()).await;
    let dies = transaction("analyse", SETTLEMENT, "kill_before");
    scene.stack.fault(&dies).await;
    let first = scene.ada.key(scene.analyse(&finding).await);
    scene.dies("analyse", 1).await;
    let second = scene.restart(&finding).await;
    scene.ada.ends_as(second, "ANALYSIS_RESTART_STARTED").await;
    let running = scene.analysis(&finding).await;

    scene.taken_over(&first).await;
    let ended = scene.ada.ends_as(first.id, "ALREADY_IN_PROGRESS").await;
    assert_eq!(ended["effect"], "unknown", "the agent has a session of it");
    assert_eq!(scene.analysis(&finding).await, running);
    assert_eq!(scene.slots_taken().await, 1);
    scene.stack.heal().await;
    scene.analysis_is(&finding, "completed").await;
    scene.analyses_hold().await;
}

/// A token with the claims and the key id of the agent's, signed with another key.
fn forged(scene: &Scene, finding: &str, attempt: CommandId) -> String {
    let header = Header {
        kid: Some("local".to_owned()),
        ..Header::new(Algorithm::HS256)
    };
    let claims = json!({
        "aud": "security-agent/analysis-callback", "sub": scene.ada.owner().to_string(),
        "finding": finding, "attempt": attempt.to_string(), "exp": 4_102_444_800_u64,
    });
    let key = EncodingKey::from_secret(b"another key of at least thirty-two bytes");
    encode(&header, &claims, &key).expect("signed")
}

#[tokio::test]
async fn fault_35_replayed_late_outdated_or_forged_callbacks_change_nothing() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let finding = scene.open_findings().await.remove(0);
    scene
        .stack
        .agent_fault(&json!({"operation": "callback", "effect": "duplicate", "times": 1}))
        .await;
    let first = scene.analyse(&finding).await;
    scene.ada.ends_as(first, LAUNCHED).await;
    let completed = scene.analysis_is(&finding, "completed").await;
    eventually("both callbacks are answered", async || {
        scene.session(first).await["settled"] == true
    })
    .await;
    let session = scene.session(first).await;
    let answers: Vec<&Value> = session["callbacks"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|call| &call["answer"])
        .collect();
    assert_eq!(answers, [&json!(202), &json!(202)]);
    let id = session["cloudAgentSessionId"].as_str().expect("an id");
    for status in ["completed", "failed", "interrupted"] {
        let answer = scene
            .stack
            .callback(id, &callback_body(&session, status))
            .await;
        assert_eq!(answer, 202, "late: {status}");
    }
    assert_eq!(scene.analysis(&finding).await, completed, "replayed, late");

    // Of a replaced attempt, and of another session.
    scene.stack.agent_fault(&held()).await;
    let second = scene.analyse(&finding).await;
    scene.ada.ends_as(second, LAUNCHED).await;
    let running = scene.analysis(&finding).await;
    let outdated = scene
        .stack
        .callback(id, &callback_body(&session, "completed"))
        .await;
    assert_eq!(outdated, 202);
    let current = scene.session(second).await;
    let id = current["cloudAgentSessionId"].as_str().expect("an id");
    let mut elsewhere = callback_body(&current, "unknown");
    elsewhere["status"] = json!("completed");
    elsewhere["cloudAgentSessionId"] = json!("ses-of-nobody");
    elsewhere["result"] = callback_body(&current, "completed")["result"].clone();
    elsewhere["error"] = Value::Null;
    // The simulator keeps an end reported here as the session's own, so this one must name an unknown session.
    assert_eq!(scene.analysis(&finding).await, running, "outdated");

    // Forged.
    let good = callback_body(&current, "completed");
    let http = reqwest::Client::new();
    let url = format!("{}/v1/callbacks/analysis", scene.stack.url());
    let post = async |authorization: Option<&str>, body: &Value| {
        let mut request = http.post(&url).json(body);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        request.send().await.expect("the API answers").status()
    };
    let own = format!("Bearer {}", scene.ada.token());
    let forged = format!("Bearer {}", forged(&scene, &finding, second));
    for authorization in [
        None,
        Some(""),
        Some("Bearer "),
        Some("Bearer abc"),
        Some("Bearer a.b.c"),
        Some("Basic YTpi"),
        Some(own.as_str()),
        Some(forged.as_str()),
    ] {
        let status = post(authorization, &good).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{authorization:?}");
    }
    assert_eq!(scene.analysis(&finding).await, running, "forged");
    // Three late ones and the outdated one; of the duplicate, whichever came second may have met a recorded result.
    let refused = |reason| {
        let reason = ("Reason", reason);
        scene.stack.counted("CallbacksRefused", &[reason])
    };
    assert!((4..=5).contains(&refused("stale")), "{}", refused("stale"));
    assert_eq!(refused("invalid_token"), 8);

    // Invalid bodies. None reports an end that the simulator would record for its session.
    let mut without_session = good.clone();
    without_session["cloudAgentSessionId"] = Value::Null;
    for body in [
        json!({}),
        json!([]),
        json!({"status": "done"}),
        json!("text"),
    ] {
        let answer = scene.stack.callback(id, &body).await;
        assert_eq!(answer, 400, "{body}");
    }
    assert_eq!(scene.analysis(&finding).await, running, "invalid");

    let answer = scene.stack.callback(id, &elsewhere).await;
    assert_eq!(answer, 202);
    assert_eq!(scene.analysis(&finding).await, running, "another session");
    let answer = scene.stack.callback(id, &without_session).await;
    assert_eq!(answer, 400);
    assert_eq!(scene.stack.callback(id, &good).await, 202);
    scene.analysis_is(&finding, "completed").await;
    scene.analyses_hold().await;
}

#[tokio::test]
async fn a_callback_that_cannot_be_queued_is_refused_then_recorded_once() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let findings = scene.open_findings().await;
    // Admit and launch first, so that from here on the callback is the only message of `api`.
    scene.stack.agent_fault(&held()).await;
    let mut ids = Vec::new();
    for finding in &findings[..2] {
        let id = scene.analyse(finding).await;
        scene.ada.ends_as(id, LAUNCHED).await;
        ids.push(id);
    }
    scene.stack.fault(&unqueued()).await;
    let first = scene.session(ids[0]).await;
    let id = first["cloudAgentSessionId"].as_str().expect("an id");
    let good = callback_body(&first, "completed");
    assert_eq!(scene.stack.callback(id, &good).await, 503);
    assert_eq!(scene.analysis(&findings[0]).await["status"], "running");
    assert_eq!(scene.slots_taken().await, 2);

    // The queue fails for good: the row keeps the callback, and the reconciler sends the message.
    scene.analysis_is_due(&findings[0]).await;
    let report = scene.stack.reconcile().await;
    assert_eq!(
        (&report["sent_on"], &report["lost"]),
        (&json!(1), &json!(0)),
        "{report}"
    );
    scene.analysis_is(&findings[0], "completed").await;
    assert_eq!(scene.slots_taken().await, 1);
    let again = scene.stack.reconcile().await;
    assert_eq!(again["sent_on"], 0, "{again}");

    // The queue fails for a while. Clearing the faults releases the held callback.
    let second = scene.session(ids[1]).await;
    assert_eq!(second["status"], "running");
    scene.stack.heal().await;
    scene.analysis_is(&findings[1], "completed").await;
    for id in ids {
        let told = ["analysis_started", "analysis_completed"];
        assert_eq!(scene.audited(id).await, told);
    }

    let mut twice = unqueued();
    twice["times"] = json!(4);
    twice["contains"] = json!("call_back");
    scene.stack.fault(&twice).await;
    let id = scene.analyse(&findings[2]).await;
    scene.ada.ends_as(id, LAUNCHED).await;
    scene.analysis_is(&findings[2], "completed").await;
    let session = scene.session(id).await;
    let answers = session["callbacks"].as_array().expect("a list").iter();
    let answers: Vec<&Value> = answers.map(|call| &call["answer"]).collect();
    assert!(answers.contains(&&json!(503)), "{answers:?}");
    let told = ["analysis_started", "analysis_completed"];
    assert_eq!(scene.audited(id).await, told);
    scene.analyses_hold().await;
}

#[tokio::test]
async fn a_failed_or_interrupted_session_fails_the_analysis_with_its_code() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let findings = scene.open_findings().await;
    scene.stack.agent_fault(&held()).await;
    for (finding, status, code) in [
        (&findings[0], "failed", "SANDBOX_LOST"),
        (&findings[1], "interrupted", "INTERRUPTED"),
    ] {
        let command = scene.analyse(finding).await;
        scene.ada.ends_as(command, LAUNCHED).await;
        let session = scene.session(command).await;
        let id = session["cloudAgentSessionId"].as_str().expect("an id");
        assert_eq!(
            scene
                .stack
                .callback(id, &callback_body(&session, status))
                .await,
            202
        );
        let failed = scene.analysis_is(finding, "failed").await;
        assert_eq!(failed["failureCode"], code);
        assert_eq!(failed["result"], Value::Null);
        assert!(!failed["completedAt"].is_null());
        let told = ["analysis_started", "analysis_failed"];
        assert_eq!(scene.audited(command).await, told);
        assert_eq!(scene.slots_taken().await, 0);
    }
    scene.analyses_hold().await;
}

#[tokio::test]
async fn an_analysis_without_a_callback_is_lost_once_and_frees_its_slot() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let findings = scene.open_findings().await;
    // The agent takes this callback as delivered, so it sends no other.
    let silent = json!({"operation": "callback", "status": 202});
    scene.stack.agent_fault(&silent).await;
    let running = scene.analyse(&findings[0]).await;
    scene.ada.ends_as(running, LAUNCHED).await;
    eventually("its callback is settled", async || {
        scene.session(running).await["settled"] == true
    })
    .await;
    let dies = transaction("analyse", SLOT, "kill_after");
    scene.stack.fault(&dies).await;
    let pending = scene.ada.key(scene.analyse(&findings[1]).await);
    scene.dies("analyse", 1).await;
    let early = scene.stack.reconcile().await;
    assert_eq!(early["lost"], 0, "nothing is lost early: {early}");
    assert_eq!(scene.analysis(&findings[1]).await["status"], "pending");

    for finding in &findings[..2] {
        scene.analysis_is_due(finding).await;
    }
    let slow = json!({"service": "dynamodb", "operation": "TransactWriteItems", "function": "reconcile",
        "effect": "delay", "delayMs": 500});
    scene.stack.fault(&slow).await;
    let (one, other) = join(scene.stack.reconcile(), scene.stack.reconcile()).await;
    let sum = |count: &str| one[count].as_u64().unwrap_or(0) + other[count].as_u64().unwrap_or(0);
    assert_eq!((sum("lost"), sum("errors")), (2, 0), "{one} and {other}");
    for finding in &findings[..2] {
        let lost = scene.analysis(finding).await;
        assert_eq!(
            (&lost["status"], &lost["failureCode"]),
            (&json!("failed"), &json!("RUN_LOST"))
        );
    }
    assert_eq!(scene.slots_taken().await, 0);
    let told = ["analysis_started", "analysis_failed"];
    assert_eq!(scene.audited(running).await, told);
    assert_eq!(scene.audited(pending.id).await, ["analysis_failed"]);

    // A later delivery of the launch sends no request to the agent.
    scene.taken_over(&pending).await;
    let late = scene
        .ada
        .ends_as(pending.id, "ANALYSIS_LAUNCH_FAILED")
        .await;
    assert_eq!(late["effect"], "unknown", "its first worker died");
    assert_eq!(scene.stack.agent_sessions().await.len(), 1);
    scene.analyses_hold().await;
}

/// Requests an analysis and checks every field of how its launch ends.
async fn launch_ends_as(scene: &Scene, finding: &str, code: ResultCode, effect: &str) -> Value {
    let id = scene.analyse(finding).await;
    let view = scene.ada.ends_as(id, code.as_str()).await;
    let status = if code == ResultCode::ConfigDisabled {
        "no_op"
    } else {
        "failed"
    };
    assert_eq!(view["status"], status, "{view}");
    assert_eq!(view["effect"], effect, "{view}");
    assert_eq!(view["message"].as_str(), code.sentence(), "{view}");
    assert_eq!(scene.slots_taken().await, 0, "{view}");
    view
}

#[tokio::test]
async fn a_refused_launch_reports_why_and_frees_its_slot() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let findings = scene.open_findings().await;
    let failed_with = async |finding: &str, code: ResultCode| {
        let analysis = scene.analysis(finding).await;
        assert_eq!(
            (&analysis["status"], analysis["failureCode"].as_str()),
            (&json!("failed"), Some(code.as_str())),
            "{analysis}"
        );
    };
    for (finding, status, code) in [
        (&findings[0], 402, ResultCode::InsufficientCredits),
        (&findings[1], 400, ResultCode::AnalysisLaunchFailed),
        (&findings[1], 422, ResultCode::AnalysisLaunchFailed),
    ] {
        scene.stack.agent_fault(&launch(status)).await;
        launch_ends_as(&scene, finding, code, "none").await;
        failed_with(finding, code).await;
        scene.stack.heal().await;
    }
    // Minted tokens are cached, so this finding's repository must have none yet.
    let token = |status: u16| json!({"repository": "*", "operation": "installation_token", "status": status});
    for status in [403, 422] {
        scene.stack.github_fault(&token(status)).await;
        let code = ResultCode::GithubTokenUnavailable;
        launch_ends_as(&scene, &findings[2], code, "none").await;
        failed_with(&findings[2], code).await;
        scene.stack.heal().await;
    }

    // The finding is fixed after it was listed.
    let fixed = findings[5].rsplit('-').next().expect("a number");
    let path = format!("alerts/{}/{fixed}", PYGOAT.1);
    let change = json!({"state": "fixed", "fixed_at": "2026-01-01T00:00:00Z"});
    scene
        .stack
        .at_github(reqwest::Method::PATCH, &path, &change)
        .await;
    let id = scene.ada.sync().await;
    scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    launch_ends_as(&scene, &findings[5], ResultCode::FindingUnavailable, "none").await;
    assert_eq!(scene.analysis(&findings[5]).await, Value::Null);

    scene.configure(&json!({"enabled": false})).await;
    launch_ends_as(&scene, &findings[6], ResultCode::ConfigDisabled, "none").await;
    assert_eq!(scene.analysis(&findings[6]).await, Value::Null);
    scene.analyses_hold().await;
}

#[tokio::test]
async fn a_launch_with_refused_credentials_fails_and_stops_asking_github() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let findings = scene.open_findings().await;
    let refused = json!({"repository": "*", "operation": "installation_token", "status": 401});
    scene.stack.github_fault(&refused).await;
    let code = ResultCode::GithubAuthInvalid;
    launch_ends_as(&scene, &findings[0], code, "none").await;
    let analysis = scene.analysis(&findings[0]).await;
    assert_eq!(
        (&analysis["status"], analysis["failureCode"].as_str()),
        (&json!("failed"), Some(code.as_str()))
    );
    let integration = scene.ada.get("integration").await.body;
    assert!(!integration["authInvalidAt"].is_null(), "{integration}");
    let asked = scene.stack.github_calls("").await.len();
    launch_ends_as(&scene, &findings[1], code, "none").await;
    assert_eq!(scene.stack.github_calls("").await.len(), asked);
    assert_eq!(scene.analysis(&findings[1]).await, Value::Null);
    assert_eq!(scene.stack.agent_sessions().await, [Value::Null; 0]);
    scene.analyses_hold().await;
}
