//! Faults between worker, GitHub and table that only a dismissal can show. `conformance` has those that all types
//! share.

mod undone;

use std::time::Duration;

use domain::command::CommandKey;
use futures::{StreamExt, future::join, future::join3, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Stack, batch, command_id, eventually, failures, message};
use tokio::time::sleep;

use crate::{
    acceptance::save,
    scene::{PYGOAT, Scene, ZEPPELIN},
};

/// Makes GitHub answer changes of Pygoat's alerts like this.
pub(crate) fn change(answer: &Value) -> Value {
    let mut fault = json!({"repository": PYGOAT.1, "operation": "update_alert"});
    for (name, value) in answer.as_object().expect("fields") {
        fault[name] = value.clone();
    }
    fault
}

/// A request to dismiss one of Pygoat's alerts. Nine of them are open: 1, 2, 3, 6, 7, 10, 11, 13 and 14.
pub(crate) fn dismissal(number: u32) -> Value {
    json!({"type": "dismiss_finding", "findingId": id(number), "reason": "not_used", "comment": "No path leads there."})
}

/// The id of the finding for one of Pygoat's alerts.
pub(crate) fn id(number: u32) -> String {
    format!("dependabot-{}-{number}", PYGOAT.0)
}

impl Scene {
    /// Requests the dismissal of one of Pygoat's alerts.
    pub(crate) async fn dismiss(&self, number: u32) -> CommandKey {
        let answer = self.ada.post(&dismissal(number), None).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        self.ada.key(command_id(&answer.body))
    }

    /// The status of each of GitHub's answers to changes of one of Pygoat's alerts.
    pub(crate) async fn changes(&self, number: u32) -> Vec<u64> {
        changes(self, &format!("{}/dependabot/alerts/{number}", PYGOAT.1)).await
    }

    /// The number of changes that GitHub has made, of any alert.
    pub(crate) async fn changes_made(&self) -> usize {
        let calls = self.stack.github_requests().await.into_iter();
        calls.filter(|call| call.get("changed").is_some()).count()
    }

    /// Makes GitHub answer the changes of Pygoat's alerts like this.
    pub(crate) async fn changes_meet(&self, answer: &Value) {
        self.stack.github_fault(&change(answer)).await;
    }

    /// The finding for one of Pygoat's alerts.
    pub(crate) async fn finding(&self, number: u32) -> Value {
        let finding = self.ada.get(&format!("findings/{}", id(number))).await;
        assert_eq!(finding.status, StatusCode::OK, "{}", finding.body);
        finding.body
    }

    /// Expires a command's lease and redelivers its message, instead of waiting until the queue does.
    async fn redeliver(&self, key: &CommandKey) {
        self.stack.backstage.let_pass(key, &["claim_until"]).await;
        let stage = self.stack.backstage.command(key).await.state.stage.0;
        let message = message(key, stage);
        self.stack.backstage.send("DismissQueue", &message).await;
    }

    /// Reopens one of Pygoat's alerts on GitHub.
    async fn reopen(&self, number: u32) {
        let opened = json!({"state": "open", "dismissed_at": null, "dismissed_by": null,
            "dismissed_reason": null, "dismissed_comment": null});
        let alert = format!("alerts/{}/{number}", PYGOAT.1);
        self.stack.at_github(Method::PATCH, &alert, &opened).await;
    }
}

/// The status of each of GitHub's answers to changes of alerts whose path ends like this.
async fn changes(scene: &Scene, path: &str) -> Vec<u64> {
    let calls = scene.stack.github_requests().await.into_iter();
    let of_it = |call: &Value| {
        call["method"] == "PATCH" && call["path"].as_str().is_some_and(|p| p.ends_with(path))
    };
    calls
        .filter(of_it)
        .map(|call| call["status"].as_u64().unwrap_or_default())
        .collect()
}

/// The number of log lines with this message about a command.
fn lines_of(scene: &Scene, key: &CommandKey, message: &str) -> usize {
    let id = key.id.to_string();
    let lines = scene.stack.logged(message).into_iter();
    lines.filter(|line| line["command.id"] == id).count()
}

/// Dismisses alert 14 with a worker that dies between GitHub's answer and the settlement.
async fn dismissed_but_not_settled(scene: &Scene) -> CommandKey {
    let dies = json!({"service": "dynamodb", "operation": "TransactWriteItems", "function": "dismiss",
        "contains": "FINDING_DISMISSED", "effect": "kill_before", "times": 1});
    scene.stack.fault(&dies).await;
    let key = scene.dismiss(14).await;
    scene.dies("dismiss", 1).await;
    assert_eq!(scene.changes(14).await, [200]);
    assert_eq!(scene.finding(14).await["status"], "open");
    assert_eq!(scene.ada.command(key.id).await["status"], "running");
    key
}

/// Checks that the next delivery finds the alert dismissed and recognises the dismissal as the command's own.
async fn recognises_its_dismissal(scene: &Scene, key: &CommandKey) {
    scene.redeliver(key).await;
    let ended = scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
    assert_eq!(
        (&ended["attempts"], &ended["effect"]),
        (&json!(2), &json!("applied"))
    );
    assert_eq!(scene.changes(14).await, [200], "one change in total");
    let finding = scene.finding(14).await;
    assert_eq!(
        (&finding["status"], &finding["ignoredReason"]),
        (&json!("ignored"), &json!("not_used"))
    );
}

#[tokio::test]
async fn fault_11_a_retry_finds_its_own_dismissal_and_does_not_repeat_it() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let refuses = change(&json!({"status": 422, "after": 1}));
    scene.stack.github_fault(&refuses).await;
    let key = dismissed_but_not_settled(&scene).await;
    recognises_its_dismissal(&scene, &key).await;
    scene.holds().await;
}

#[tokio::test]
async fn fault_11_a_retry_finds_its_own_dismissal_after_the_owner_is_disabled() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let key = dismissed_but_not_settled(&scene).await;
    let saved = save(&scene.ada, &json!({"enabled": false})).await;
    assert_eq!(saved.status, StatusCode::OK, "{}", saved.body);
    recognises_its_dismissal(&scene, &key).await;

    // A dismissal that GitHub never received is not made now.
    let (owner, finding) = (scene.ada.owner(), id(13));
    let late = scene.stack.backstage.admit_dismissal(owner, &finding).await;
    scene.stack.backstage.claim_and_die(&late).await;
    scene.redeliver(&late).await;
    let ended = scene.ada.ends_as(late.id, "CONFIG_DISABLED").await;
    assert_eq!(
        (&ended["attempts"], &ended["effect"]),
        (&json!(2), &json!("none"))
    );
    assert_eq!(scene.changes(13).await, [0; 0]);
    scene.holds().await;
}

#[tokio::test]
async fn fault_11_a_dismissal_seen_first_by_a_sync_still_succeeds() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let key = dismissed_but_not_settled(&scene).await;
    let sync = scene.ada.sync().await;
    scene.ada.ends_as(sync, "SYNC_COMPLETED").await;
    assert_eq!(scene.finding(14).await["status"], "ignored");
    recognises_its_dismissal(&scene, &key).await;
    scene.holds().await;
}

#[tokio::test]
async fn fault_15_concurrent_deliveries_of_a_dismissal_make_one_change() {
    let scene = Scene::with(&[], &[ZEPPELIN.0]).await;
    let sync = scene.ada.sync().await;
    scene.ada.ends_as(sync, "SYNC_COMPLETED").await;
    let open = scene.ada.all("findings").await.into_iter();
    let open: Vec<String> = open
        .filter(|finding| finding["status"] == "open")
        .map(|finding| finding["id"].as_str().expect("an id").to_owned())
        .take(50)
        .collect();
    assert_eq!(open.len(), 50);
    // Later deliveries arrive while the first one waits for GitHub.
    let slow = json!({"repository": ZEPPELIN.1, "operation": "update_alert", "delayMs": 300});
    scene.stack.github_fault(&slow).await;
    let ended: Vec<Value> = stream::iter(&open)
        .map(async |finding| {
            let stage = &scene.stack.backstage;
            let key = stage.admit_dismissal(scene.ada.owner(), finding).await;
            let body = message(&key, 0);
            let delivery = batch("DismissQueue", std::slice::from_ref(&body));
            let (one, other, ()) = join3(
                scene.stack.invoke("dismiss", &delivery),
                scene.stack.invoke("dismiss", &delivery),
                stage.send("DismissQueue", &body),
            )
            .await;
            for answer in [one, other] {
                answer.expect("the invocation succeeds");
            }
            scene.ada.ended(key.id).await
        })
        .buffer_unordered(4)
        .collect()
        .await;
    for view in &ended {
        assert_eq!(view["resultCode"], "FINDING_DISMISSED", "{view}");
        assert_eq!(view["attempts"], 1, "{view}");
    }
    let mut alerts: Vec<Value> = scene.stack.github_requests().await;
    alerts.retain(|call| call["method"] == "PATCH");
    assert!(
        alerts.iter().all(|call| call["status"] == 200),
        "{alerts:?}"
    );
    let mut paths: Vec<&str> = alerts
        .iter()
        .filter_map(|call| call["path"].as_str())
        .collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!((ended.len(), alerts.len(), paths.len()), (50, 50, 50));
    let held = "the command is leased or waits; its message is redelivered";
    assert!(
        scene.stack.logged(held).len() >= 25,
        "the deliveries overlapped"
    );
    scene.holds().await;
}

#[tokio::test]
async fn fault_16_a_dismissal_taken_over_midway_is_one_change_and_one_success() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    // The first request is in flight when the second worker reads the alert, and takes effect before the second one.
    for delay in [4_000, 6_000] {
        let slow = change(&json!({"delayMs": delay, "times": 1}));
        scene.stack.github_fault(&slow).await;
    }
    let owner = scene.ada.owner();
    let key = scene.stack.backstage.admit_dismissal(owner, &id(14)).await;
    let delivery = batch("DismissQueue", &[message(&key, 0)]);
    let zombie = scene.stack.invoke("dismiss", &delivery);
    let others = async {
        eventually("the change is requested", async || {
            scene.changes(14).await.len() == 1
        })
        .await;
        let early = scene.stack.invoke("dismiss", &delivery).await;
        assert_eq!(
            failures(&early.expect("the invocation succeeds")),
            ["m0"],
            "the lease lasts"
        );
        scene.stack.backstage.let_pass(&key, &["claim_until"]).await;
        let successor = scene.stack.invoke("dismiss", &delivery).await;
        assert_eq!(
            failures(&successor.expect("the invocation succeeds")),
            [""; 0]
        );
    };
    let (zombie, ()) = join(zombie, others).await;
    zombie.expect("it notices the lost lease and ends");
    let ended = scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
    assert_eq!(
        (&ended["attempts"], &ended["effect"]),
        (&json!(2), &json!("applied"))
    );
    assert_eq!(scene.changes(14).await, [200, 409]);
    assert!(scene.stack.logs().contains("fenced: "));
    assert_eq!(lines_of(&scene, &key, "the command has ended"), 1);
    scene.holds().await;
}

#[tokio::test]
async fn fault_28_a_dismissal_with_a_lost_answer_is_found_in_the_same_delivery() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    for (number, lost, answers) in [
        (14, json!({"status": 502, "apply": true, "times": 1}), [502]),
        (13, json!({"effect": "drop_response", "times": 1}), [200]),
        (
            11,
            json!({"status": 200, "body": "<html>", "apply": true, "times": 1}),
            [200],
        ),
    ] {
        scene.stack.github_fault(&change(&lost)).await;
        let key = scene.dismiss(number).await;
        let ended = scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
        assert_eq!(
            (&ended["attempts"], &ended["effect"]),
            (&json!(1), &json!("applied"))
        );
        assert_eq!(scene.changes(number).await, answers);
        assert_eq!(scene.finding(number).await["status"], "ignored");
    }
    scene.holds().await;
}

#[tokio::test]
async fn fault_28_a_dismissal_github_failed_to_make_is_retried_on_redelivery() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let fails = change(&json!({"status": 502, "times": 2}));
    scene.stack.github_fault(&fails).await;
    let key = scene.dismiss(14).await;
    let released = scene
        .ada
        .until(key.id, "released", |view| !view["lastError"].is_null())
        .await;
    assert_eq!(
        (&released["status"], &released["attempts"]),
        (&json!("running"), &json!(1))
    );
    // Adds a delivery before the queue's own.
    let message = message(&key, 0);
    scene.stack.backstage.send("DismissQueue", &message).await;
    let ended = scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
    assert_eq!(ended["attempts"], 3, "{ended}");
    assert_eq!(
        ended["lastError"],
        Value::Null,
        "a success clears the last error"
    );
    assert_eq!(scene.changes(14).await, [502, 502, 200]);
    scene.holds().await;
}

#[tokio::test]
async fn fault_28_a_dismissal_that_github_makes_late_still_succeeds() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    // The first request times out after 10 s and takes effect after 12.5 s; the second reaches GitHub after that.
    for delay in [12_500, 5_000] {
        let late = change(&json!({"delayMs": delay, "times": 1}));
        scene.stack.github_fault(&late).await;
    }
    let key = scene.dismiss(14).await;
    let released = scene
        .ada
        .until(key.id, "released", |view| !view["lastError"].is_null())
        .await;
    assert_eq!(released["status"], "running", "{released}");
    let message = message(&key, 0);
    scene.stack.backstage.send("DismissQueue", &message).await;
    let ended = scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
    assert_eq!(
        (&ended["attempts"], &ended["effect"]),
        (&json!(2), &json!("applied"))
    );
    assert_eq!(scene.changes(14).await, [200, 409]);
    scene.holds().await;
}

/// A secondary rate limit of this many seconds.
fn secondary_limit(seconds: u64) -> Value {
    change(&json!({"status": 429, "headers": {"retry-after": seconds.to_string()}, "times": 1}))
}

#[tokio::test]
async fn fault_29_a_rate_limited_dismissal_waits_visibly_without_redeliveries() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    scene.stack.github_fault(&secondary_limit(90)).await;
    let key = scene.dismiss(14).await;
    let waiting = scene
        .ada
        .until(key.id, "waiting", |view| !view["waitingUntil"].is_null())
        .await;
    assert_eq!(waiting["status"], "running");
    let error = waiting["lastError"].as_str().expect("an error");
    assert!(error.contains("rate limit"), "{error}");
    // An early delivery changes nothing.
    let early = batch("DismissQueue", &[message(&key, 1)]);
    let answer = scene.stack.invoke("dismiss", &early).await;
    assert_eq!(failures(&answer.expect("the invocation succeeds")), ["m0"]);
    assert_eq!(scene.changes(14).await, [429]);
    scene
        .stack
        .backstage
        .let_pass(&key, &["waiting_until"])
        .await;
    scene.redeliver(&key).await;
    let ended = scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
    assert_eq!(
        (&ended["attempts"], &ended["waitingUntil"]),
        (&json!(2), &Value::Null)
    );
    assert_eq!(scene.changes(14).await, [429, 200]);

    // In real time: the continuation is a delayed message, not one that is received again and again.
    scene.stack.github_fault(&secondary_limit(3)).await;
    let key = scene.dismiss(13).await;
    let ended = scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
    assert_eq!(ended["attempts"], 2, "one before the limit, one after it");
    assert_eq!(scene.changes(13).await, [429, 200]);
    let released = "the lease is released; the message is redelivered";
    assert_eq!(scene.stack.logged(released).len(), 0);

    // The limit outlasts the command's deadline.
    scene.stack.github_fault(&secondary_limit(7_200)).await;
    let key = scene.dismiss(11).await;
    let failed = scene.ada.ends_as(key.id, "GITHUB_RATE_LIMITED").await;
    assert_eq!(failed["effect"], "none");
    let error = failed["lastError"].as_str().expect("an error");
    assert!(error.contains("until 20"), "{error}");
    assert_eq!(scene.finding(11).await["status"], "open");
    scene.holds().await;
}

#[tokio::test]
async fn fault_29_a_rate_limited_check_causes_no_second_dismissal_request() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let limit = |seconds: u64| {
        json!({"repository": PYGOAT.1, "operation": "get_alert", "status": 429,
            "headers": {"retry-after": seconds.to_string()}, "times": 1})
    };
    let lost = change(&json!({"status": 502, "apply": true, "times": 2}));
    scene.stack.github_fault(&lost).await;
    scene.stack.github_fault(&limit(2)).await;
    let key = scene.dismiss(14).await;
    let ended = scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
    assert_eq!(ended["attempts"], 2, "{ended}");
    assert_eq!(scene.changes(14).await, [502]);

    // The limit outlasts the deadline, so whether GitHub dismissed the alert stays unknown.
    scene.stack.github_fault(&limit(7_200)).await;
    let key = scene.dismiss(13).await;
    let failed = scene.ada.ends_as(key.id, "GITHUB_RATE_LIMITED").await;
    assert_eq!(failed["effect"], "unknown");
    assert_eq!(scene.changes(13).await, [502]);
    // The next sync finds out.
    let sync = scene.ada.sync().await;
    scene.ada.ends_as(sync, "SYNC_COMPLETED").await;
    assert_eq!(scene.finding(13).await["status"], "ignored");
    scene.holds().await;
}

#[tokio::test]
async fn fault_30_a_dismissal_renews_refused_credentials_once_then_fails() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let tokens = async || scene.stack.github_calls("/access_tokens").await.len();
    let before = tokens().await;
    let once = change(&json!({"status": 401, "times": 1}));
    scene.stack.github_fault(&once).await;
    let key = scene.dismiss(14).await;
    let ended = scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
    assert_eq!(ended["attempts"], 1);
    assert_eq!(scene.changes(14).await, [401, 200]);
    assert_eq!(tokens().await - before, 2, "one token and one fresh one");

    let always = change(&json!({"status": 401}));
    scene.stack.github_fault(&always).await;
    let key = scene.dismiss(13).await;
    let failed = scene.ada.ends_as(key.id, "GITHUB_AUTH_INVALID").await;
    assert_eq!(failed["effect"], "none");
    assert_eq!(scene.changes(13).await, [401, 401]);
    let integration = scene.ada.get("integration").await.body;
    assert!(!integration["authInvalidAt"].is_null(), "{integration}");

    let asked = scene.stack.github_requests().await.len();
    let key = scene.dismiss(11).await;
    let refused = scene.ada.ends_as(key.id, "GITHUB_AUTH_INVALID").await;
    assert_eq!(refused["effect"], "none");
    let calls = scene.stack.github_requests().await.len();
    assert_eq!(calls, asked, "no further requests to GitHub");

    scene.stack.heal().await;
    let ada = scene.ada.owner();
    scene.stack.backstage.refused_long_ago(ada).await;
    let key = scene.dismiss(10).await;
    scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
    let integration = scene.ada.get("integration").await.body;
    assert_eq!(
        integration["authInvalidAt"],
        Value::Null,
        "a success clears the mark"
    );
    scene.holds().await;
}

#[tokio::test]
async fn of_two_concurrent_dismissals_of_a_finding_one_succeeds() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    for (number, answer) in [
        (14, json!({"delayMs": 800, "times": 2})),
        // Both answers are lost: both commands find the alert dismissed with their reason and comment.
        (
            13,
            json!({"effect": "drop_response", "delayMs": 800, "times": 2}),
        ),
    ] {
        scene.stack.github_fault(&change(&answer)).await;
        let (one, other) = join(scene.dismiss(number), scene.dismiss(number)).await;
        let mut codes = Vec::new();
        for key in [one, other] {
            let ended = scene.ada.ended(key.id).await;
            codes.push(ended["resultCode"].as_str().expect("a code").to_owned());
        }
        codes.sort_unstable();
        assert_eq!(codes, ["ALREADY_IGNORED", "FINDING_DISMISSED"], "{number}");
        let accepted = scene.changes(number).await;
        let accepted = accepted.iter().filter(|status| **status == 200).count();
        assert_eq!(accepted, 1, "{number}");
        assert_eq!(scene.finding(number).await["status"], "ignored");
        scene.stack.heal().await;
    }
    scene.holds().await;
}

#[tokio::test]
async fn a_stale_listing_never_undoes_a_dismissal() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let path = format!("/local/github/alerts/{}", PYGOAT.1);
    let before = scene.stack.get(&path).await;

    // GitHub's page arrives late.
    let late = json!({"repository": PYGOAT.1, "operation": "list_alerts", "status": 200, "body": before,
        "delayMs": 3_000, "times": 1});
    scene.stack.github_fault(&late).await;
    let listings = scene.listings().await;
    let sync = scene.ada.sync().await;
    eventually("the page is requested", async || {
        scene.listings().await > listings
    })
    .await;
    let key = scene.dismiss(14).await;
    scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
    assert_eq!(scene.ada.command(sync).await["status"], "running");
    scene.ada.ends_as(sync, "SYNC_COMPLETED").await;
    assert_eq!(scene.finding(14).await["status"], "ignored");

    // The page arrives in time with something new in it, and its write is late.
    let mut changed = scene.stack.get(&path).await;
    let alerts = changed.as_array_mut().expect("a list").iter_mut();
    for alert in alerts.filter(|alert| alert["number"] == 13) {
        alert["security_advisory"]["summary"] = json!("Told anew");
        alert["updated_at"] = json!("2026-11-01T00:00:00Z");
    }
    let page = json!({"repository": PYGOAT.1, "operation": "list_alerts", "status": 200, "body": changed, "times": 1});
    scene.stack.github_fault(&page).await;
    let held_up = json!({"service": "dynamodb", "operation": "TransactWriteItems", "function": "sync",
        "contains": "Told anew", "effect": "delay", "delayMs": 2_500, "times": 1});
    scene.stack.fault(&held_up).await;
    let listings = scene.listings().await;
    let sync = scene.ada.sync().await;
    eventually("the page is read", async || {
        scene.listings().await > listings
    })
    .await;
    let key = scene.dismiss(13).await;
    scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
    assert_eq!(scene.ada.command(sync).await["status"], "running");
    scene.ada.ends_as(sync, "SYNC_COMPLETED").await;
    assert_eq!(scene.finding(13).await["status"], "ignored");
    scene.holds().await;
}

#[tokio::test]
async fn a_reopened_alert_can_be_dismissed_again() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    for times in 1..=2 {
        let key = scene.dismiss(14).await;
        scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
        assert_eq!(scene.changes(14).await, vec![200; times]);
        if times == 1 {
            scene.reopen(14).await;
            let sync = scene.ada.sync().await;
            scene.ada.ends_as(sync, "SYNC_COMPLETED").await;
            assert_eq!(scene.finding(14).await["status"], "open");
        }
    }
    scene.holds().await;
}

#[tokio::test]
async fn a_dismissal_whose_comment_github_normalises_still_succeeds() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let alert = format!("/local/github/alerts/{}/14", PYGOAT.1);
    let mut tidied = scene.stack.get(&alert).await;
    for (name, value) in [
        ("state", "dismissed"),
        ("dismissed_reason", "not_used"),
        ("dismissed_comment", "No path leads there.\nNone at all."),
    ] {
        tidied[name] = json!(value);
    }
    let answer = json!({"status": 200, "apply": true, "body": tidied, "times": 1});
    scene.stack.github_fault(&change(&answer)).await;
    let mut wanted = dismissal(14);
    wanted["comment"] = json!(" No path leads there.\r\nNone at all. ");
    let answer = scene.ada.post(&wanted, None).await;
    let id = command_id(&answer.body);
    let ended = scene.ada.ends_as(id, "FINDING_DISMISSED").await;
    assert_eq!(ended["effect"], "applied");
    scene.holds().await;
}

#[tokio::test]
async fn a_connection_lost_while_frozen_costs_no_delivery() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let first = scene.dismiss(14).await;
    scene.ada.ends_as(first.id, "FINDING_DISMISSED").await;
    // The simulator resets what was idle for six seconds as soon as it is used again.
    let frozen = scene.stack.freeze("dismiss").await;
    assert_eq!(frozen.len(), 1, "one warm process");
    sleep(Duration::from_secs(7)).await;
    Stack::thaw(&frozen);
    let second = scene.dismiss(13).await;
    let ended = scene.ada.ends_as(second.id, "FINDING_DISMISSED").await;
    assert_eq!(ended["attempts"], 1);
    assert_eq!(scene.changes(13).await, [200]);
    assert_eq!(
        scene.stack.freeze("dismiss").await,
        frozen,
        "the same process"
    );
    Stack::thaw(&frozen);
    scene.holds().await;
}
