//! Every result code of a dismissal, as a client sees it.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{command::CommandKey, lifecycle::Status, result_code::ResultCode};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{batch, failures, message};

use crate::{
    acceptance::save,
    dismissal::{change, dismissal, id},
    scene::{PYGOAT, Scene},
};

/// Codes of other command types only.
const OF_OTHERS: [ResultCode; 12] = [
    ResultCode::FindingReopened,
    ResultCode::AlreadyOpen,
    ResultCode::ReopenRejected,
    ResultCode::SyncCompleted,
    ResultCode::SyncPartialFailure,
    ResultCode::AnalysisLaunchStarted,
    ResultCode::AnalysisRestartStarted,
    ResultCode::AlreadyInProgress,
    ResultCode::OwnerCapReached,
    ResultCode::GithubTokenUnavailable,
    ResultCode::InsufficientCredits,
    ResultCode::AnalysisLaunchFailed,
];

/// The codes seen so far.
struct Ends<'a> {
    scene: &'a Scene,
    seen: BTreeSet<&'static str>,
}

impl Ends<'_> {
    /// Waits until the command has ended with this code, and checks everything the API says about it.
    async fn ends_as(&mut self, key: &CommandKey, code: ResultCode, effect: &str) -> Value {
        let view = self.scene.ada.ends_as(key.id, code.as_str()).await;
        let status = Status::from(code.terminal()).as_str();
        assert_eq!(
            (&view["status"], &view["effect"]),
            (&json!(status), &json!(effect)),
            "{view}"
        );
        assert_eq!(view["message"], json!(code.sentence()), "{code}");
        assert!(
            view["completedAt"].is_string() && view["expiresAt"].is_string(),
            "{view}"
        );
        self.seen.insert(code.as_str());
        view
    }

    /// Dismisses one of Pygoat's alerts while GitHub answers like this. Returns the command's last error.
    async fn answered(
        &mut self,
        number: u32,
        answer: &Value,
        code: ResultCode,
        effect: &str,
    ) -> Value {
        self.scene.stack.github_fault(&change(answer)).await;
        let key = self.scene.dismiss(number).await;
        let view = self.ends_as(&key, code, effect).await;
        view["lastError"].clone()
    }

    /// Dismisses one of Pygoat's alerts.
    async fn dismissed(&mut self, number: u32, code: ResultCode, effect: &str) {
        let key = self.scene.dismiss(number).await;
        self.ends_as(&key, code, effect).await;
    }

    /// Admits a dismissal of one of Pygoat's alerts without a message: the test delivers it.
    async fn admitted(&self, number: u32) -> CommandKey {
        let stage = &self.scene.stack.backstage;
        stage
            .admit_dismissal(self.scene.ada.owner(), &id(number))
            .await
    }

    /// Delivers a message and checks that the worker acknowledges it.
    async fn delivered(&self, body: String, receives: u32) {
        let mut delivery = batch("DismissQueue", &[body]);
        delivery["Records"][0]["attributes"]["ApproximateReceiveCount"] =
            json!(receives.to_string());
        let answer = self.scene.stack.invoke("dismiss", &delivery).await;
        assert_eq!(failures(&answer.expect("the invocation succeeds")), [""; 0]);
    }
}

/// Codes that follow from GitHub's answers.
async fn by_github(ends: &mut Ends<'_>) {
    use ResultCode::*;
    let scene = ends.scene;
    ends.dismissed(14, FindingDismissed, "applied").await;
    ends.dismissed(14, AlreadyIgnored, "none").await;
    assert_eq!(
        scene.changes(14).await,
        [200],
        "a known dismissal sends no request to GitHub"
    );
    let plain = json!({"type": "dismiss_finding", "findingId": id(1), "reason": "tolerable_risk"});
    let answer = scene.ada.post(&plain, None).await;
    let key = scene.ada.key(tests::command_id(&answer.body));
    ends.ends_as(&key, FindingDismissed, "applied").await;
    assert_eq!(scene.changes(1).await, [200], "without a comment");
    ends.dismissed(12, AlreadyFixed, "none").await;
    assert_eq!(scene.changes(12).await, [0; 0]);

    let withdrawn = json!({"status": 410, "times": 1});
    ends.answered(13, &withdrawn, AlertWithdrawn, "none").await;
    assert_eq!(scene.finding(13).await["status"], "closed");
    ends.dismissed(13, AlertWithdrawn, "none").await;
    assert_eq!(scene.changes(13).await, [410]);

    for (answer, code, error) in [
        (json!({"status": 404}), RepositoryUnavailable, Value::Null),
        (
            json!({"status": 422}),
            DismissalRejected,
            json!("GitHub rejected the dismissal with status 422"),
        ),
        (
            json!({"status": 403, "body": {"message": "Resource not accessible by integration"}}),
            GithubAuthInvalid,
            json!("the GitHub App may not dismiss alerts in this repository"),
        ),
    ] {
        let mut once = answer;
        once["times"] = json!(1);
        assert_eq!(ends.answered(11, &once, code, "none").await, error);
        assert_eq!(scene.finding(11).await["status"], "open");
    }
    let limit = json!({"status": 429, "headers": {"retry-after": "7200"}, "times": 1});
    let error = ends.answered(11, &limit, GithubRateLimited, "none").await;
    assert!(
        error.as_str().is_some_and(|text| text.contains("until 20")),
        "{error}"
    );

    let alert = format!("/local/github/alerts/{}/10", PYGOAT.1);
    let open = scene.stack.get(&alert).await;
    let reviewed = json!({"status": 200, "body": open, "times": 1});
    ends.answered(10, &reviewed, DismissalPendingReview, "unknown")
        .await;
    assert_eq!(scene.finding(10).await["status"], "open");

    // The alert changed on GitHub, and no sync has seen it yet.
    for (number, state, code, status) in [
        (
            7,
            json!({"state": "fixed", "fixed_at": "2026-11-01T00:00:00Z"}),
            AlreadyFixed,
            "fixed",
        ),
        (
            6,
            json!({"state": "auto_dismissed", "auto_dismissed_at": "2026-11-01T00:00:00Z"}),
            AlreadyIgnored,
            "ignored",
        ),
    ] {
        let alert = format!("alerts/{}/{number}", PYGOAT.1);
        scene
            .stack
            .at_github(reqwest::Method::PATCH, &alert, &state)
            .await;
        ends.dismissed(number, code, "none").await;
        assert_eq!(scene.finding(number).await["status"], status);
    }
}

/// Codes that follow from queues, deadlines and the API.
async fn by_delivery(ends: &mut Ends<'_>) {
    use ResultCode::*;
    let scene = ends.scene;
    let refused =
        json!({"service": "sqs", "operation": "SendMessage", "function": "api", "effect": "error"});
    scene.stack.fault(&refused).await;
    let answer = scene.ada.post(&dismissal(3), None).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body["code"], "QUEUE_ADMISSION_FAILED");
    let key = scene.ada.key(tests::command_id(&answer.body["command"]));
    ends.ends_as(&key, QueueAdmissionFailed, "none").await;
    scene.stack.heal().await;

    let key = ends.admitted(3).await;
    let mut malformed: Value = serde_json::from_str(&message(&key, 0)).expect("it is JSON");
    malformed["stage"] = json!("zero");
    ends.delivered(malformed.to_string(), 1).await;
    ends.ends_as(&key, MalformedMessage, "none").await;

    let key = ends.admitted(3).await;
    let fails = change(&json!({"status": 502, "times": 1}));
    scene.stack.github_fault(&fails).await;
    ends.delivered(message(&key, 0), 5).await;
    ends.ends_as(&key, QueueRetriesExhausted, "unknown").await;

    for effect in ["none", "unknown"] {
        let key = ends.admitted(3).await;
        if effect == "unknown" {
            scene.stack.backstage.claim_and_die(&key).await;
        }
        let passed = ["due_at", "deadline"];
        scene.stack.backstage.let_pass(&key, &passed).await;
        assert_eq!(scene.stack.reconcile().await["stalled"], 1);
        ends.ends_as(&key, CommandStalled, effect).await;
    }
}

/// Codes that follow from changes of the finding and the configuration after the admission.
async fn by_stored_data(ends: &mut Ends<'_>) {
    use ResultCode::*;
    let scene = ends.scene;
    let stage = &scene.stack.backstage;
    let pk = format!("finding#{}", scene.ada.owner());
    let sk = format!("dependabot#{:020}#{:010}", PYGOAT.0, 2);
    let row = stage.item(&pk, &sk).await.expect("it is stored");

    let key = ends.admitted(2).await;
    stage.take_away(&pk, &sk).await;
    ends.delivered(message(&key, 0), 1).await;
    ends.ends_as(&key, FindingUnavailable, "none").await;

    let key = ends.admitted(2).await;
    let mut foreign = row.clone();
    let finding = AttributeValue::S(r#"{"id":"importer-1-abc"}"#.to_owned());
    foreign.insert("finding".to_owned(), finding);
    stage.put(foreign).await;
    ends.delivered(message(&key, 0), 1).await;
    ends.ends_as(&key, InvalidDismissTarget, "none").await;
    stage.put(row).await;

    let saved = save(&scene.ada, &json!({"enabled": false})).await;
    assert_eq!(saved.status, StatusCode::OK, "{}", saved.body);
    ends.dismissed(2, ConfigDisabled, "none").await;
    assert_eq!(scene.changes(2).await, [0; 0]);
}

#[tokio::test]
async fn every_dismissal_code_has_its_status_effect_and_sentence() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let mut ends = Ends {
        scene: &scene,
        seen: BTreeSet::new(),
    };
    by_github(&mut ends).await;
    by_delivery(&mut ends).await;
    by_stored_data(&mut ends).await;
    let codes = ResultCode::ALL.iter();
    let expected: BTreeSet<_> = codes
        .filter(|code| !OF_OTHERS.contains(code))
        .map(|code| code.as_str())
        .collect();
    assert_eq!(ends.seen, expected);
    scene.holds().await;
}
