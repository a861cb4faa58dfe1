//! Erasing an owner while work for it is running, queued and late leaves nothing, and nothing returns.

use std::time::Duration;

use domain::{Timestamp, command::CommandId, owner::Owner};
use reqwest::{Method, StatusCode};
use runtime::queue::{Message, ScheduledSync};
use serde_json::{Value, json};
use tests::{
    Answer, Caller, Launch, Stack, TIMEOUT, batch, binaries, command_id, eventually, failures,
    message,
};
use tokio::time::{Instant, sleep};

use crate::{
    analysing::held,
    scene::{PYGOAT, Scene, ada},
};

/// An erasure makes its last sweep after 20 s.
const ERASED_WITHIN: Duration = Duration::from_secs(45);

async fn erase(caller: &Caller) -> Answer {
    caller.try_erase().await.expect("the API answers")
}

/// Waits until the owner's erasure is done.
async fn erased(caller: &Caller) -> Value {
    let deadline = Instant::now() + ERASED_WITHIN;
    loop {
        let erasure = caller.get("erasure").await.body;
        if erasure["status"] == "completed" {
            return erasure;
        }
        assert!(
            Instant::now() < deadline,
            "the erasure never completed: {erasure}"
        );
        sleep(Duration::from_millis(100)).await;
    }
}

/// The kind and sort key of each of an owner's rows.
async fn rows(stack: &Stack, owner: &Owner) -> Vec<String> {
    let mut rows = Vec::new();
    for kind in ["command", "key", "owner", "repository", "finding", "audit"] {
        let prefix = format!("{kind}#{owner}");
        let text =
            |item: &store::table::Item, name: &str| item[name].as_s().expect("a key").clone();
        let items = stack.backstage.items(&prefix).await;
        rows.extend(
            items
                .iter()
                .map(|item| format!("{kind} {}", text(item, "sk"))),
        );
    }
    rows
}

/// Checks that the API shows nothing of the owner.
async fn nothing_is_shown(caller: &Caller) {
    for list in ["commands", "findings", "repositories"] {
        assert_eq!(caller.all(list).await, [Value::Null; 0], "{list}");
    }
    let events = caller.get("audit-events").await.body;
    assert_eq!(events["auditEvents"], json!([]));
    let config = caller.get("config").await.body;
    assert_eq!(
        (&config["enabled"], &config["version"]),
        (&json!(false), &json!(0))
    );
    assert_eq!(caller.get("integration").await.body["connected"], false);
    let summary = caller.get("summary").await.body;
    assert_eq!(summary["findings"]["open"], 0);
    assert_eq!(summary["analysis"]["running"], 0);
}

fn admitted(answer: &Answer) -> CommandId {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    command_id(&answer.body)
}

#[expect(clippy::disallowed_methods, reason = "the stack lives in real time")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[tokio::test]
async fn fault_34_erasing_an_owner_with_work_in_progress_leaves_nothing() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let ada = &scene.ada;
    let findings = scene.open_findings().await;

    // An analysis runs, a launch waits for the agent, a dismissal and a sync wait for GitHub.
    scene.stack.agent_fault(&held()).await;
    let analysed = scene.analyse(&findings[0]).await;
    ada.ends_as(analysed, "ANALYSIS_LAUNCH_STARTED").await;
    let session = scene.session(analysed).await;
    let slow = json!({"operation": "create_session", "delayMs": 6_000, "times": 1});
    scene.stack.agent_fault(&slow).await;
    let launching = scene.analyse(&findings[1]).await;
    for operation in ["list_alerts", "update_alert"] {
        let slow =
            json!({"repository": PYGOAT.1, "operation": operation, "delayMs": 6_000, "times": 1});
        scene.stack.github_fault(&slow).await;
    }
    let dismiss = json!({"type": "dismiss_finding", "findingId": findings[2], "reason": "inaccurate", "comment": "Not ours."});
    let dismissing = admitted(&ada.post(&dismiss, Some("dismissed")).await);
    let syncing = ada.sync().await;
    for id in [launching, dismissing, syncing] {
        ada.until(id, "running", |view| view["status"] == "running")
            .await;
    }
    eventually("all wait for GitHub and the agent", async || {
        let asked = scene.stack.get("/local/github/requests").await;
        let unanswered = asked.as_array().expect("a list").iter();
        let unanswered = unanswered.filter(|call| call["status"].is_null());
        unanswered.count() == 2 && scene.slots_taken().await == 2
    })
    .await;

    let asked = erase(ada).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.body);
    assert_eq!(asked.body["status"], "running");
    assert_eq!(asked.headers["location"], "/v1/owners/me/erasure");
    let again = erase(ada).await;
    assert_eq!(again.body["requestedAt"], asked.body["requestedAt"]);
    // Requests after the 202 are refused, also those that repeat an earlier one.
    let headers = [("if-match", "*")];
    let change = json!({"slaDays": {"low": 80}});
    let saved = ada.request(Method::PUT, "me/config", &headers, Some(&change), TIMEOUT);
    let saved = saved.await.expect("the API answers");
    assert_eq!(
        (saved.status, &saved.body["code"]),
        (StatusCode::CONFLICT, &json!("OWNER_BEING_ERASED"))
    );
    let sync = json!({"type": "sync"});
    for (command, key) in [
        (&sync, None),
        (&sync, Some("late")),
        (&dismiss, Some("dismissed")),
    ] {
        let refused = ada.post(command, key).await;
        assert_eq!(
            (refused.status, &refused.body["code"]),
            (StatusCode::CONFLICT, &json!("OWNER_BEING_ERASED"))
        );
    }

    let done = erased(ada).await;
    assert_eq!(done["requestedAt"], asked.body["requestedAt"]);
    assert!(!done["completedAt"].is_null());
    nothing_is_shown(ada).await;
    let tombstone = ["owner erasure"];
    assert_eq!(rows(&scene.stack, ada.owner()).await, tombstone);

    // No session goes on, not even the one whose launch the erasure overtook.
    for command in [analysed, launching] {
        let session = scene.session(command).await;
        assert_eq!(session["status"], "interrupted", "{session}");
    }

    // Deliver everything that can be late.
    scene.stack.heal().await;
    eventually("every session has called back", async || {
        let sessions = scene.stack.agent_sessions().await;
        sessions.iter().all(|session| session["settled"] == true)
    })
    .await;
    let body = crate::analysing::callback_body(&session, "completed");
    let name = session["cloudAgentSessionId"].as_str().expect("an id");
    assert_eq!(scene.stack.callback(name, &body).await, 202);
    let scheduled = Message::ScheduledSync(ScheduledSync {
        owner: ada.owner().clone(),
        pass: "01932b3a-5c00-7000-8000-000000000002"
            .parse()
            .expect("a UUID"),
        began: now(),
    });
    let began: Timestamp = done["requestedAt"]
        .as_str()
        .expect("a time")
        .parse()
        .expect("RFC 3339");
    let erase_again = Message::Erase {
        owner: ada.owner().clone(),
        requested_at: began,
    };
    let of = |id| message(&ada.key(id), 0);
    let called_back = scene.callback_message(&findings[0], analysed);
    let syncs = vec![of(syncing)];
    let launches = vec![of(analysed), of(launching)];
    for (function, queue, late) in [
        ("sync", "SyncQueue", syncs.clone()),
        ("sync", "ScheduledSyncQueue", vec![scheduled.body()]),
        ("dismiss", "DismissQueue", vec![of(dismissing)]),
        ("analyse", "AnalyseQueue", launches.clone()),
        (
            "record-analysis",
            "CallbackQueue",
            vec![called_back.clone()],
        ),
        ("erase", "EraseQueue", vec![erase_again.body()]),
        ("dead-letter", "SyncDeadLetterQueue", syncs),
        (
            "dead-letter",
            "DismissDeadLetterQueue",
            vec![of(dismissing)],
        ),
        ("dead-letter", "AnalyseDeadLetterQueue", launches),
        ("dead-letter", "CallbackDeadLetterQueue", vec![called_back]),
    ] {
        let answer = scene.stack.invoke(function, &batch(queue, &late)).await;
        let answer = answer.expect("late messages are handled");
        assert_eq!(failures(&answer), [""; 0], "{function} of {queue}");
    }
    let report = scene.stack.reconcile().await;
    assert_eq!(report["errors"], 0, "{report}");
    for queue in [
        "SyncQueue",
        "DismissQueue",
        "AnalyseQueue",
        "CallbackQueue",
        "EraseQueue",
    ] {
        eventually(&format!("{queue} is empty"), async || {
            scene.stack.depth(queue).await == 0
        })
        .await;
    }
    assert_eq!(rows(&scene.stack, ada.owner()).await, tombstone);
    nothing_is_shown(ada).await;

    // The same person starts afresh.
    let returning = crate::scene::ada(&scene.stack).await;
    let change = json!({"enabled": true, "repositorySelection": "selected", "selectedRepositoryIds": [PYGOAT.0]});
    let saved = returning.request(Method::PUT, "me/config", &headers, Some(&change), TIMEOUT);
    let saved = saved.await.expect("the API answers").body;
    assert_eq!(saved["config"]["version"], 1, "{saved}");
    let id = command_id(&saved["initialSync"]["command"]);
    returning.ends_as(id, "SYNC_COMPLETED").await;
    assert_eq!(returning.all("findings").await.len(), 14);
    // Messages and callbacks from before the erasure still change nothing.
    let late = batch("AnalyseQueue", &[of(launching)]);
    let answer = scene.stack.invoke("analyse", &late).await;
    assert_eq!(failures(&answer.expect("the invocation succeeds")), [""; 0]);
    assert_eq!(scene.stack.callback(name, &body).await, 202);
    assert_eq!(scene.analysis(&findings[0]).await, Value::Null);
    let number = findings[2].rsplit('-').next().expect("a number");
    let untold = tests::oracle::alert_path(PYGOAT.1, number);
    crate::oracle::check_after_erasure(&scene.stack, &[&returning], &[untold]).await;
}

#[tokio::test]
async fn fault_34_a_command_is_refused_or_outlives_the_erasure() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let ada = &scene.ada;
    assert_eq!(erase(ada).await.status, StatusCode::ACCEPTED);
    let deadline = Instant::now() + ERASED_WITHIN;
    let mut refused = 0;
    let accepted = loop {
        let answer = ada.post(&json!({"type": "sync"}), None).await;
        if answer.status == StatusCode::ACCEPTED {
            break command_id(&answer.body);
        }
        assert_eq!(answer.body["code"], "OWNER_BEING_ERASED", "{}", answer.body);
        refused += 1;
        assert!(Instant::now() < deadline, "the erasure never completed");
        sleep(Duration::from_millis(100)).await;
    };
    assert!(refused > 10, "{refused} refused while the erasure ran");
    assert_eq!(ada.get("erasure").await.body["status"], "completed");
    ada.until(accepted, "ended", tests::is_over).await;
    assert_eq!(ada.all("commands").await.len(), 1);
    crate::oracle::check(&scene.stack, &[ada]).await;
}

#[tokio::test]
async fn fault_34_an_erasure_does_not_wait_for_an_agent_that_is_down() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let finding = scene.open_findings().await.remove(0);
    scene.stack.agent_fault(&held()).await;
    let analysed = scene.analyse(&finding).await;
    scene.ada.ends_as(analysed, "ANALYSIS_LAUNCH_STARTED").await;
    let down = json!({"operation": "interrupt_session", "delayMs": 60_000});
    scene.stack.agent_fault(&down).await;
    assert_eq!(erase(&scene.ada).await.status, StatusCode::ACCEPTED);
    erased(&scene.ada).await;
    let left = rows(&scene.stack, scene.ada.owner()).await;
    assert_eq!(left, ["owner erasure"]);
    assert_eq!(scene.session(analysed).await["status"], "running");
}

#[tokio::test]
async fn fault_34_an_erasure_resumes_after_a_lost_message_or_a_dead_worker() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let bob = scene.another("bob").await;
    let id = bob.sync().await;
    bob.ends_as(id, "SYNC_COMPLETED").await;
    let kept = rows(&scene.stack, bob.owner()).await;

    let lost =
        json!({"service": "sqs", "operation": "SendMessage", "function": "api", "effect": "error"});
    scene.stack.fault(&lost).await;
    let asked = erase(&scene.ada).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.body);
    scene.stack.heal().await;
    let early = scene.stack.reconcile().await;
    assert_eq!(early["resumed"], 0, "{early}");
    let row = format!("owner#{}", scene.ada.owner());
    // The second deletion is the repositories', after settings and integration.
    let dies = json!({"service": "dynamodb", "operation": "BatchWriteItem", "function": "erase",
        "effect": "kill_before", "after": 1, "times": 1});
    scene.stack.fault(&dies).await;
    scene.stack.backstage.let_be_due(&row, "erasure").await;
    assert_eq!(scene.stack.reconcile().await["resumed"], 1);
    scene.dies("erase", 1).await;
    let left = rows(&scene.stack, scene.ada.owner()).await;
    assert!(
        left.iter().any(|row| row.starts_with("finding")),
        "{left:?}"
    );
    assert_eq!(scene.ada.get("erasure").await.body["status"], "running");

    scene.stack.backstage.let_be_due(&row, "erasure").await;
    let (one, other) =
        futures::future::join(scene.stack.reconcile(), scene.stack.reconcile()).await;
    let resumed = |report: &Value| report["resumed"].as_u64().unwrap_or(0);
    assert_eq!(resumed(&one) + resumed(&other), 1, "{one} and {other}");
    erased(&scene.ada).await;
    assert_eq!(
        rows(&scene.stack, scene.ada.owner()).await,
        ["owner erasure"]
    );
    nothing_is_shown(&scene.ada).await;
    assert_eq!(
        rows(&scene.stack, bob.owner()).await,
        kept,
        "another owner's rows stay"
    );
    let idle = scene.stack.reconcile().await;
    assert_eq!(
        (&idle["resumed"], &idle["nominated"]),
        (&json!(0), &json!(0))
    );
    crate::oracle::check(&scene.stack, &[&bob]).await;
}

#[tokio::test]
async fn an_owner_being_erased_gets_a_local_token_without_github() {
    // Nothing listens at this address and the key file holds no key, so connecting an owner fails.
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").to_owned();
    let launch = Launch {
        binaries: binaries().await.to_owned(),
        options: [
            "--no-schedules",
            "--ephemeral",
            "--listen=127.0.0.1:0",
            "--github=http://127.0.0.1:1",
            "--parameter=GithubAppId=1",
        ]
        .map(str::to_owned)
        .to_vec(),
        environment: vec![("LOCAL_GITHUB_PRIVATE_KEY_FILE", key)],
        github_desk: None,
    };
    let stack = launch.start().await.expect("the stack starts");
    let leaving = stack.caller(&json!({"sub": "leaving"})).await;
    let connecting = async || {
        let claims = json!({"sub": "leaving", "installation": 7});
        let asked = reqwest::Client::new()
            .post(format!("{}/local/tokens", stack.url()))
            .json(&claims)
            .send();
        let answer = asked.await.expect("the stack answers");
        let status = answer.status();
        let body: Value = answer.json().await.expect("it is JSON");
        (status.is_success(), body)
    };
    let (given, refused) = connecting().await;
    assert!(!given && refused["code"] == "CONNECT_FAILED", "{refused}");

    assert_eq!(erase(&leaving).await.status, StatusCode::ACCEPTED);
    let (given, answer) = connecting().await;
    assert!(given, "{answer}");
    let token = answer["token"].as_str().expect("a token");
    let leaving = Caller::new(stack.url(), token, "leaving");
    assert_eq!(leaving.get("erasure").await.body["status"], "running");
    assert_eq!(leaving.get("integration").await.body["connected"], false);
}

#[tokio::test]
async fn an_organisation_or_another_person_cannot_be_erased() {
    let stack = Stack::start(&[]).await;
    let org = "org:7f1a3c52-9d0e-4b7a-8a3e-0d8c1f2b4a60";
    let member = json!({"sub": "member", "orgs": [org]});
    let member = stack.caller(&member).await;
    let path = format!("{org}?confirm={org}");
    let asked = member.request(Method::DELETE, &path, &[], None, TIMEOUT);
    let asked = asked.await.expect("the API answers");
    assert_eq!(
        (asked.status, &asked.body["code"]),
        (StatusCode::METHOD_NOT_ALLOWED, &json!("NOT_ERASABLE"))
    );
    let victim = ada(&stack).await;
    let before = rows(&stack, victim.owner()).await;
    let path = format!("{0}?confirm={0}", victim.encoded());
    let asked = member.request(Method::DELETE, &path, &[], None, TIMEOUT);
    let asked = asked.await.expect("the API answers");
    assert_eq!(asked.status, StatusCode::NOT_FOUND);
    assert_eq!(rows(&stack, victim.owner()).await, before);
    assert_eq!(victim.get("erasure").await.status, StatusCode::NOT_FOUND);
    crate::oracle::check(&stack, &[&victim, &member]).await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "sign-ins are in real time")]
async fn an_erasure_needs_a_confirmation_and_a_recent_sign_in() {
    let stack = Stack::start(&[]).await;
    let now = Timestamp::now().as_seconds();
    let signed_in = async |ago: i64| {
        let claims = json!({"sub": "ada", "claims": {"auth_time": now - ago}});
        stack.caller(&claims).await
    };
    let (fresh, stale) = (signed_in(0).await, signed_in(601).await);
    let before = rows(&stack, fresh.owner()).await;
    for path in ["me", "me?confirm=me", "me?confirm=user:bob"] {
        let asked = fresh.request(Method::DELETE, path, &[], None, TIMEOUT);
        let asked = asked.await.expect("the API answers");
        assert_eq!(asked.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(asked.body["code"], "VALIDATION_FAILED", "{path}");
    }
    let asked = erase(&stale).await;
    assert_eq!(
        (asked.status, &asked.body["code"]),
        (StatusCode::UNAUTHORIZED, &json!("SIGN_IN_TOO_OLD"))
    );
    assert_eq!(rows(&stack, fresh.owner()).await, before);
    assert_eq!(fresh.get("erasure").await.status, StatusCode::NOT_FOUND);
    assert_eq!(erase(&fresh).await.status, StatusCode::ACCEPTED);
    erased(&fresh).await;
}
