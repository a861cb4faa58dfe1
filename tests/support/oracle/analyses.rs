//! What holds for analyses after every run, whatever was injected.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use store::table::Item;
use tokio::time::sleep;

use super::{Circumstances, Judgement};
use crate::{Caller, Stack, eventually, is_over};

/// The most reads of the rows until they agree: a callback may be recorded between two reads.
const LOOKS: usize = 50;

/// Checks that each launch has one session and one audit event, and that slots and counts match the findings.
pub async fn judge(stack: &Stack, callers: &[&Caller], circumstances: &Circumstances) -> Judgement {
    stack.heal().await;
    eventually("every session has called back", async || {
        let sessions = stack.agent_sessions().await;
        sessions.iter().all(|session| session["settled"] == true)
    })
    .await;
    let mut judgement = Judgement::default();
    let mut sessions: BTreeMap<String, usize> = BTreeMap::new();
    for session in stack.agent_sessions().await {
        let key = session["idempotencyKey"].as_str().expect("a key");
        *sessions.entry(key.to_owned()).or_default() += 1;
    }
    for caller in callers {
        let events = caller.audit_events().await;
        launches_are_sessions(caller, &events, &mut sessions, &mut judgement).await;
        ends_are_audited_once(&events, &mut judgement);
        let agree = slots_match_analyses_in_flight(stack, caller).await;
        judgement.hold(
            "3: slots and counts match the findings",
            agree.is_ok(),
            || format!("{}: {}", caller.owner(), agree.err().unwrap_or_default()),
        );
    }
    for erased in &circumstances.erased {
        sessions.remove(&erased.to_string());
    }
    let what = "4: every session belongs to a command";
    judgement.hold(what, sessions.is_empty(), || format!("{sessions:?}"));
    judgement
}

/// A launch that succeeded has one session and one audit event; one without an effect has neither.
async fn launches_are_sessions(
    caller: &Caller,
    events: &[Value],
    sessions: &mut BTreeMap<String, usize>,
    judgement: &mut Judgement,
) {
    let mut started: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events
        .iter()
        .filter(|event| event["action"] == "analysis_started")
    {
        *started
            .entry(event["commandId"].as_str().unwrap_or_default())
            .or_default() += 1;
    }
    for view in caller.all("commands").await {
        if view["type"] != "start_analysis" {
            continue;
        }
        judgement.hold("1: every launch has ended", is_over(&view), || {
            view.to_string()
        });
        let id = view["id"].as_str().expect("an id");
        let begun = sessions.remove(id).unwrap_or_default();
        let succeeded = view["status"] == "succeeded";
        let (least, most) = match (succeeded, view["effect"].as_str()) {
            (true, _) => (1, 1),
            (false, Some("none")) => (0, 0),
            (false, _) => (0, 1),
        };
        judgement.hold(
            "3: a launch is one session",
            (least..=most).contains(&begun),
            || format!("{begun} sessions for {view}"),
        );
        let told = started.get(id).copied().unwrap_or_default();
        judgement.hold(
            "3: the audit log has each launch once",
            told == usize::from(succeeded),
            || format!("{told} events for {view}"),
        );
    }
}

/// Checks that an attempt ends at most once.
fn ends_are_audited_once(events: &[Value], judgement: &mut Judgement) {
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for event in events {
        if event["action"] == "analysis_completed" || event["action"] == "analysis_failed" {
            *ends.entry(event["commandId"].to_string()).or_default() += 1;
        }
    }
    for (attempt, ends) in ends {
        judgement.hold("3: an analysis ends once", ends == 1, || {
            format!("attempt {attempt} ended {ends} times")
        });
    }
}

/// Checks that the slots are those of the analyses in flight, automation's among them, and that the counts are true.
async fn slots_match_analyses_in_flight(stack: &Stack, caller: &Caller) -> Result<(), String> {
    let mut seen = agree(stack, caller).await;
    for _ in 1..LOOKS {
        if seen.is_ok() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
        seen = agree(stack, caller).await;
    }
    seen
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

/// The findings in the owner's slots, and those of them that automation started.
pub async fn slots(stack: &Stack, caller: &Caller) -> (BTreeSet<String>, BTreeSet<String>) {
    let pk = format!("owner#{}", caller.owner());
    let row = stack.backstage.item(&pk, "analyses").await;
    let row = row.unwrap_or_default();
    (set(&row, "in_flight"), set(&row, "automatic"))
}

fn set(row: &Item, name: &str) -> BTreeSet<String> {
    let texts = row.get(name).and_then(|texts| texts.as_ss().ok());
    texts.into_iter().flatten().cloned().collect()
}
