//! Metrics: known events must produce these values.

use futures::future::join;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{batch, command_id, eventually, message};

use crate::scene::{PYGOAT, Scene};

const SYNC: (&str, &str) = ("Type", "sync");

fn settled(scene: &Scene, code: &str) -> u64 {
    let settled = [SYNC, ("Code", code)];
    scene.stack.counted("CommandsSettled", &settled)
}

#[tokio::test]
async fn a_sync_is_measured_from_its_admission_to_its_end() {
    let scene = Scene::set().await;
    let id = scene.ada.sync().await;
    let ended = scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    let stack = &scene.stack;
    eventually("the end is written", async || {
        settled(&scene, "SYNC_COMPLETED") == 1
    })
    .await;
    assert_eq!(stack.counted("CommandsAdmitted", &[SYNC]), 1);
    let time = |name: &str| {
        let time: domain::Timestamp = ended[name]
            .as_str()
            .and_then(|t| t.parse().ok())
            .expect("a time");
        time.as_millis()
    };
    let took = time("completedAt") - time("acceptedAt");
    let measured = stack.measured("TimeToTerminal", &[SYNC]);
    assert_eq!(measured, [u64::try_from(took).expect("it ends later")]);

    let calls = stack.github_requests().await.len() as u64;
    assert_eq!(stack.counted("GithubAnswers", &[("Answer", "read")]), calls);
    for other in ["rate_limited", "refused", "failed", "none"] {
        assert_eq!(stack.counted("GithubAnswers", &[("Answer", other)]), 0);
    }
    let left = stack.measured("GithubBudgetLeft", &[]);
    // The App mints the tokens: those requests do not use the installation's budget.
    assert!(
        left.iter()
            .all(|left| (5_000 - calls..5_000).contains(left)),
        "{left:?}"
    );
    for quiet in [
        "Takeovers",
        "WorkersFenced",
        "MalformedMessagesKept",
        "DeadLettersSettled",
    ] {
        assert_eq!(stack.counted(quiet, &[]), 0, "{quiet}");
    }
    scene.holds().await;
}

#[tokio::test]
async fn an_admission_that_fails_is_measured() {
    let scene = Scene::set().await;
    let fault =
        json!({"service": "sqs", "operation": "SendMessage", "function": "api", "effect": "error"});
    scene.stack.fault(&fault).await;
    let answer = scene.ada.post(&json!({"type": "sync"}), None).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    scene
        .ada
        .ends_as(
            command_id(&answer.body["command"]),
            "QUEUE_ADMISSION_FAILED",
        )
        .await;
    assert_eq!(scene.stack.counted("AdmissionsFailed", &[SYNC]), 1);
    assert_eq!(settled(&scene, "QUEUE_ADMISSION_FAILED"), 1);
}

#[tokio::test]
async fn a_takeover_and_the_worker_it_fences_are_measured() {
    let scene = Scene::set().await;
    let key = scene.stack.backstage.admit(scene.ada.owner()).await;
    let slow =
        json!({"repository": PYGOAT.1, "operation": "list_alerts", "delayMs": 4_000, "times": 1});
    scene.stack.github_fault(&slow).await;
    let delivery = batch("SyncQueue", &[message(&key, 0)]);
    let zombie = scene.stack.invoke("sync", &delivery);
    let successor = async {
        scene
            .ada
            .until(key.id, "running", |view| view["status"] == "running")
            .await;
        scene
            .stack
            .backstage
            .let_pass(&key, &["updated_at", "claim_until"])
            .await;
        scene.stack.invoke("sync", &delivery).await
    };
    let (zombie, successor) = join(zombie, successor).await;
    zombie.expect("it notices the lost lease and ends");
    successor.expect("it settles");
    assert_eq!(scene.stack.counted("Takeovers", &[]), 1);
    assert_eq!(scene.stack.counted("WorkersFenced", &[]), 1);
    assert_eq!(
        settled(&scene, "SYNC_COMPLETED"),
        1,
        "the zombie's settlement is not counted"
    );
}

#[tokio::test]
async fn a_retry_after_a_release_is_not_counted_as_a_takeover() {
    let scene = Scene::set().await;
    let fails = json!({"repository": "*", "operation": "*", "status": 503});
    scene.stack.github_fault(&fails).await;
    let key = scene.stack.backstage.admit(scene.ada.owner()).await;
    let delivery = batch("SyncQueue", &[message(&key, 0)]);
    scene
        .stack
        .invoke("sync", &delivery)
        .await
        .expect("the command is released");
    assert!(
        scene
            .stack
            .counted("GithubAnswers", &[("Answer", "failed")])
            > 0
    );
    scene.stack.heal().await;
    scene
        .stack
        .invoke("sync", &delivery)
        .await
        .expect("it settles");
    let ended = scene.ada.ends_as(key.id, "SYNC_COMPLETED").await;
    assert_eq!(ended["attempts"], 2);
    assert_eq!(scene.stack.counted("Takeovers", &[]), 0);
}

#[tokio::test]
async fn unreadable_and_undeliverable_messages_are_measured() {
    let scene = Scene::set().await;
    let stage = &scene.stack.backstage;
    let (malformed, exhausted) = (
        stage.admit(scene.ada.owner()).await,
        stage.admit(scene.ada.owner()).await,
    );
    let unreadable = message(&malformed, 0).replace(r#""stage":0"#, r#""stage":"zero""#);
    stage.send("SyncQueue", &unreadable).await;
    stage
        .send("SyncDeadLetterQueue", &message(&exhausted, 0))
        .await;
    stage.send("SyncDeadLetterQueue", "no JSON").await;
    scene.ada.ends_as(malformed.id, "MALFORMED_MESSAGE").await;
    scene
        .ada
        .ends_as(exhausted.id, "QUEUE_RETRIES_EXHAUSTED")
        .await;
    eventually("all is written", async || {
        scene.stack.counted("MalformedMessagesKept", &[]) == 2
            && scene.stack.counted("DeadLettersSettled", &[]) == 1
    })
    .await;
    assert_eq!(settled(&scene, "MALFORMED_MESSAGE"), 1);
    assert_eq!(settled(&scene, "QUEUE_RETRIES_EXHAUSTED"), 1);
    scene.holds().await;
}

#[tokio::test]
async fn a_run_of_the_reconciler_is_measured() {
    let scene = Scene::set().await;
    let stage = &scene.stack.backstage;
    scene.stack.reconcile().await;
    assert_eq!(scene.stack.counted("ReconcilerCompleted", &[]), 1);
    for age in ["OldestAcceptedAge", "OldestRunningAge"] {
        assert_eq!(scene.stack.measured(age, &[]), [0], "nothing is due");
    }

    let (unsent, stalled) = (
        stage.admit(scene.ada.owner()).await,
        stage.admit(scene.ada.owner()).await,
    );
    stage.let_pass(&unsent, &["due_at"]).await;
    stage.claim_and_die(&stalled).await;
    stage.let_pass(&stalled, &["due_at", "deadline"]).await;
    // Ages are reported in whole seconds.
    let whole = |id: domain::command::CommandId| id.admitted_at().as_millis();
    let oldest = whole(unsent.id).min(whole(stalled.id));
    eventually("they are a second old", async || now() - oldest > 1_100).await;
    let report = scene.stack.reconcile().await;
    assert_eq!(
        (&report["resent"], &report["stalled"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    for age in ["OldestAcceptedAge", "OldestRunningAge"] {
        let most = scene.stack.measured(age, &[]).into_iter().max();
        assert!(
            most.is_some_and(|most| (1..30).contains(&most)),
            "{age}: {most:?}"
        );
    }
    for (name, expected) in [
        ("ReconcilerCompleted", 2),
        ("CommandsResent", 1),
        ("CommandsStalled", 1),
        ("ReconcilerErrors", 0),
        ("WorkLeftOver", 0),
    ] {
        assert_eq!(scene.stack.counted(name, &[]), expected, "{name}");
    }
    assert_eq!(settled(&scene, "COMMAND_STALLED"), 1);

    let fails = json!({"service": "dynamodb", "operation": "Query", "function": "reconcile", "effect": "error"});
    scene.stack.fault(&fails).await;
    let report = scene.stack.reconcile().await;
    let errors = report["errors"].as_u64().expect("a number");
    assert!(errors > 0);
    assert_eq!(scene.stack.counted("ReconcilerErrors", &[]), errors);
    scene.stack.heal().await;
    scene.ada.ends_as(unsent.id, "SYNC_COMPLETED").await;
}

#[expect(clippy::disallowed_methods, reason = "the stack lives in real time")]
fn now() -> i64 {
    domain::Timestamp::now().as_millis()
}

/// Whoever is refused may go on for as long as the route's limits allow.
#[tokio::test]
async fn a_refused_callback_is_counted_and_logged_and_leaves_no_row() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let finding = scene.open_findings().await.remove(0);
    let attempt = scene.analyse(&finding).await;
    let before = scene.analysis_is(&finding, "completed").await;
    let audit = scene.ada.audit_events().await;

    // Tokens of the version before, because a test can make them; both versions expire alike.
    let key = "0123456789abcdef".repeat(2);
    let keys = json!({"active": "2", "keys": {"2": key}}).to_string();
    scene.stack.put_secret("callback-keys", &keys).await;
    scene.stack.replace("api").await;
    let token = |expires_at: u64| {
        let header = Header {
            kid: Some("2".to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        let claims = json!({
            "aud": "security-agent/analysis-callback", "sub": scene.ada.owner().to_string(),
            "finding": finding, "attempt": attempt.to_string(), "exp": expires_at,
        });
        let key = EncodingKey::from_secret(key.as_bytes());
        encode(&header, &claims, &key).expect("signed")
    };
    let body = json!({
        "cloudAgentSessionId": "ses-of-nobody", "status": "failed", "result": null,
        "error": {"code": "LOOPING", "message": "for nobody"},
    });
    let (expired, late) = (token(1), token(4_102_444_800));
    let url = format!("{}/v1/callbacks/analysis", scene.stack.url());
    for (token, status, reason) in [
        ("a.b.c", 401, "invalid_token"),
        (&expired, 401, "expired_token"),
        (&late, 202, "stale"),
    ] {
        for _ in 0..3 {
            let sent = reqwest::Client::new().post(&url).bearer_auth(token);
            let answer = sent.json(&body).send().await.expect("the API answers");
            assert_eq!(answer.status(), status, "{reason}");
        }
        let reason = ("Reason", reason);
        let counted = scene.stack.counted("CallbacksRefused", &[reason]);
        assert_eq!(counted, 3, "{reason:?}");
    }
    assert_eq!(scene.analysis(&finding).await, before);
    assert_eq!(scene.ada.audit_events().await, audit);

    // What names an owner truly is found under the owner's hash; what does not names nobody.
    let owner = json!(scene.ada.owner().hashed());
    let named = |message: &str| {
        let lines = scene.stack.logged(message).into_iter();
        let lines = lines.filter(|line| line["http.route"] == "/v1/callbacks/analysis");
        lines.map(|line| line["owner"].clone()).collect::<Vec<_>>()
    };
    let nobody = Value::Null;
    let refused = [&nobody, &nobody, &nobody, &owner, &owner, &owner];
    assert_eq!(
        named("the request was refused").iter().collect::<Vec<_>>(),
        refused
    );
    assert_eq!(
        named("the callback is stale or a duplicate"),
        [owner.clone(), owner.clone(), owner]
    );
    scene.holds().await;
}
