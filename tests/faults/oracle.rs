//! What holds after every run, whatever was injected: the seven points.

mod dismissals;

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tests::{Caller, PATIENCE, Stack, batch, command_id, failures, is_over, message};

/// What must appear in no log, message or error: personal data, and how GitHub's and the App's secrets begin.
pub(crate) const SECRETS: [&str; 6] = [
    "ada.canary@example.invalid",
    "Ada Canary",
    "ghs_",
    "PRIVATE KEY",
    "Bearer ",
    "eyJ",
];
/// The owner's id, which messages and its own answers may name, but no log.
pub(crate) const SUBJECT: &str = "auth0|canary-ada";

/// The lines that say that a command has ended, one for each way.
const ENDINGS: [&str; 4] = [
    "the command has ended",
    "no delivery is left; the command has failed",
    "the command's deadline has passed; it has failed",
    "the command of a malformed message",
];

/// Checks all seven points for these callers.
pub(crate) async fn check(stack: &Stack, callers: &[&Caller]) {
    check_after_erasure(stack, callers, &[]).await;
}

/// Like [`check`], where dismissals of these findings were under way when their owner was erased: GitHub may have made
/// each change once, and no command is left to tell of it.
pub(crate) async fn check_after_erasure(stack: &Stack, callers: &[&Caller], untold: &[&str]) {
    stack.heal().await;
    let mut commands = BTreeMap::new();
    for caller in callers {
        for view in caller.all("commands").await {
            caller.note(&view);
            assert!(is_over(&view), "1: {view}");
            commands.insert(command_id(&view), (*caller, view));
        }
    }
    ended_once(stack, &commands).await;
    for caller in callers {
        effect_is_true(stack, caller, &commands).await;
    }
    dismissals::are_true(stack, callers, &commands, untold).await;
    nothing_is_shared(stack, callers, &commands).await;
    nothing_is_told(stack, callers).await;
    dead_letters_are_settled(stack, &commands).await;
}

type Commands<'a> = BTreeMap<security_agent::command::CommandId, (&'a Caller, Value)>;

/// 2 and 3: every command ended once, and nothing that comes late moves it or reaches GitHub.
async fn ended_once(stack: &Stack, commands: &Commands<'_>) {
    for (id, (_, view)) in commands {
        let of_it = |line: &&Value| line["command.id"] == id.to_string() && line["ended"] != false;
        let endings: Vec<_> = ENDINGS
            .iter()
            .flat_map(|message| stack.logged(message))
            .collect();
        let endings = endings.iter().filter(of_it).count();
        let queued = view["resultCode"] != "QUEUE_ADMISSION_FAILED";
        assert!(
            endings <= usize::from(queued),
            "2: {endings} endings of {view}"
        );
    }
    let asked = stack.github_calls("").await.len();
    for (id, (caller, view)) in commands {
        let key = caller.key(*id);
        let stage = stack.backstage.command(&key).await.standing.stage.0;
        let late: Vec<String> = (0..=stage).map(|stage| message(&key, stage)).collect();
        let (function, queues) = worker(view);
        for (function, queue) in [
            (function, format!("{queues}Queue")),
            ("dead-letter", format!("{queues}DeadLetterQueue")),
        ] {
            let answer = stack.invoke(function, &batch(&queue, &late)).await;
            let answer = answer.expect("late messages do no harm");
            assert_eq!(failures(&answer), [""; 0], "2: {function}");
        }
    }
    let report = stack.reconcile().await;
    assert_eq!(report["stalled"], 0, "2: {report}");
    assert_eq!(report["resent"], 0, "2: {report}");
    for (id, (caller, view)) in commands {
        assert_eq!(
            &caller.command(*id).await,
            view,
            "2: a late message moved it"
        );
    }
    let calls = stack.github_calls("").await.len();
    assert_eq!(calls, asked, "3: a late message reached GitHub");
}

/// The function that works on commands of this type, and how the names of their queues begin.
fn worker(view: &Value) -> (&'static str, &'static str) {
    match view["type"].as_str() {
        Some("sync") => ("sync", "Sync"),
        Some("dismiss_finding") => ("dismiss", "Dismiss"),
        Some("start_analysis") => ("analyse", "Analyse"),
        _ => panic!("a command of no type: {view}"),
    }
}

/// 4: the effect that a command tells of is what GitHub answered and what is stored.
async fn effect_is_true(stack: &Stack, caller: &Caller, commands: &Commands<'_>) {
    let own = || {
        let all = commands.values();
        all.filter(|(owner, _)| owner.owner() == caller.owner())
            .map(|(_, view)| view)
    };
    let effects: BTreeSet<&str> = own()
        .filter(|view| view["type"] == "sync")
        .map(|view| view["effect"].as_str().expect("an ended command says it"))
        .collect();
    let apart: BTreeSet<&str> = own().filter_map(dismissals::apart).collect();
    let findings = caller.all("findings").await;
    let repositories = caller.get("repositories").await.body["repositories"].clone();
    let repositories = repositories.as_array().expect("a list");
    let refreshed: Vec<&Value> = repositories
        .iter()
        .filter(|repository| !repository["lastSucceededAt"].is_null())
        .collect();
    let scheduled = stack.logged("a scheduled sync has ended").len();
    if !effects.is_empty() && effects.iter().all(|effect| *effect == "none") && scheduled == 0 {
        assert!(
            findings.is_empty() && refreshed.is_empty(),
            "4: something was done"
        );
    }
    assert!(
        !effects.contains("applied") || !refreshed.is_empty(),
        "4: nothing was done"
    );
    for repository in refreshed {
        let name = repository["fullName"].as_str().expect("a name");
        let answers = stack
            .github_calls(&format!("/repos/{name}/dependabot/alerts"))
            .await;
        assert!(
            answers.contains(&200),
            "4: GitHub never answered for {name}"
        );
        if repository["lastFailureCode"].is_null() {
            let stored = stored(&findings, name);
            let theirs = at_github(stack, name).await;
            let compared = |alerts: Vec<(u64, String)>| -> Vec<(u64, String)> {
                let id = |number: &u64| format!("dependabot-{}-{number}", repository["id"]);
                let mut compared = alerts;
                compared.retain(|(number, _)| !apart.contains(id(number).as_str()));
                compared
            };
            assert_eq!(compared(stored), compared(theirs), "4: findings of {name}");
        }
    }
}

/// The findings of a repository: number and status, each as often as it is there.
fn stored(findings: &[Value], repository: &str) -> Vec<(u64, String)> {
    let own = findings
        .iter()
        .filter(|finding| finding["repository"] == repository);
    let mut stored: Vec<_> = own
        .map(|finding| {
            let number = finding["sourceId"].as_str().expect("an id");
            let status = finding["status"].as_str().expect("a status");
            (number.parse().expect("a number"), status.to_owned())
        })
        .collect();
    stored.sort();
    stored
}

/// The alerts of a repository as GitHub has them now, in the words of findings.
async fn at_github(stack: &Stack, repository: &str) -> Vec<(u64, String)> {
    let alerts = stack
        .get(&format!("/local/github/alerts/{repository}"))
        .await;
    let alerts = alerts.as_array().expect("a list").iter();
    let mut alerts: Vec<_> = alerts
        .map(|alert| {
            let status = match alert["state"].as_str().expect("a state") {
                "dismissed" | "auto_dismissed" => "ignored",
                state => state,
            };
            (
                alert["number"].as_u64().expect("a number"),
                status.to_owned(),
            )
        })
        .collect();
    alerts.sort();
    alerts
}

/// 5: somebody else sees none of it, and cannot tell it from what does not exist.
async fn nothing_is_shared(stack: &Stack, callers: &[&Caller], commands: &Commands<'_>) {
    let stranger = stack.caller(&serde_json::json!({"sub": "stranger"})).await;
    let absent = "commands/01932b3a-5c00-7000-8000-000000000001";
    let absent = stranger.get(absent).await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    for (id, (caller, _)) in commands {
        let own = stranger.get(&format!("commands/{id}")).await;
        assert_eq!(
            (own.status, own.body),
            (absent.status, absent.body.clone()),
            "5"
        );
        let path = format!("{}/commands/{id}", encoded(caller));
        let theirs = stranger
            .request(Method::GET, &path, &[], None, PATIENCE)
            .await;
        let theirs = theirs.expect("the API answers");
        assert_eq!(
            (theirs.status, theirs.body),
            (absent.status, absent.body.clone()),
            "5"
        );
        let listed = stranger.get(&format!("commands?ids={id}")).await;
        assert_eq!(listed.body["commands"], serde_json::json!([]), "5");
    }
    for caller in callers {
        for finding in caller.all("findings").await.iter().take(2) {
            let id = finding["id"].as_str().expect("an id");
            let seen = stranger.get(&format!("findings/{id}")).await;
            assert_eq!(seen.status, StatusCode::NOT_FOUND, "5: {id}");
        }
    }
    assert_eq!(stranger.all("findings").await, [Value::Null; 0], "5");
}

/// The owner in a path.
pub(crate) fn encoded(caller: &Caller) -> String {
    caller.owner().to_string().replace('|', "%7C")
}

/// 6: no secret and no personal datum left the place where it belongs.
async fn nothing_is_told(stack: &Stack, callers: &[&Caller]) {
    let logs = stack.logs();
    let refusals = callers.iter().flat_map(|caller| caller.refusals());
    let refusals: String = refusals.collect();
    let mut messages = String::new();
    let mut kept_in = stack.dead_letter_queues().await;
    kept_in.push("MalformedQueue".to_owned());
    for queue in &kept_in {
        let kept = stack.backstage.peek(queue).await;
        messages.extend(kept.into_iter().filter_map(|message| message.body));
    }
    for secret in SECRETS {
        assert!(!logs.contains(secret), "6: {secret} in a log");
        assert!(!messages.contains(secret), "6: {secret} in a message");
        assert!(!refusals.contains(secret), "6: {secret} in a refusal");
    }
    assert!(!logs.contains(SUBJECT), "6: an owner's id in a log");
}

/// 7: what came to a dead-letter queue ended its command, or is kept for an operator.
async fn dead_letters_are_settled(stack: &Stack, commands: &Commands<'_>) {
    for queue in &stack.dead_letter_queues().await {
        assert_eq!(stack.depth(queue).await, 0, "7: {queue}");
    }
    let with = |code: &str| {
        let found = commands
            .values()
            .filter(|(_, view)| view["resultCode"] == code);
        found.count()
    };
    let settled = stack
        .logged("no delivery is left; the command has failed")
        .len();
    let by_worker = stack.logged("the command has ended");
    let by_worker = by_worker
        .iter()
        .filter(|line| line["command.code"] == "QUEUE_RETRIES_EXHAUSTED")
        .count();
    assert_eq!(settled + by_worker, with("QUEUE_RETRIES_EXHAUSTED"), "7");
    let kept = stack
        .logged("a malformed message was kept for inspection")
        .len()
        + stack
            .logged("a newer message was kept for inspection")
            .len();
    let held = stack.depth("MalformedQueue").await;
    assert_eq!(held, u64::try_from(kept).expect("a few"), "7");
    assert!(with("MALFORMED_MESSAGE") <= kept, "7");
}
