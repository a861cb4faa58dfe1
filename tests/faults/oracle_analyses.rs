//! What holds of analyses after every run, whatever was injected.

use std::collections::{BTreeMap, BTreeSet};

use security_agent::table::Item;
use serde_json::{Value, json};
use tests::{Caller, Stack, eventually, is_over};
use tokio::time::sleep;

/// How often the rows are looked at until they agree: a call back may be recorded between two reads.
const LOOKS: usize = 50;

/// Checks that every launch is one session and one audit event, and that slots and counts are those of the findings.
pub(crate) async fn check(stack: &Stack, caller: &Caller) {
    stack.heal().await;
    eventually("every session has called back", async || {
        let sessions = stack.agent_sessions().await;
        sessions.iter().all(|session| session["settled"] == true)
    })
    .await;
    launches_are_sessions(stack, caller).await;
    ends_are_told_once(caller).await;
    slots_are_of_analyses_in_flight(stack, caller).await;
}

/// One session for each launch that succeeded, none for one without an effect; and an audit event of the first only.
async fn launches_are_sessions(stack: &Stack, caller: &Caller) {
    let sessions = stack.agent_sessions().await;
    let events = audit_events(caller).await;
    for view in caller.all("commands").await {
        if view["type"] != "start_analysis" {
            continue;
        }
        assert!(is_over(&view), "{view}");
        let id = &view["id"];
        let begun = sessions
            .iter()
            .filter(|session| session["idempotencyKey"] == *id);
        let begun = begun.count();
        assert!(begun <= 1, "{begun} sessions of {view}");
        let succeeded = view["status"] == "succeeded";
        if succeeded {
            assert_eq!(begun, 1, "no session of {view}");
        }
        if view["effect"] == "none" {
            assert_eq!(begun, 0, "a session of {view}");
        }
        let told = events
            .iter()
            .filter(|event| event["commandId"] == *id && event["action"] == "analysis_started");
        assert_eq!(told.count(), usize::from(succeeded), "events of {view}");
    }
}

/// An attempt ends at most once.
async fn ends_are_told_once(caller: &Caller) {
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for event in audit_events(caller).await {
        if event["action"] == "analysis_completed" || event["action"] == "analysis_failed" {
            *ends.entry(event["commandId"].to_string()).or_default() += 1;
        }
    }
    for (attempt, ends) in ends {
        assert_eq!(ends, 1, "attempt {attempt} ended more than once");
    }
}

/// A slot is held exactly while an analysis is in flight, automation's share by automation's, and the counts are true.
async fn slots_are_of_analyses_in_flight(stack: &Stack, caller: &Caller) {
    let mut seen = Ok(());
    for _ in 0..LOOKS {
        seen = agree(stack, caller).await;
        if seen.is_ok() {
            return;
        }
        sleep(std::time::Duration::from_millis(100)).await;
    }
    seen.expect("the owner's row agrees with the findings");
}

async fn agree(stack: &Stack, caller: &Caller) -> Result<(), String> {
    let summary = caller.get("summary").await.body["analysis"].clone();
    let (in_flight, automatic) = slots(stack, caller).await;
    let findings = caller.all("findings").await;
    let with = |status: &str| {
        let found = findings
            .iter()
            .filter(|finding| finding["analysis"]["status"] == status);
        found.count()
    };
    let found = |word: &str| {
        let found = findings
            .iter()
            .filter(|finding| finding["analysis"]["result"]["exploitability"] == word);
        found.count()
    };
    let counted = json!({
        "pending": with("pending"), "running": with("running"),
        "completed": with("completed"), "failed": with("failed"),
        "exploitable": found("exploitable"), "notExploitable": found("not_exploitable"),
    });
    let running: BTreeSet<String> = findings
        .iter()
        .filter(|finding| {
            let status = &finding["analysis"]["status"];
            status == "pending" || status == "running"
        })
        .map(|finding| finding["id"].as_str().expect("an id").to_owned())
        .collect();
    if in_flight == running && automatic.is_subset(&in_flight) && summary == counted {
        return Ok(());
    }
    Err(format!(
        "slots {in_flight:?}, automation's {automatic:?}, in flight {running:?}; summary {summary}, counted {counted}"
    ))
}

/// The findings that hold the owner's slots, and those of them that automation began.
pub(crate) async fn slots(stack: &Stack, caller: &Caller) -> (BTreeSet<String>, BTreeSet<String>) {
    let pk = format!("owner#{}", caller.owner());
    let row = stack.backstage.item(&pk, "analyses").await;
    let row = row.unwrap_or_default();
    (set(&row, "in_flight"), set(&row, "automatic"))
}

fn set(row: &Item, name: &str) -> BTreeSet<String> {
    let texts = row.get(name).and_then(|texts| texts.as_ss().ok());
    texts.into_iter().flatten().cloned().collect()
}

/// All audit events of the owner.
pub(crate) async fn audit_events(caller: &Caller) -> Vec<Value> {
    let mut events = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = caller
            .get(&format!("audit-events?limit=100{cursor}"))
            .await
            .body;
        events.extend(page["auditEvents"].as_array().expect("a list").clone());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return events,
        }
    }
}
