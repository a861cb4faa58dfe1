//! Points 3 and 4 for dismissals: GitHub was asked at most once, what it was asked for is what the commands tell, and
//! the audit says it once.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde_json::Value;
use tests::{Caller, Stack};

use super::Commands;

/// The changes of one alert that GitHub received.
#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    /// Those that it accepted.
    accepted: usize,
    /// Those that it may have made although it said otherwise.
    doubtful: usize,
}

/// The finding of a command after which our state need not be GitHub's: the alert is withdrawn, or nobody has looked
/// at it since.
pub(super) fn apart(view: &Value) -> Option<&str> {
    let withdrawn = view["resultCode"] == "ALERT_WITHDRAWN";
    let finding = view["findingId"].as_str()?;
    (withdrawn || view["effect"] == "unknown").then_some(finding)
}

pub(super) async fn are_true(
    stack: &Stack,
    callers: &[&Caller],
    commands: &Commands<'_>,
    untold: &[&str],
) {
    let dismissals: Vec<(&Caller, &Value)> = commands
        .values()
        .filter(|(_, view)| view["type"] == "dismiss_finding")
        .map(|(caller, view)| (*caller, view))
        .collect();
    let changes = changes(stack).await;
    let names = names(callers).await;
    let untold: Vec<String> = untold
        .iter()
        .map(|finding| path_of(&names, finding).expect("its repository is known"))
        .collect();
    for (path, changes) in &changes {
        let of_it = |view: &&Value| {
            let finding = view["findingId"].as_str();
            finding.and_then(|id| path_of(&names, id)).as_ref() == Some(path)
        };
        let effects: Vec<&str> = dismissals
            .iter()
            .map(|(_, view)| *view)
            .filter(of_it)
            .filter_map(|view| view["effect"].as_str())
            .collect();
        // More than one success is one that was undone at GitHub in between.
        let applied = effects.iter().filter(|effect| **effect == "applied");
        let most = applied.count().max(1);
        assert!(changes.accepted <= most, "3: {changes:?} of {path}");
        let told = !untold.contains(path);
        if told && effects.iter().all(|effect| *effect == "none") {
            assert_eq!(changes.accepted, 0, "4: a change of {path}: {effects:?}");
        }
    }
    for (caller, view) in &dismissals {
        if view["resultCode"] == "FINDING_DISMISSED" {
            let finding = view["findingId"].as_str().expect("it names a finding");
            let path = path_of(&names, finding).expect("its repository is known");
            let changes = changes.get(&path).copied().unwrap_or_default();
            assert!(
                changes.accepted > 0 || changes.doubtful > 0,
                "3: no change of {path}"
            );
            is_dismissed(stack, caller, view, &path).await;
        }
    }
    for caller in callers {
        is_told_once(caller, &dismissals).await;
    }
}

/// Every change of an alert, by its path.
async fn changes(stack: &Stack) -> BTreeMap<String, Changes> {
    let mut changes: BTreeMap<String, Changes> = BTreeMap::new();
    for call in stack.github_requests().await {
        if call["method"] == "PATCH" {
            let path = call["path"].as_str().expect("a path").to_owned();
            let changes = changes.entry(path).or_default();
            match call["status"].as_u64() {
                Some(200) => changes.accepted += 1,
                Some(500..) | None => changes.doubtful += 1,
                Some(_) => {}
            }
        }
    }
    changes
}

/// The names of the callers' repositories, by id.
async fn names(callers: &[&Caller]) -> BTreeMap<u64, String> {
    let mut names = BTreeMap::new();
    for caller in callers {
        let repositories = caller.get("repositories").await.body["repositories"].clone();
        for repository in repositories.as_array().into_iter().flatten() {
            let id = repository["id"].as_u64().expect("an id");
            let name = repository["fullName"].as_str().expect("a name");
            names.insert(id, name.to_owned());
        }
    }
    names
}

/// Where GitHub has the alert of a finding.
fn path_of(names: &BTreeMap<u64, String>, finding: &str) -> Option<String> {
    let id = finding.strip_prefix("dependabot-")?;
    let (repository, number) = id.split_once('-')?;
    let name = names.get(&repository.parse().ok()?)?;
    Some(format!("/repos/{name}/dependabot/alerts/{number}"))
}

/// What was dismissed is so at GitHub and here.
async fn is_dismissed(stack: &Stack, caller: &Caller, view: &Value, path: &str) {
    let id = view["findingId"].as_str().expect("it names a finding");
    let finding = caller.get(&format!("findings/{id}")).await;
    assert_eq!(finding.status, StatusCode::OK, "4: {id}");
    assert_eq!(finding.body["status"], "ignored", "4: {view}");
    let path = path
        .replace("/repos/", "")
        .replace("/dependabot/alerts", "");
    let alert = stack.get(&format!("/local/github/alerts/{path}")).await;
    assert_eq!(alert["state"], "dismissed", "4: {view}");
}

/// The audit tells of each dismissal once, and of no other.
async fn is_told_once(caller: &Caller, dismissals: &[(&Caller, &Value)]) {
    let mut expected: Vec<(&Value, &Value)> = dismissals
        .iter()
        .filter(|(owner, view)| {
            owner.owner() == caller.owner() && view["resultCode"] == "FINDING_DISMISSED"
        })
        .map(|(_, view)| (&view["id"], &view["findingId"]))
        .collect();
    let events = events(caller).await;
    let mut told: Vec<(&Value, &Value)> = events
        .iter()
        .filter(|event| event["action"] == "finding_dismissed")
        .map(|event| (&event["commandId"], &event["resourceId"]))
        .collect();
    for list in [&mut expected, &mut told] {
        list.sort_by_key(|(command, _)| command.to_string());
    }
    assert_eq!(told, expected, "3: audit events");
}

/// The owner's audit events.
async fn events(caller: &Caller) -> Vec<Value> {
    let mut events = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = caller.get(&format!("audit-events?limit=100{cursor}")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        events.extend(page.body["auditEvents"].as_array().expect("a list").clone());
        match page.body["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return events,
        }
    }
}
