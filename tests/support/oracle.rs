//! The seven points that hold after every run, whatever was injected, for any number of owners and commands. Also, that
//! the functions' roles grant every call they made.
//!
//! [`judge`] redelivers the messages of ended commands, reads all records once (the API's, the rows, the logs, GitHub's
//! and the agent's) and compares them in one pass. It reports every breach, not only the first.

mod analyses;
mod dismissals;
mod effects;
mod endings;
mod late;
mod logs;
mod privacy;

use std::collections::{BTreeMap, BTreeSet};

use domain::command::{Command, CommandId};
use serde_json::Value;

use crate::{Caller, Stack, command_id, is_over};

pub use analyses::{judge as judge_analyses, slots};
pub use privacy::documented_audit;

use logs::Logs;

/// Texts that must not appear in any log, message or error: personal data, and prefixes of tokens and keys.
pub const SECRETS: [&str; 6] = [
    "ada.canary@example.invalid",
    "Ada Canary",
    "ghs_",
    "PRIVATE KEY",
    "Bearer ",
    "eyJ",
];

/// Facts about a run that change what must hold.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// Owners' ids, which may be in messages and in their own responses, but in no log.
    pub subjects: Vec<String>,
    /// Paths of alerts whose dismissals were running when their owner was erased: GitHub may have made each change, and
    /// no command is left to show it.
    pub untold: BTreeSet<String>,
    /// Commands that were erased with their owner: the agent may have a session for each, and no record is left.
    pub erased: BTreeSet<CommandId>,
    /// Paths of alerts that somebody may have reopened on GitHub: they need not be dismissed any more.
    pub reopened: BTreeSet<String>,
    /// Processes that were killed in earlier runs of the stack: each may have died between a write and its log line.
    pub killed: usize,
}

/// The comparisons made and the breaches found.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    compared: BTreeMap<&'static str, usize>,
    breaches: Vec<String>,
}

impl Judgement {
    /// Records one comparison: its name, whether it holds, and the breach if it does not.
    pub fn hold(&mut self, what: &'static str, holds: bool, breach: impl FnOnce() -> String) {
        *self.compared.entry(what).or_default() += 1;
        if !holds {
            self.breaches.push(format!("{what}: {}", breach()));
        }
    }

    /// The number of comparisons by name.
    pub const fn compared(&self) -> &BTreeMap<&'static str, usize> {
        &self.compared
    }

    /// Every breach.
    pub fn breaches(&self) -> &[String] {
        &self.breaches
    }

    /// Adds another judgement's comparisons and breaches.
    pub fn add(&mut self, other: Self) {
        for (what, count) in other.compared {
            *self.compared.entry(what).or_default() += count;
        }
        self.breaches.extend(other.breaches);
    }

    /// Panics if there is any breach.
    pub fn assert(&self) {
        assert!(self.breaches.is_empty(), "{}", self.breaches.join("\n"));
    }
}

/// A command as its owner sees it and as it is stored.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    caller: &'a Caller,
    view: Value,
    stored: Command,
}

type Records<'a> = BTreeMap<CommandId, Record<'a>>;

/// All records of a run.
struct Evidence<'a> {
    stack: &'a Stack,
    circumstances: &'a Circumstances,
    owners: Vec<OwnersRecords<'a>>,
    commands: Records<'a>,
    logs: Logs,
    /// The calls that GitHub received.
    calls: Vec<Value>,
    /// The names of all repositories, by id.
    names: BTreeMap<u64, String>,
}

/// What the API shows to one owner.
struct OwnersRecords<'a> {
    caller: &'a Caller,
    findings: Vec<Value>,
    repositories: Vec<Value>,
    audit: Vec<Value>,
}

/// Checks the seven points for these callers. No work may be running, and no schedule may run by the clock.
pub async fn judge(stack: &Stack, callers: &[&Caller], circumstances: &Circumstances) -> Judgement {
    stack.heal().await;
    let mut judgement = Judgement::default();
    let mut commands = Records::new();
    for caller in callers {
        for view in caller.all("commands").await {
            let noted = caller.note(&view);
            judgement.hold("2: an ended command does not change", noted.is_ok(), || {
                noted.err().unwrap_or_default()
            });
            judgement.hold("1: every command has ended", is_over(&view), || {
                view.to_string()
            });
            let id = command_id(&view);
            let stored = stack.backstage.command(&caller.key(id)).await;
            commands.insert(
                id,
                Record {
                    caller,
                    view,
                    stored,
                },
            );
        }
    }
    late::deliver(stack, &commands, &mut judgement).await;
    let evidence = Evidence::gather(stack, callers, circumstances, commands).await;
    endings::judge(&evidence, &mut judgement).await;
    effects::judge(&evidence, &mut judgement).await;
    dismissals::judge(&evidence, &mut judgement).await;
    privacy::judge(&evidence, &mut judgement).await;
    // No function made a call that its role in the template refuses.
    for (function, refused) in stack.refused_permissions().await {
        judgement.hold("roles suffice", refused.is_empty(), || {
            format!("{function}: {refused:?}")
        });
    }
    judgement
}

impl<'a> Evidence<'a> {
    async fn gather(
        stack: &'a Stack,
        callers: &[&'a Caller],
        circumstances: &'a Circumstances,
        commands: Records<'a>,
    ) -> Self {
        let mut owners = Vec::new();
        for caller in callers {
            owners.push(OwnersRecords {
                caller,
                findings: caller.all("findings").await,
                repositories: caller.all_repositories().await,
                audit: caller.audit_events().await,
            });
        }
        let repositories = owners.iter().flat_map(|owner| &owner.repositories);
        let names = repositories
            .map(|repository| {
                let id = repository["id"].as_u64().expect("an id");
                let name = repository["fullName"].as_str().expect("a name");
                (id, name.to_owned())
            })
            .collect();
        let mut private: Vec<&str> = SECRETS.to_vec();
        private.extend(circumstances.subjects.iter().map(String::as_str));
        Self {
            stack,
            circumstances,
            owners,
            commands,
            logs: Logs::read(stack, &private),
            calls: stack.github_requests().await,
            names,
        }
    }

    /// The path of a finding's alert on GitHub.
    fn path_of(&self, finding: &str) -> Option<String> {
        let id = finding.strip_prefix("dependabot-")?;
        let (repository, number) = id.split_once('-')?;
        let name = self.names.get(&repository.parse().ok()?)?;
        Some(alert_path(name, number))
    }
}

/// The path of an alert on GitHub.
pub fn alert_path(repository: &str, number: impl std::fmt::Display) -> String {
    format!("/repos/{repository}/dependabot/alerts/{number}")
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
