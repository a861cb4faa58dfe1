//! Helpers for the tests of analyses.

use domain::command::{CommandId, CommandKey};
use reqwest::StatusCode;
use runtime::queue::Message;
use serde_json::{Value, json};
use tests::{Caller, eventually};

use crate::{oracle, scene::Scene};

/// Makes the agent hold its callbacks until the faults are cleared.
pub(crate) fn held() -> Value {
    json!({"operation": "callback", "effect": "hold"})
}

/// A fault of a function's n-th transaction from now on, counted from 0.
pub(crate) fn transaction(function: &str, n: u64, effect: &str) -> Value {
    json!({"service": "dynamodb", "operation": "TransactWriteItems", "function": function, "after": n,
        "effect": effect, "times": 1})
}

impl Scene {
    /// The ids of the open findings, most severe first.
    pub(crate) async fn open_findings(&self) -> Vec<String> {
        let page = self.ada.get("findings?status=open&limit=100").await.body;
        let findings = page["findings"].as_array().expect("a list").iter();
        findings
            .map(|finding| finding["id"].as_str().expect("an id").to_owned())
            .collect()
    }

    /// Requests an analysis of a finding.
    pub(crate) async fn analyse(&self, finding: &str) -> CommandId {
        start(&self.ada, finding, false).await
    }

    /// Requests an analysis that replaces the running one.
    pub(crate) async fn restart(&self, finding: &str) -> CommandId {
        start(&self.ada, finding, true).await
    }

    /// A finding's analysis, as the API shows it.
    pub(crate) async fn analysis(&self, finding: &str) -> Value {
        let path = format!("findings/{finding}");
        self.ada.get(&path).await.body["analysis"].clone()
    }

    /// Waits until the analysis of a finding has this status.
    pub(crate) async fn analysis_is(&self, finding: &str, status: &str) -> Value {
        eventually(&format!("{finding} is {status}"), async || {
            self.analysis(finding).await["status"] == status
        })
        .await;
        self.analysis(finding).await
    }

    /// The agent's session for this command. Panics if there is none or more than one.
    pub(crate) async fn session(&self, id: CommandId) -> Value {
        let sessions = self.stack.agent_sessions().await;
        let mut own = sessions
            .into_iter()
            .filter(|session| session["idempotencyKey"] == id.to_string());
        let session = own.next().expect("it has a session");
        assert_eq!(own.next(), None, "two sessions for one command");
        session
    }

    /// The number of slots that the owner's analyses take.
    pub(crate) async fn slots_taken(&self) -> usize {
        let (in_flight, _) = oracle::slots(&self.stack, &self.ada).await;
        in_flight.len()
    }

    /// The actions of a command's audit events, oldest first.
    pub(crate) async fn audited(&self, id: CommandId) -> Vec<String> {
        let events = self.ada.audit_events().await;
        let own = events
            .iter()
            .rev()
            .filter(|event| event["commandId"] == id.to_string());
        own.map(|event| event["action"].as_str().expect("an action").to_owned())
            .collect()
    }

    /// Waits until processes of a function have died this many times.
    pub(crate) async fn dies(&self, function: &str, times: u64) {
        eventually("the function's process dies", async || {
            let functions = self.stack.functions().await;
            functions
                .iter()
                .any(|found| found["name"] == function && found["errors"] == times)
        })
        .await;
    }

    /// Expires a dead worker's lease and redelivers its message.
    pub(crate) async fn taken_over(&self, key: &CommandKey) {
        let backstage = &self.stack.backstage;
        backstage.let_pass(key, &["claim_until"]).await;
        backstage
            .send("AnalyseQueue", &tests::message(key, 0))
            .await;
    }

    /// The message `api` sends after an attempt's callback.
    pub(crate) fn callback_message(&self, finding: &str, attempt: CommandId) -> String {
        let message = Message::Callback {
            owner: self.ada.owner().clone(),
            finding: finding.parse().expect("an id"),
            attempt,
        };
        message.body()
    }

    /// Makes the reconciler's check of a finding's analysis due now.
    pub(crate) async fn analysis_is_due(&self, finding: &str) {
        let (pk, sk) = (format!("finding#{}", self.ada.owner()), row_of(finding));
        self.stack.backstage.let_be_due(&pk, &sk).await;
    }

    /// Saves a change of the configuration, whatever its version.
    pub(crate) async fn configure(&self, change: &Value) -> Value {
        let headers = [("if-match", "*")];
        let saved = self.ada.request(
            reqwest::Method::PUT,
            "me/config",
            &headers,
            Some(change),
            tests::TIMEOUT,
        );
        let saved = saved.await.expect("the API answers");
        assert_eq!(saved.status, StatusCode::OK, "{}", saved.body);
        saved.body
    }

    /// Checks what always holds, and what always holds for analyses.
    pub(crate) async fn analyses_hold(&self) {
        oracle::check_analyses(&self.stack, &self.ada).await;
        self.holds().await;
        oracle::check_analyses(&self.stack, &self.ada).await;
    }
}

async fn start(caller: &Caller, finding: &str, restart: bool) -> CommandId {
    let command = json!({"type": "start_analysis", "findingId": finding, "restartActive": restart});
    let answer = caller.post(&command, None).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    tests::command_id(&answer.body)
}

/// The sort key of a finding's row.
fn row_of(finding: &str) -> String {
    let parts: Vec<&str> = finding.split('-').collect();
    let [_, repository, number] = parts.as_slice() else {
        panic!("{finding} is not a finding's id");
    };
    format!("dependabot#{repository:0>20}#{number:0>10}")
}

/// The body of a callback, as the agent would send it.
pub(crate) fn callback_body(session: &Value, status: &str) -> Value {
    let result = json!({
        "exploitability": "not_exploitable", "reasoning": "By hand.", "usageLocations": [],
        "suggestedFix": null, "suggestedAction": "dismiss", "confidence": "high", "summary": "By hand.",
    });
    let error = json!({"code": "SANDBOX_LOST", "message": "by hand"});
    json!({
        "cloudAgentSessionId": session["cloudAgentSessionId"],
        "status": status,
        "result": if status == "completed" { result } else { Value::Null },
        "error": if status == "completed" { Value::Null } else { error },
    })
}
