//! Reopening a finding: GitHub first, and every way in which the command can end.

use domain::{command::CommandKey, result_code::ResultCode};
use futures::future::join;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::command_id;

use crate::{
    dismissal::{change, id},
    scene::{PYGOAT, Scene},
};

/// The request to reopen one of Pygoat's alerts. Alert 9 is dismissed.
pub(crate) fn reopening(number: u32) -> Value {
    json!({"type": "reopen_finding", "findingId": id(number)})
}

impl Scene {
    async fn ask_to_reopen(&self, number: u32) -> CommandKey {
        let answer = self.ada.post(&reopening(number), None).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        self.ada.key(command_id(&answer.body))
    }

    /// Reopens one of Pygoat's alerts and checks how the command ends.
    async fn reopened(&self, number: u32, code: ResultCode, effect: &str) -> Value {
        let key = self.ask_to_reopen(number).await;
        let view = self.ada.ends_as(key.id, code.as_str()).await;
        assert_eq!(view["effect"], effect, "{view}");
        assert_eq!(view["message"], json!(code.sentence()), "{code}");
        view
    }
}

#[tokio::test]
async fn a_dismissed_finding_is_open_again_at_github_and_here() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let before = scene.ada.get("summary").await.body;
    scene
        .reopened(9, ResultCode::FindingReopened, "applied")
        .await;
    let finding = scene.finding(9).await;
    assert_eq!(finding["status"], "open");
    assert_eq!(
        (&finding["ignoredReason"], &finding["ignoredBy"]),
        (&Value::Null, &Value::Null)
    );
    let after = scene.ada.get("summary").await.body;
    let open = |summary: &Value| summary["findings"]["open"].as_i64();
    assert_eq!(open(&after), open(&before).map(|open| open + 1));
    // A later dismissal is a change of its own.
    let again = scene.dismiss(9).await;
    scene.ada.ends_as(again.id, "FINDING_DISMISSED").await;
    scene
        .reopened(9, ResultCode::FindingReopened, "applied")
        .await;
    assert_eq!(scene.changes(9).await, [200, 200, 200]);
    scene.holds().await;
}

#[tokio::test]
async fn what_is_not_ignored_is_not_reopened_and_github_is_not_asked() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    scene.reopened(14, ResultCode::AlreadyOpen, "none").await;
    scene.reopened(12, ResultCode::AlreadyFixed, "none").await;
    let unknown = scene.ada.post(&reopening(99), None).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(scene.changes(14).await, [0; 0]);
    assert_eq!(scene.changes(12).await, [0; 0]);
    scene.holds().await;
}

#[tokio::test]
async fn a_reopening_that_github_refuses_changes_nothing() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let refuses = change(&json!({"status": 422, "times": 1, "body": {"message": "No."}}));
    scene.stack.github_fault(&refuses).await;
    let view = scene.reopened(9, ResultCode::ReopenRejected, "none").await;
    assert_eq!(
        view["lastError"],
        "GitHub rejected the reopening with status 422"
    );
    assert_eq!(scene.finding(9).await["status"], "ignored");
    let forbids = change(&json!({"status": 403, "times": 1,
        "body": {"message": "Resource not accessible by integration"}}));
    scene.stack.github_fault(&forbids).await;
    let view = scene
        .reopened(9, ResultCode::GithubAuthInvalid, "none")
        .await;
    assert_eq!(
        view["lastError"],
        "the GitHub App may not reopen alerts in this repository"
    );
    let withdrawn = change(&json!({"status": 410, "times": 1, "body": {"message": "Gone"}}));
    scene.stack.github_fault(&withdrawn).await;
    scene.reopened(9, ResultCode::AlertWithdrawn, "none").await;
    assert_eq!(scene.finding(9).await["status"], "closed");
    scene.holds().await;
}

#[tokio::test]
async fn a_reopening_whose_answer_is_lost_is_the_commands_own() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let lost = change(&json!({"status": 502, "times": 1, "apply": true}));
    scene.stack.github_fault(&lost).await;
    scene
        .reopened(9, ResultCode::FindingReopened, "applied")
        .await;
    assert_eq!(scene.finding(9).await["status"], "open");
    scene.holds().await;
}

#[tokio::test]
async fn of_two_reopenings_at_once_one_succeeds() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let slow = change(&json!({"delayMs": 700, "times": 2}));
    scene.stack.github_fault(&slow).await;
    let (one, other) = join(scene.ask_to_reopen(9), scene.ask_to_reopen(9)).await;
    let is_over = |view: &Value| view["completedAt"].is_string();
    let (one, other) = join(
        scene.ada.until(one.id, "over", is_over),
        scene.ada.until(other.id, "over", is_over),
    )
    .await;
    let mut codes = [one, other].map(|view| view["resultCode"].as_str().map(str::to_owned));
    codes.sort();
    let expected = ["ALREADY_OPEN", "FINDING_REOPENED"].map(|code| Some(code.to_owned()));
    assert_eq!(codes, expected);
    assert_eq!(scene.finding(9).await["status"], "open");
    scene.holds().await;
}
