//! Point 4 for syncs: a command's effect matches what GitHub answered and what is stored.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Evidence, Judgement, OwnersRecords, dismissals, logs::SCHEDULED};
use crate::Stack;

pub(super) async fn judge(evidence: &Evidence<'_>, judgement: &mut Judgement) {
    let answered: BTreeSet<&str> = evidence
        .calls
        .iter()
        .filter(|call| call["status"] == 200)
        .filter_map(|call| call["path"].as_str()?.strip_prefix("/repos/"))
        .filter_map(|path| Some(path.split_once("/dependabot/alerts")?.0))
        .collect();
    let scheduled = evidence.logs.with(SCHEDULED).len();
    let mut theirs = BTreeMap::new();
    for owner in &evidence.owners {
        let views = evidence.commands.values();
        let own = || {
            let own = views.clone();
            own.filter(|command| command.caller.owner() == owner.caller.owner())
                .map(|command| &command.view)
        };
        let effects: BTreeSet<&str> = own()
            .filter(|view| view["type"] == "sync")
            .filter_map(|view| view["effect"].as_str())
            .collect();
        let apart: BTreeSet<&str> = own().filter_map(dismissals::apart).collect();
        let is_refreshed = |repository: &&Value| !repository["lastSucceededAt"].is_null();
        let refreshed: Vec<_> = owner.repositories.iter().filter(is_refreshed).collect();
        if !effects.is_empty() && effects.iter().all(|effect| *effect == "none") && scheduled == 0 {
            let nothing = owner.findings.is_empty() && refreshed.is_empty();
            judgement.hold("4: no effect changed nothing", nothing, || {
                owner.caller.owner().to_string()
            });
        }
        let something = !refreshed.is_empty() || !owner.findings.is_empty();
        let something = something || !effects.contains("applied");
        judgement.hold("4: an applied effect changed something", something, || {
            owner.caller.owner().to_string()
        });
        for repository in refreshed {
            let name = repository["fullName"].as_str().expect("a name");
            let asked = answered.contains(name);
            judgement.hold("4: GitHub listed each refreshed repository", asked, || {
                name.to_owned()
            });
            if repository["lastFailureCode"].is_null() {
                if !theirs.contains_key(name) {
                    theirs.insert(name.to_owned(), at_github(evidence.stack, name).await);
                }
                compare(owner, repository, &theirs[name], &apart, judgement);
            }
        }
    }
}

/// Number and status of a repository's findings, or of its alerts in the findings' terms, with their multiplicity.
type Statuses = Vec<(u64, String)>;

fn compare(
    owner: &OwnersRecords<'_>,
    repository: &Value,
    theirs: &Statuses,
    apart: &BTreeSet<&str>,
    judgement: &mut Judgement,
) {
    let name = repository["fullName"].as_str().expect("a name");
    let is_compared = |(number, _): &&(u64, String)| {
        let id = format!("dependabot-{}-{number}", repository["id"]);
        !apart.contains(id.as_str())
    };
    let stored = stored(&owner.findings, name);
    let stored: Vec<_> = stored.iter().filter(is_compared).collect();
    let theirs: Vec<_> = theirs.iter().filter(is_compared).collect();
    judgement.hold(
        "4: findings match GitHub's alerts",
        stored == theirs,
        || {
            let only = |these: &[&(u64, String)], those: &[&(u64, String)]| {
                let these = these.iter().filter(|one| !those.contains(one));
                format!("{:?}", these.collect::<Vec<_>>())
            };
            let owner = owner.caller.owner();
            format!(
                "{owner}, {name}: stored {}, on GitHub {}",
                only(&stored, &theirs),
                only(&theirs, &stored)
            )
        },
    );
}

/// The findings of a repository.
fn stored(findings: &[Value], repository: &str) -> Statuses {
    let own = findings
        .iter()
        .filter(|finding| finding["repository"] == repository);
    let mut stored: Statuses = own
        .map(|finding| {
            let number = finding["sourceId"].as_str().expect("an id");
            let status = finding["status"].as_str().expect("a status");
            (number.parse().expect("a number"), status.to_owned())
        })
        .collect();
    stored.sort();
    stored
}

/// The alerts of a repository as GitHub has them now.
async fn at_github(stack: &Stack, repository: &str) -> Statuses {
    let alerts = stack.alerts(repository).await;
    let mut alerts: Statuses = alerts
        .iter()
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
