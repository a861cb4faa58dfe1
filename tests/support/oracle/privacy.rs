//! Points 5 and 6: no owner sees another owner's data, and no secret or personal data leaks.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Evidence, Judgement, SECRETS};
use crate::{Answer, Caller, TIMEOUT};

/// The most commands to request one by one. Lists cover all of them.
const ONE_BY_ONE: usize = 500;

pub(super) async fn judge(evidence: &Evidence<'_>, judgement: &mut Judgement) {
    owners_are_separate(evidence, judgement).await;
    nothing_private_leaks(evidence, judgement).await;
}

async fn owners_are_separate(evidence: &Evidence<'_>, judgement: &mut Judgement) {
    let stranger = evidence.stack.caller(&json!({"sub": "stranger"})).await;
    let absent = stranger
        .get("commands/01932b3a-5c00-7000-8000-000000000001")
        .await;
    let is_absent =
        |answer: &Answer| (answer.status, &answer.body) == (StatusCode::NOT_FOUND, &absent.body);
    judgement.hold("5: an unknown id is absent", is_absent(&absent), || {
        absent.body.to_string()
    });
    let every = evidence.commands.len().div_ceil(ONE_BY_ONE).max(1);
    for (id, command) in evidence.commands.iter().step_by(every) {
        let own = stranger.get(&format!("commands/{id}")).await;
        let path = format!("{}/commands/{id}", command.caller.encoded());
        let theirs = stranger
            .request(Method::GET, &path, &[], None, TIMEOUT)
            .await;
        let theirs = theirs.expect("the API answers");
        for answer in [own, theirs] {
            let what = "5: another's command looks absent";
            judgement.hold(what, is_absent(&answer), || {
                format!("{id}: {}", answer.body)
            });
        }
    }
    let ids: Vec<String> = evidence.commands.keys().map(ToString::to_string).collect();
    for ids in ids.chunks(100) {
        let listed = stranger
            .get(&format!("commands?ids={}", ids.join(",")))
            .await;
        let none = listed.body["commands"] == json!([]);
        judgement.hold("5: another's commands are not listed", none, || {
            listed.body.to_string()
        });
    }
    for owner in &evidence.owners {
        for finding in owner.findings.iter().take(2) {
            let id = finding["id"].as_str().expect("an id");
            let seen = stranger.get(&format!("findings/{id}")).await;
            let hidden = seen.status == StatusCode::NOT_FOUND;
            judgement.hold("5: another's finding looks absent", hidden, || {
                seen.body.to_string()
            });
        }
        audit_is_own(owner.caller, &owner.audit, judgement);
        audit_is_documented(&owner.audit, judgement);
    }
    let findings = stranger.all("findings").await;
    judgement.hold("5: nobody else has findings", findings.is_empty(), || {
        format!("{findings:?}")
    });
}

/// Checks that the audit log names only commands of its owner.
fn audit_is_own(caller: &Caller, audit: &[Value], judgement: &mut Judgement) {
    let owner = caller.owner().to_string();
    let foreign = audit.iter().find(|event| {
        event["resourceType"] == "owner" && event["resourceId"] != Value::String(owner.clone())
    });
    judgement.hold("5: the audit is the owner's own", foreign.is_none(), || {
        format!("{owner}: {foreign:?}")
    });
}

/// The table of actions in docs/operating/audit.md: the types of resources and the details of each.
pub fn documented_audit() -> BTreeMap<&'static str, [BTreeSet<&'static str>; 2]> {
    let page = include_str!("../../../docs/operating/audit.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [action, resource, _, details] = cells[..] else {
            panic!("docs/operating/audit.md: four columns, not {row}")
        };
        let words = |cell: &'static str| cell.split('`').skip(1).step_by(2).collect();
        let action = action.trim_end_matches('`');
        (action, [words(resource), words(details)])
    })
    .collect()
}

/// Checks that each event is one of those, and has what is documented.
fn audit_is_documented(audit: &[Value], judgement: &mut Judgement) {
    let documented = documented_audit();
    for event in audit {
        let action = event["action"].as_str().unwrap_or_default();
        let details = event["details"].as_object().expect("details");
        let details: BTreeSet<&str> = details.keys().map(String::as_str).collect();
        let resource = event["resourceType"].as_str().unwrap_or_default();
        let is = documented
            .get(action)
            .is_some_and(|row| row[0].contains(resource) && row[1] == details);
        judgement.hold("5: the audit is as documented", is, || event.to_string());
    }
}

async fn nothing_private_leaks(evidence: &Evidence<'_>, judgement: &mut Judgement) {
    let told = &evidence.logs.told;
    judgement.hold("6: nothing private in a log", told.is_empty(), || {
        format!("{told:?}")
    });
    let refusals = evidence
        .owners
        .iter()
        .flat_map(|owner| owner.caller.refusals());
    for refusal in refusals {
        let told = SECRETS.iter().find(|secret| refusal.contains(**secret));
        judgement.hold(
            "6: nothing private in an error response",
            told.is_none(),
            || refusal.clone(),
        );
    }
    let mut kept_in = evidence.stack.dead_letter_queues().await;
    kept_in.push("MalformedQueue".to_owned());
    for queue in &kept_in {
        for message in evidence.stack.backstage.peek(queue).await {
            let body = message.body.unwrap_or_default();
            let told = SECRETS.iter().find(|secret| body.contains(**secret));
            judgement.hold("6: nothing private in a message", told.is_none(), || {
                format!("{queue}: {body}")
            });
        }
    }
}
