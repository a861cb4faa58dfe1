//! Operators' tasks: pausing command types, limiting tokens' scopes, connecting owners, scripting a client.

use std::{process::Stdio, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Caller, command_id};

use crate::{
    analysing::{callback_body, held},
    oracle,
    scene::{PYGOAT, Scene},
};

#[tokio::test]
async fn a_paused_command_type_is_not_admitted_and_the_others_are() {
    let scene = Scene::with(&["--parameter", "PausedCommands=sync"], &[PYGOAT.0]).await;
    let refused = scene.ada.post(&json!({"type": "sync"}), Some("once")).await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("COMMAND_PAUSED"))
    );
    assert_eq!(refused.headers["retry-after"], "60");
    assert_eq!(scene.ada.all("commands").await, Vec::<Value>::new());

    let change = json!({"repositorySelection": "all"});
    let saved = scene.ada.try_configure(&change);
    let saved = saved.await.expect("the API answers");
    assert_eq!(
        (saved.status, &saved.body["initialSync"]),
        (
            StatusCode::OK,
            &json!({"admitted": false, "code": "COMMAND_PAUSED"})
        )
    );
    let finding = json!({"type": "start_analysis", "findingId": "dependabot:1:1"});
    let other = scene.ada.post(&finding, None).await;
    assert_ne!(other.body["code"], "COMMAND_PAUSED", "{}", other.body);
    scene.holds().await;
}

#[tokio::test]
async fn a_command_admitted_before_its_type_is_paused_still_runs() {
    let scene = Scene::with(
        &["--parameter", "PausedCommands=sync,start_analysis"],
        &[PYGOAT.0],
    )
    .await;
    let key = scene.stack.backstage.admit(scene.ada.owner()).await;
    scene.stack.backstage.let_pass(&key, &["due_at"]).await;
    let run = scene.stack.reconcile().await;
    assert_eq!(run["resent"], 1, "{run}");
    scene.ada.ends_as(key.id, "SYNC_COMPLETED").await;
    scene.holds().await;
}

#[tokio::test]
async fn a_read_only_token_changes_nothing() {
    let scene = Scene::set().await;
    let reader = json!({"sub": oracle::SUBJECT, "scope": "openid security-agent:read"});
    let reader = scene.stack.caller(&reader).await;
    let unscoped = json!({"sub": oracle::SUBJECT, "scope": "openid"});
    let unscoped = scene.stack.caller(&unscoped).await;
    let seen = reader.get("commands").await;
    assert_eq!(
        (seen.status, &seen.body["commands"]),
        (StatusCode::OK, &json!([]))
    );
    assert_eq!(unscoped.get("commands").await.status, StatusCode::FORBIDDEN);

    let refused = |caller: Caller, method, path: &'static str| async move {
        let body = json!({"type": "sync"});
        let timeout = Duration::from_secs(5);
        let headers = [("if-match", "*")];
        let answer = caller.request(method, path, &headers, Some(&body), timeout);
        answer.await.expect("the API answers").status
    };
    for (method, path) in [
        (Method::POST, "me/commands"),
        (Method::PUT, "me/config"),
        (Method::DELETE, "me"),
    ] {
        let status = refused(reader.clone(), method.clone(), path).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}");
    }
    assert_eq!(scene.ada.all("commands").await, Vec::<Value>::new());
    scene.holds().await;
}

/// The most talkative log level is for lines of ours: the libraries below them log events and answers in full. Lambda
/// logs the errors that a function returns.
#[tokio::test]
async fn no_log_level_writes_tokens_payloads_or_rows() {
    let scene = Scene::with(&["--parameter", "LogLevel=TRACE"], &[PYGOAT.0]).await;
    let synced = scene.ada.sync().await;
    scene.ada.ends_as(synced, "SYNC_COMPLETED").await;
    let mut findings = scene.open_findings().await;
    let (analysed, dismissed) = (findings.remove(0), findings.remove(0));
    let row = scene.ada.get(&format!("findings/{dismissed}")).await.body;
    let title = row["title"].as_str().expect("a title");
    let comment = "A comment that only GitHub and the owner may read.";
    let dismiss = json!({"type": "dismiss_finding", "findingId": dismissed, "reason": "not_used", "comment": comment});
    let dismiss = scene.ada.post(&dismiss, None).await;
    scene
        .ada
        .ends_as(command_id(&dismiss.body), "FINDING_DISMISSED")
        .await;
    scene.analyse(&analysed).await;
    scene.analysis_is(&analysed, "completed").await;

    // An operator's requests for a person: one that connects, and each way to fail.
    let person = "user:jane.doe@example.org";
    let installation = scene.ada.get("integration").await.body["installationId"].clone();
    let connect = async |owner: &str, installation: &Value| {
        let request = json!({"owner": owner, "installationId": installation});
        scene.stack.invoke("connect", &request).await
    };
    connect(person, &installation).await.expect("connected");
    let fault = json!({"service": "dynamodb", "operation": "TransactWriteItems", "function": "connect", "effect": "error"});
    let too_long = format!("{person}{}", "x".repeat(200));
    for (owner, installation, said) in [
        (person, json!(1), "installation 1"),
        (
            "jane.doe@example.org",
            installation.clone(),
            "owner is invalid",
        ),
        (too_long.as_str(), installation.clone(), "owner is invalid"),
        (person, json!("jane.doe@example.org"), "installationId"),
        (person, installation.clone(), "cannot write the connection"),
    ] {
        if said.contains("write") {
            scene.stack.fault(&fault).await;
        }
        let refused = connect(owner, &installation)
            .await
            .expect_err("not connected");
        let message = refused["errorMessage"].as_str().expect("an error");
        assert!(message.contains(said), "{message}");
    }
    let lines = scene.stack.logged("the owner is connected");
    let owner: domain::owner::Owner = person.parse().expect("an owner");
    assert!(lines.iter().any(|line| line["owner"] == owner.hashed()));

    let logs = scene.stack.logs();
    assert!(
        logs.contains("cannot write the connection"),
        "what fails is logged"
    );
    for private in [
        "jane.doe",
        "doe@example.org",
        scene.ada.token(),
        title,
        comment,
        "Bearer ",
        "ghs_",
    ] {
        let line = logs.lines().find(|line| line.contains(private));
        assert_eq!(line, None, "a log has {private:?}");
    }
    // Private texts anywhere, and owners in clear.
    scene.holds().await;
}

#[tokio::test]
async fn connecting_an_owner_reports_what_the_app_may_do() {
    let scene = Scene::set().await;
    let claims = json!({"sub": "new", "connect": false});
    let new = scene.stack.caller(&claims).await;
    let enable = json!({"enabled": true});
    let early = new.try_configure(&enable).await.expect("the API answers");
    assert_eq!(early.body["code"], "INTEGRATION_REQUIRED");

    let known = scene.ada.get("integration").await.body;
    let installation = &known["installationId"];
    let request = json!({"owner": "user:new", "installationId": installation});
    let connected = scene
        .stack
        .invoke("connect", &request)
        .await
        .expect("connected");
    let repositories = new.all_repositories().await.len();
    assert_eq!(
        connected,
        json!({"installationId": installation, "canReadAlerts": true, "repositories": repositories})
    );
    assert!(repositories > 0);
    assert_eq!(new.get("integration").await.body, known);
    let [event] = &new.audit_events().await[..] else {
        panic!("connecting is audited once")
    };
    assert_eq!(
        json!([event["action"], event["actor"], event["details"]]),
        json!(["connected", "operator", {
            "before": null, "after": {"installationId": installation, "canReadAlerts": true},
        }])
    );
    let enabled = new.try_configure(&enable).await.expect("the API answers");
    let id = command_id(&enabled.body["initialSync"]["command"]);
    let again = scene.stack.invoke("connect", &request).await;
    assert_eq!(again, Ok(connected), "connecting again is safe");
    new.ended(id).await;

    for (request, said) in [
        (
            json!({"owner": "nobody", "installationId": 1}),
            "the request's owner is invalid",
        ),
        (
            json!({"owner": "user:new", "installationId": 1}),
            "installation 1",
        ),
        (json!({"owner": "user:new"}), "installationId"),
    ] {
        let refused = scene.stack.invoke("connect", &request).await;
        let refused = refused.expect_err("it must not connect");
        let message = refused["errorMessage"].as_str().expect("an error");
        assert!(message.contains(said), "{message}");
    }
    assert_eq!(
        new.get("integration").await.body,
        known,
        "a refusal changes nothing"
    );
    let connections = new.audit_events().await.into_iter();
    let connections = connections.filter(|event| event["action"] == "connected");
    assert_eq!(connections.count(), 1, "nothing else has changed it");
    scene.holds().await;
}

#[tokio::test]
async fn the_example_client_follows_a_command_to_its_end() {
    let scene = Scene::set().await;
    let run = async |command: &'static str| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating/client.sh");
        let client = tokio::process::Command::new("sh")
            .args([script, scene.stack.url(), scene.ada.token(), command])
            .stdin(Stdio::null())
            .output()
            .await;
        let client = client.expect("there is a shell");
        let said = String::from_utf8_lossy(&client.stdout).into_owned();
        (client.status.code(), said)
    };
    let (code, said) = run(r#"{"type":"sync"}"#).await;
    assert_eq!(code, Some(0), "{said}");
    let ended: Value = serde_json::from_str(&said).expect("the command as it ended");
    assert_eq!(ended["resultCode"], "SYNC_COMPLETED");

    let (code, said) = run(r#"{"type":"sync","repository":"acme-appsec/unheard-of"}"#).await;
    assert_eq!(code, Some(1), "{said}");
    let ended: Value = serde_json::from_str(&said).expect("the command as it ended");
    assert_eq!(ended["resultCode"], "REPOSITORY_UNAVAILABLE");

    assert_eq!(run(r#"{"type":"unheard of"}"#).await.0, Some(2));
    assert_eq!(scene.ada.all("commands").await.len(), 2);
    scene.holds().await;
}

/// What docs/operating/incidents.md promises of a leaked callback key.
#[tokio::test]
async fn a_removed_callback_key_ends_its_tokens_and_the_new_one_works() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let finding = scene.open_findings().await.remove(0);
    scene.stack.agent_fault(&held()).await;
    let first = scene.analyse(&finding).await;
    scene.ada.ends_as(first, "ANALYSIS_LAUNCH_STARTED").await;
    let session = scene.session(first).await;
    let session_id = session["cloudAgentSessionId"].as_str().expect("an id");

    let keys = json!({"active": "2", "keys": {"2": "0123456789abcdef".repeat(2)}});
    scene
        .stack
        .put_secret("callback-keys", &keys.to_string())
        .await;
    for function in ["api", "analyse"] {
        scene.stack.replace(function).await;
    }
    let late = callback_body(&session, "completed");
    assert_eq!(scene.stack.callback(session_id, &late).await, 401);
    assert_eq!(scene.analysis(&finding).await["status"], "running");

    scene.stack.heal().await;
    scene.restart(&finding).await;
    scene.analysis_is(&finding, "completed").await;
}

/// What docs/operating/incidents.md promises of a leaked cursor key.
#[tokio::test]
async fn a_changed_cursor_key_ends_its_cursors_and_lists_start_again() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let page = scene.ada.get("findings?limit=2").await.body;
    let cursor = page["nextCursor"].as_str().expect("a cursor");
    let next = format!("findings?limit=2&cursor={cursor}");
    assert_eq!(scene.ada.get(&next).await.status, StatusCode::OK);

    let key = "fedcba9876543210".repeat(4);
    scene.stack.put_secret("cursor-key", &key).await;
    scene.stack.replace("api").await;
    let refused = scene.ada.get(&next).await;
    assert_eq!(refused.body["code"], "INVALID_CURSOR");
    assert_eq!(scene.ada.all("findings").await.len(), 14);
}
