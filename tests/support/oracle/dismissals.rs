//! Points 3 and 4 for dismissals: GitHub made each change at most once, what it made is what the commands tell, and the
//! audit says it once.

use std::collections::BTreeMap;

use domain::{
    command::{Action, DismissComment, DismissFinding, ReopenFinding},
    finding::FindingId,
};
use reqwest::StatusCode;
use serde_json::Value;

use super::{Evidence, Judgement, Record};

/// What a command asks GitHub for, and what GitHub says that it was asked for: commands without a comment of their own
/// may ask for the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    path: String,
    state: String,
    reason: String,
    comment: String,
}

/// The finding of a command after which our state need not be GitHub's: the alert is withdrawn, or nobody has looked
/// at it since.
pub(super) fn apart(view: &Value) -> Option<&str> {
    let withdrawn = view["resultCode"] == "ALERT_WITHDRAWN";
    let finding = view["findingId"].as_str()?;
    (withdrawn || view["effect"] == "unknown").then_some(finding)
}

pub(super) async fn judge(evidence: &Evidence<'_>, judgement: &mut Judgement) {
    let made = made(&evidence.calls);
    let mut asked: BTreeMap<Change, Vec<&Value>> = BTreeMap::new();
    for command in evidence.commands.values() {
        if let Some(change) = asked_for(evidence, command) {
            asked.entry(change).or_default().push(&command.view);
        }
    }
    for (change, views) in &asked {
        let with = |effect: &str| views.iter().filter(|view| view["effect"] == effect).count();
        let made = made.get(change).copied().unwrap_or_default();
        let (applied, unknown) = (with("applied"), with("unknown"));
        judgement.hold(
            "3: GitHub made each change at most once",
            made <= applied + unknown,
            || format!("{made} times {change:?}: {views:?}"),
        );
        judgement.hold("3: GitHub made what was told", applied <= made, || {
            format!("{made} times {change:?}: {views:?}")
        });
    }
    for (change, times) in &made {
        let told =
            asked.contains_key(change) || evidence.circumstances.untold.contains(&change.path);
        let what = "4: every change at GitHub is some command's";
        judgement.hold(what, told, || format!("{times} times {change:?}"));
    }
    for command in evidence.commands.values() {
        if command.view["resultCode"] == "FINDING_DISMISSED" {
            is_dismissed(evidence, command, judgement).await;
        }
    }
    are_audited_once(evidence, judgement);
}

/// The changes of alerts that GitHub made for us, each as often as it did.
fn made(calls: &[Value]) -> BTreeMap<Change, usize> {
    let mut made = BTreeMap::new();
    for call in calls {
        let Some(changed) = call.get("changed") else {
            continue;
        };
        let text = |name: &str| changed[name].as_str().unwrap_or_default().to_owned();
        let change = Change {
            path: call["path"].as_str().unwrap_or_default().to_owned(),
            state: text("state"),
            reason: text("dismissed_reason"),
            comment: text("dismissed_comment"),
        };
        *made.entry(change).or_default() += 1;
    }
    made
}

fn asked_for(evidence: &Evidence<'_>, command: &Record<'_>) -> Option<Change> {
    // A finding whose repository is not known was never asked about.
    let path = |finding: &FindingId| evidence.path_of(&finding.to_string()).unwrap_or_default();
    match &command.stored.action {
        Action::DismissFinding(DismissFinding {
            finding,
            reason,
            comment,
        }) => {
            let comment = comment.as_ref().map(DismissComment::as_str);
            Some(Change {
                path: path(finding),
                state: "dismissed".to_owned(),
                reason: reason.to_string(),
                comment: comment.unwrap_or_default().to_owned(),
            })
        }
        Action::ReopenFinding(ReopenFinding { finding }) => Some(Change {
            path: path(finding),
            state: "open".to_owned(),
            reason: String::new(),
            comment: String::new(),
        }),
        Action::Sync(_) | Action::StartAnalysis(_) => None,
    }
}

/// What was dismissed is so at GitHub and here, unless somebody has opened it again.
async fn is_dismissed(evidence: &Evidence<'_>, command: &Record<'_>, judgement: &mut Judgement) {
    let view = &command.view;
    let id = view["findingId"].as_str().expect("it names a finding");
    let path = evidence.path_of(id).unwrap_or_default();
    let by_command = evidence.commands.values().any(|other| {
        other.view["resultCode"] == "FINDING_REOPENED" && other.view["findingId"] == id
    });
    if by_command || evidence.circumstances.reopened.contains(&path) {
        return;
    }
    let finding = command.caller.get(&format!("findings/{id}")).await;
    let ignored = finding.status == StatusCode::OK && finding.body["status"] == "ignored";
    judgement.hold("4: what was dismissed is ignored", ignored, || {
        view.to_string()
    });
    let alert = path
        .replace("/repos/", "")
        .replace("/dependabot/alerts", "");
    let alert = evidence
        .stack
        .github_local(&format!("alerts/{alert}"))
        .await;
    let dismissed = alert["state"] == "dismissed";
    judgement.hold("4: what was dismissed is so at GitHub", dismissed, || {
        view.to_string()
    });
}

/// The audit tells of each dismissal and of each sync that was completed once, and of no other.
fn are_audited_once(evidence: &Evidence<'_>, judgement: &mut Judgement) {
    let mut told: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for event in evidence.owners.iter().flat_map(|owner| &owner.audit) {
        if let (Some(id), Some(action)) = (event["commandId"].as_str(), event["action"].as_str()) {
            *told.entry((id.to_owned(), action)).or_default() += 1;
        }
    }
    for (id, command) in &evidence.commands {
        for (code, action) in [
            ("FINDING_DISMISSED", "finding_dismissed"),
            ("FINDING_REOPENED", "finding_reopened"),
            ("SYNC_COMPLETED", "sync_completed"),
        ] {
            let events = told.remove(&(id.to_string(), action)).unwrap_or_default();
            let expected = usize::from(command.view["resultCode"] == code);
            let what = "3: the audit tells of each effect once";
            judgement.hold(what, events == expected, || {
                format!("{events} of {}", command.view)
            });
        }
    }
}
