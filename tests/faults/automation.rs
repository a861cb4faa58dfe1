//! Automatic analyses and dismissals: within their share of the slots, once per finding, despite lost messages.

use std::collections::BTreeSet;

use domain::command::CommandId;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{TIMEOUT, command_id, eventually};
use tokio::time::{Instant, sleep};

use crate::{
    analysing::{callback_body, held},
    oracle::slots,
    scene::{PYGOAT, Scene},
};

/// The number of Pygoat's open findings of high severity. None is critical.
const HIGH: usize = 5;

/// A configuration that analyses findings of at least high severity automatically.
fn automatic(include_existing: bool) -> Value {
    json!({"autoAnalysis": {"enabled": true, "minSeverity": "high", "includeExisting": include_existing}})
}

impl Scene {
    async fn syncs(&self) {
        let id = self.ada.sync().await;
        self.ada.ends_as(id, "SYNC_COMPLETED").await;
    }

    /// The commands of this origin, newest first.
    async fn of_origin(&self, origin: &str) -> Vec<Value> {
        let commands = self.ada.all("commands").await;
        let own = commands.into_iter().filter(|view| view["origin"] == origin);
        own.collect()
    }

    /// The finding of each of the agent's sessions, sorted.
    async fn analysed(&self) -> Vec<String> {
        let sessions = self.stack.agent_sessions().await;
        let mut findings: Vec<String> = sessions
            .iter()
            .map(|session| session["findingId"].as_str().expect("an id").to_owned())
            .collect();
        findings.sort_unstable();
        findings
    }

    /// Waits for this many completed analyses. The limits on slots must hold in every reading until then.
    async fn complete_within_shares(&self, count: usize) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let (in_flight, automatic) = slots(&self.stack, &self.ada).await;
            assert!(in_flight.len() <= 3, "{in_flight:?}");
            assert!(automatic.len() <= 2, "{automatic:?}");
            let summary = self.ada.get("summary").await.body;
            if summary["analysis"]["completed"] == count {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{count} analyses never completed: {summary}"
            );
            sleep(std::time::Duration::from_millis(25)).await;
        }
    }

    /// Adds an alert on GitHub, a copy of an open one of high severity. Returns its number.
    async fn new_alert(&self) -> Value {
        let alerts = format!("alerts/{}", PYGOAT.1);
        let known = self.stack.get(&format!("/local/github/{alerts}")).await;
        let known = known.as_array().expect("a list").iter();
        let mut severe = known.filter(|alert| {
            alert["state"] == "open" && alert["security_advisory"]["severity"] == "high"
        });
        let known = severe.next().expect("there is one").clone();
        let fields = ["dependency", "security_advisory", "security_vulnerability"];
        let new: serde_json::Map<_, _> = fields
            .iter()
            .map(|field| ((*field).to_owned(), known[field].clone()))
            .collect();
        let new = Value::Object(new);
        self.stack.at_github(Method::POST, &alerts, &new).await["number"].clone()
    }
}

#[tokio::test]
async fn automation_uses_two_of_three_slots_and_analyses_each_finding_once() {
    let scene = Scene::set().await;
    scene.stack.agent_fault(&held()).await;
    scene.configure(&automatic(true)).await;
    scene.syncs().await;
    eventually("automation has started two analyses", async || {
        scene.stack.agent_sessions().await.len() == 2
    })
    .await;
    scene.syncs().await;
    scene.stack.reconcile().await;
    let (in_flight, automatic) = slots(&scene.stack, &scene.ada).await;
    assert_eq!((in_flight.len(), automatic.len()), (2, 2));
    let high: BTreeSet<String> = scene.open_findings().await.into_iter().take(HIGH).collect();
    assert!(automatic.is_subset(&high), "{automatic:?}");

    // The third slot is for users, and there is no fourth.
    let others = scene.open_findings().await.split_off(HIGH);
    let third = scene.analyse(&others[0]).await;
    scene.ada.ends_as(third, "ANALYSIS_LAUNCH_STARTED").await;
    let fourth = scene.analyse(&others[1]).await;
    scene.ada.ends_as(fourth, "OWNER_CAP_REACHED").await;
    scene.stack.reconcile().await;
    let (in_flight, automatic) = slots(&scene.stack, &scene.ada).await;
    assert_eq!((in_flight.len(), automatic.len()), (3, 2));

    scene.stack.heal().await;
    scene.complete_within_shares(HIGH + 1).await;
    let mut expected: Vec<String> = high.into_iter().chain([others[0].clone()]).collect();
    expected.sort_unstable();
    assert_eq!(scene.analysed().await, expected, "each once");
    let commands = scene.of_origin("auto_analysis").await;
    assert_eq!(commands.len(), HIGH);
    for command in commands {
        scene
            .ada
            .ends_as(command_id(&command), "ANALYSIS_LAUNCH_STARTED")
            .await;
    }
    scene.stack.reconcile().await;
    scene.syncs().await;
    assert_eq!(scene.analysed().await, expected, "nothing starts again");
    scene.analyses_hold().await;
}

#[tokio::test]
async fn automation_for_new_findings_ignores_existing_findings() {
    let scene = Scene::set().await;
    scene.configure(&automatic(false)).await;
    scene.syncs().await;
    scene.stack.reconcile().await;
    assert_eq!(scene.open_findings().await.len(), 9);
    assert_eq!(scene.of_origin("auto_analysis").await, [Value::Null; 0]);

    let number = scene.new_alert().await;
    scene.syncs().await;
    let finding = format!("dependabot-{}-{number}", PYGOAT.0);
    scene.analysis_is(&finding, "completed").await;
    scene.stack.reconcile().await;
    assert_eq!(scene.analysed().await, [finding]);
    let [command] = &scene.of_origin("auto_analysis").await[..] else {
        panic!("one command");
    };
    scene
        .ada
        .ends_as(command_id(command), "ANALYSIS_LAUNCH_STARTED")
        .await;
    scene.analyses_hold().await;
}

#[tokio::test]
async fn automation_recovers_from_lost_messages_failed_scans_and_refusals() {
    let scene = Scene::set().await;
    scene.configure(&automatic(true)).await;
    // The agent has no credits: both findings wait, and automation cools down.
    let refused = json!({"operation": "create_session", "status": 402});
    scene.stack.agent_fault(&refused).await;
    scene.syncs().await;
    eventually("both are refused", async || {
        let commands = scene.of_origin("auto_analysis").await;
        let refused = |view: &&Value| view["resultCode"] == "INSUFFICIENT_CREDITS";
        commands.iter().filter(refused).count() == 2
    })
    .await;
    scene.stack.heal().await;
    scene.syncs().await;
    assert_eq!(
        scene.stack.reconcile().await["automated"],
        0,
        "it cools down"
    );
    assert_eq!(scene.of_origin("auto_analysis").await.len(), 2);
    assert_eq!(scene.slots_taken().await, 0);

    // The cooldown is over, and the messages of the new launches are lost.
    let row = format!("owner#{}", scene.ada.owner());
    let lost = json!({"service": "sqs", "operation": "SendMessage", "function": "reconcile",
        "contains": "AnalyseQueue", "effect": "error"});
    scene.stack.fault(&lost).await;
    scene.stack.backstage.let_be_due(&row, "analyses").await;
    assert_eq!(scene.stack.reconcile().await["automated"], 2);
    scene.stack.heal().await;
    assert_eq!(scene.stack.agent_sessions().await, [Value::Null; 0]);
    let unsent = scene.of_origin("auto_analysis").await;
    let unsent: Vec<CommandId> = unsent
        .iter()
        .filter(|view| view["status"] == "accepted")
        .map(command_id)
        .collect();
    assert_eq!(unsent.len(), 2);
    for id in &unsent {
        let key = scene.ada.key(*id);
        scene.stack.backstage.let_pass(&key, &["due_at"]).await;
    }
    // Once the first results are recorded, starting more analyses fails.
    let fails = json!({"service": "dynamodb", "operation": "TransactWriteItems", "function": "record-analysis",
        "contains": "auto_analysis", "effect": "error"});
    scene.stack.fault(&fails).await;
    assert_eq!(scene.stack.reconcile().await["resent"], 2);
    for id in unsent {
        scene.ada.ends_as(id, "ANALYSIS_LAUNCH_STARTED").await;
    }
    eventually("both are recorded and no analysis starts", async || {
        let failed = "automation failed; the reconciler retries it";
        scene.stack.logged(failed).len() == 2 && scene.slots_taken().await == 0
    })
    .await;
    scene.stack.heal().await;
    assert_eq!(scene.stack.reconcile().await["automated"], 2);
    scene.complete_within_shares(HIGH).await;
    let mut once = scene.analysed().await;
    once.dedup();
    assert_eq!(once.len(), HIGH);
    assert_eq!(scene.analysed().await.len(), HIGH, "each once");
    scene.analyses_hold().await;
}

#[tokio::test]
async fn a_confident_recommendation_dismisses_the_finding_once() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    scene
        .configure(&json!({"autoDismiss": {"enabled": true, "minConfidence": "medium"}}))
        .await;
    let findings = scene.open_findings().await;
    scene.stack.agent_fault(&held()).await;
    let called_back = async |finding: &str, confidence: &str, action: &str| {
        let id = scene.analyse(finding).await;
        scene.ada.ends_as(id, "ANALYSIS_LAUNCH_STARTED").await;
        let session = scene.session(id).await;
        let mut result = callback_body(&session, "completed");
        result["result"]["confidence"] = json!(confidence);
        result["result"]["suggestedAction"] = json!(action);
        let session = session["cloudAgentSessionId"].as_str().expect("an id");
        for _ in 0..2 {
            assert_eq!(scene.stack.callback(session, &result).await, 202);
        }
        scene.analysis_is(finding, "completed").await;
        id
    };
    let patches = async || {
        let calls = scene.stack.get("/local/github/requests").await;
        let calls = calls.as_array().expect("a list").iter();
        calls.filter(|call| call["method"] == "PATCH").count()
    };
    called_back(&findings[0], "low", "dismiss").await;
    called_back(&findings[1], "high", "monitor").await;
    assert_eq!(scene.of_origin("auto_dismiss").await, [Value::Null; 0]);

    for (n, (finding, confidence)) in [(&findings[2], "medium"), (&findings[3], "high")]
        .into_iter()
        .enumerate()
    {
        let attempt = called_back(finding, confidence, "dismiss").await;
        let commands = scene.of_origin("auto_dismiss").await;
        assert_eq!(commands.len(), n + 1, "{commands:?}");
        assert_eq!(commands[0]["findingId"].as_str(), Some(finding.as_str()));
        let id = command_id(&commands[0]);
        scene.ada.ends_as(id, "FINDING_DISMISSED").await;
        let late = tests::batch("CallbackQueue", &[scene.callback_message(finding, attempt)]);
        let answer = scene.stack.invoke("record-analysis", &late).await;
        assert_eq!(
            tests::failures(&answer.expect("the invocation succeeds")),
            [""; 0]
        );
        assert_eq!(scene.of_origin("auto_dismiss").await.len(), n + 1);
        let shown = scene.ada.get(&format!("findings/{finding}")).await.body;
        assert_eq!(shown["status"], "ignored", "{shown}");
        assert_eq!(patches().await, n + 1);
    }

    // The dismissal's message is lost.
    let lost = json!({"service": "sqs", "operation": "SendMessage", "function": "record-analysis", "effect": "error"});
    scene.stack.fault(&lost).await;
    called_back(&findings[4], "high", "dismiss").await;
    eventually("the dismissal's message is lost", async || {
        let unsent = "an automatic command's message was not sent; the reconciler sends it";
        scene.stack.logged(unsent).len() == 1
    })
    .await;
    let command = scene.of_origin("auto_dismiss").await.remove(0);
    assert_eq!(command["status"], "accepted");
    scene.stack.heal().await;
    let key = scene.ada.key(command_id(&command));
    scene.stack.backstage.let_pass(&key, &["due_at"]).await;
    assert_eq!(scene.stack.reconcile().await["resent"], 1);
    scene.ada.ends_as(key.id, "FINDING_DISMISSED").await;
    assert_eq!(patches().await, 3);

    // A recommendation for a finding that is no longer open starts no dismissal.
    scene.stack.agent_fault(&held()).await;
    let id = scene.analyse(&findings[5]).await;
    scene.ada.ends_as(id, "ANALYSIS_LAUNCH_STARTED").await;
    let dismiss = json!({"type": "dismiss_finding", "findingId": findings[5], "reason": "inaccurate", "comment": "Not ours."});
    let dismissed = command_id(&scene.ada.post(&dismiss, None).await.body);
    scene.ada.ends_as(dismissed, "FINDING_DISMISSED").await;
    let session = scene.session(id).await;
    let name = session["cloudAgentSessionId"].as_str().expect("an id");
    let body = callback_body(&session, "completed");
    assert_eq!(scene.stack.callback(name, &body).await, 202);
    scene.analysis_is(&findings[5], "completed").await;
    assert_eq!(scene.of_origin("auto_dismiss").await.len(), 3);
    scene.analyses_hold().await;
}
