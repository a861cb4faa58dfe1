//! What the state file stores and what it must not.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use agent_simulator::{OpenError, Simulator};
use serde_json::{Value, json};

use crate::receiver::{Answer, Receiver};
use crate::server::{
    FOR_GOOD, GITHUB_TOKEN, Server, TOKEN, TOKEN_TO_CALL_BACK, answers, body, place,
};

#[tokio::test]
async fn an_owed_callback_is_made_after_a_restart() {
    let place = place("resumed");
    let state = place.join("agent.json");
    let receiver = Receiver::start(&[]).await;
    let first = Server::open(Some(&state), FOR_GOOD).await;
    let launched = first.launch("attempt-1", &body(&receiver.target())).await;
    first.launch("attempt-1", &json!({})).await;
    first.simulator.stop().await;
    assert_eq!(receiver.all().len(), 0);

    let second = Server::open(Some(&state), Duration::ZERO).await;
    let again = second.launch("attempt-1", &json!({})).await;
    assert_eq!(again.body, launched.body, "the same session");
    second.simulator.resume();
    second.simulator.resume();
    let session = second.settled(launched.id()).await;
    assert_eq!(answers(&session), [("completed", Some(202))]);
    assert_eq!(session["requests"], 3);
    let received = receiver.all();
    assert_eq!(received.len(), 1, "once, however often it resumes");
    assert_eq!(
        received[0].authorization,
        format!("Bearer {TOKEN_TO_CALL_BACK}")
    );
    assert_eq!(received[0].body["result"]["suggestedAction"], "open_pr");

    second.simulator.stop().await;
    let third = Server::open(Some(&state), Duration::ZERO).await;
    third.simulator.resume();
    assert_eq!(
        third.session(launched.id()).await,
        session,
        "nothing is owed"
    );
    third.simulator.stop().await;
    assert_eq!(receiver.all().len(), 1);
}

/// Copies the file while the simulator runs: each copy is what a kill at that time would leave.
#[tokio::test]
async fn a_kill_at_any_time_loses_no_answered_change() {
    let place = place("killed");
    let state = place.join("agent.json");
    let receiver = Receiver::start(&[Answer::Status(401)]).await;
    let first = Server::open(Some(&state), FOR_GOOD).await;
    let mut ids = Vec::new();
    for key in ["running", "interrupted", "refused"] {
        let reply = first.launch(key, &body(&receiver.target())).await;
        ids.push(reply.id().to_owned());
    }
    let end = json!({"status": "failed"});
    let path = format!("/sessions/{}/callback", ids[2]);
    let refused = first.local(reqwest::Method::POST, &path, &end).await;
    assert_eq!(refused.body, json!({"answer": 401}));
    first
        .fault(json!({"operation": "callback", "effect": "hold"}))
        .await;
    assert_eq!(first.interrupt(&ids[1]).await.status, 204);

    let copy = place.join("copy.json");
    fs::copy(&state, &copy).expect("copied");
    let mut torn = fs::OpenOptions::new()
        .append(true)
        .open(&copy)
        .expect("opened");
    torn.write_all(b"{\"cloudAgentSessionId\":\"0")
        .expect("written");
    drop(torn);

    let second = Server::open(Some(&copy), Duration::ZERO).await;
    second.simulator.resume();
    let mut ends = Vec::new();
    for (id, session) in ids.iter().zip(second.sessions().await) {
        assert_eq!(session["cloudAgentSessionId"], **id, "oldest first");
        let session = second.settled(id).await;
        ends.push((
            session["status"].clone(),
            session["callbacks"][0]["answer"].clone(),
        ));
    }
    let expected = [("completed", 202), ("interrupted", 202), ("failed", 401)];
    let expected = expected.map(|(status, answer)| (json!(status), json!(answer)));
    assert_eq!(ends, expected);
    assert_eq!(receiver.all().len(), 3);
}

#[test]
fn background_work_ends_with_the_runtime() {
    let place = place("dropped");
    let state = place.join("agent.json");
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let receiving = runtime();
    let receiver = receiving.block_on(Receiver::start(&[]));

    let first = runtime();
    let id = first.block_on(async {
        let server = Server::open(Some(&state), FOR_GOOD).await;
        let reply = server.launch("attempt-1", &body(&receiver.target())).await;
        reply.id().to_owned()
    });
    drop(first);

    runtime().block_on(async {
        let server = Server::open(Some(&state), Duration::ZERO).await;
        server.simulator.resume();
        assert_eq!(server.settled(&id).await["status"], "completed");
    });
    assert_eq!(receiver.all().len(), 1);
}

#[tokio::test]
async fn background_work_ends_with_the_last_handle() {
    let place = place("handles");
    let state = place.join("agent.json");
    let receiver = Receiver::start(&[]).await;
    let server = Server::open(Some(&state), FOR_GOOD).await;
    server.launch("attempt-1", &body(&receiver.target())).await;
    server.simulator.stop().await;

    let simulator = Simulator::open(Some(&state), TOKEN, FOR_GOOD).expect("a valid state");
    simulator.resume();
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    drop(simulator);
    crate::server::eventually("the task to end", async {
        while metrics.num_alive_tasks() >= before {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn no_github_token_is_stored_and_the_capability_only_privately() {
    let place = place("secrets");
    let state = place.join("deep/agent.json");
    let receiver = Receiver::start(&[]).await;
    let server = Server::open(Some(&state), Duration::ZERO).await;
    let reply = server.launch("attempt-1", &body(&receiver.target())).await;
    let session = server.settled(reply.id()).await;
    assert_eq!(session["githubTokenGiven"], true);
    let mut without = body(&receiver.target());
    without["githubToken"] = json!(null);
    let without = server.launch("attempt-2", &without).await;
    let session = server.settled(without.id()).await;
    assert_eq!(session["githubTokenGiven"], false);

    let mut kept = String::new();
    for entry in fs::read_dir(place.join("deep")).expect("a directory") {
        let path = entry.expect("an entry").path();
        kept += &fs::read_to_string(&path).expect("text");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
    }
    let shown = Value::from(server.sessions().await).to_string();
    let sent: String = receiver
        .all()
        .into_iter()
        .map(|callback| callback.text)
        .collect();
    let debug = format!("{:?}", server.simulator);
    for text in [&kept, &shown, &sent, &debug] {
        assert!(
            !text.contains(GITHUB_TOKEN) && !text.contains(TOKEN),
            "{text}"
        );
    }
    assert!(
        kept.contains(TOKEN_TO_CALL_BACK),
        "or a restart could not call back"
    );
    for text in [&shown, &sent, &debug] {
        assert!(!text.contains(TOKEN_TO_CALL_BACK), "{text}");
    }
}

#[test]
fn an_invalid_state_file_is_not_modified() {
    let place = place("foreign");
    let state = place.join("agent.json");
    fs::write(&state, "{}\n").expect("written");
    let error = Simulator::open(Some(&state), TOKEN, FOR_GOOD).expect_err("not a session");
    assert!(
        matches!(error, OpenError::Parse { line: 1, .. }),
        "{error:?}"
    );
    assert_eq!(fs::read_to_string(&state).expect("still there"), "{}\n");
}
