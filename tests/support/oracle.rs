//! What holds after every run, whatever was injected: the seven points, of any number of owners and commands. And the
//! functions' roles suffice.
//!
//! [`judge`] has late messages delivered of everything that has ended, then reads all records once (the API's, the
//! rows, the logs, GitHub's and the agent's own) and compares them in one pass. It reports every breach, not the first.

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

use logs::Logs;

/// What must appear in no log, message or error: personal data, and how GitHub's and the App's secrets begin.
pub const SECRETS: [&str; 6] = [
    "ada.canary@example.invalid",
    "Ada Canary",
    "ghs_",
    "PRIVATE KEY",
    "Bearer ",
    "eyJ",
];

/// What a run was like, as far as it matters to what must hold.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// Owners' ids, which messages and their own answers may name, but no log.
    pub subjects: Vec<String>,
    /// Paths of alerts whose dismissals were under way when their owner was erased: GitHub may have made each change,
    /// and no command is left to tell of it.
    pub untold: BTreeSet<String>,
    /// Commands that were erased with their owner: the agent may have begun what nobody tells of any more.
    pub erased: BTreeSet<CommandId>,
    /// Paths of alerts that somebody at GitHub may have opened again: they need not be dismissed any more.
    pub reopened: BTreeSet<String>,
    /// Processes that were killed in earlier runs of the stack: each may have died between a write and the line that
    /// tells of it.
    pub killed: usize,
}

/// What was compared, and what was found wrong.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    compared: BTreeMap<&'static str, usize>,
    breaches: Vec<String>,
}

impl Judgement {
    /// Makes one comparison: of what, whether it holds, and what is wrong if not.
    pub fn hold(&mut self, what: &'static str, holds: bool, breach: impl FnOnce() -> String) {
        *self.compared.entry(what).or_default() += 1;
        if !holds {
            self.breaches.push(format!("{what}: {}", breach()));
        }
    }

    /// How often each thing was compared.
    pub const fn compared(&self) -> &BTreeMap<&'static str, usize> {
        &self.compared
    }

    /// Everything that does not hold.
    pub fn breaches(&self) -> &[String] {
        &self.breaches
    }

    /// Takes over another one's comparisons.
    pub fn add(&mut self, other: Self) {
        for (what, count) in other.compared {
            *self.compared.entry(what).or_default() += count;
        }
        self.breaches.extend(other.breaches);
    }

    /// Fails a test if anything does not hold.
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

/// What is shown to one owner.
struct OwnersRecords<'a> {
    caller: &'a Caller,
    findings: Vec<Value>,
    repositories: Vec<Value>,
    audit: Vec<Value>,
}

/// Checks all seven points for these callers. Nothing is under way any more, and no schedule runs by the clock.
pub async fn judge(stack: &Stack, callers: &[&Caller], circumstances: &Circumstances) -> Judgement {
    stack.heal().await;
    let mut judgement = Judgement::default();
    let mut commands = Records::new();
    for caller in callers {
        for view in caller.all("commands").await {
            let noted = caller.note(&view);
            judgement.hold("2: what was told first stays", noted.is_ok(), || {
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
    // Nothing that a function does needs what its role in the template does not grant.
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

    /// Where GitHub has the alert of a finding.
    fn path_of(&self, finding: &str) -> Option<String> {
        let id = finding.strip_prefix("dependabot-")?;
        let (repository, number) = id.split_once('-')?;
        let name = self.names.get(&repository.parse().ok()?)?;
        Some(alert_path(name, number))
    }
}

/// The path under which GitHub has an alert.
pub fn alert_path(repository: &str, number: impl std::fmt::Display) -> String {
    format!("/repos/{repository}/dependabot/alerts/{number}")
}

/// How many there are, as the API counts.
fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
