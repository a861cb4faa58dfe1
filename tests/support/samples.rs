//! Sample owners, times, commands in every state, and findings.

use std::time::Duration;

use domain::{
    Timestamp,
    command::{Actor, Command, CommandId, CommandKey, Ended, Origin, SyncFindings},
    finding::{
        AlertNumber, Finding, FindingId, FindingStatus, Package, Repository, RepositoryId, Severity,
    },
    lifecycle::{CommandState, Lease, RESEND_AFTER, Stage, Status, Timeouts, Token, admitted},
    owner::Owner,
    result_code::{Effect, ResultCode},
};
use store::{
    ledger::{NewCommand, due_key},
    table::DueKind,
};

/// 2026-11-23T12:00:00Z.
pub const NOON: Timestamp = Timestamp::from_millis(1_795_435_200_000);
/// The longest time from admission to the first claim.
pub const ACCEPTED_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest time between two progress reports.
pub const RUNNING_TIMEOUT: Duration = Duration::from_secs(1_800);
/// The time from a command's end until its row expires.
pub const RETENTION: Duration = Duration::from_secs(30 * 86_400);
/// The defaults of template.yaml.
pub const TIMEOUTS: Timeouts = Timeouts {
    accepted: ACCEPTED_TIMEOUT,
    running: RUNNING_TIMEOUT,
    retention: RETENTION,
};

/// This many seconds after noon, or before if negative.
pub fn noon(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOON.as_millis() + seconds * 1_000)
}

/// A new owner.
pub fn owner() -> Owner {
    Owner::Org(uuid::Uuid::new_v4())
}

/// A new command's key.
pub fn key(owner: Owner) -> CommandKey {
    CommandKey {
        owner,
        id: CommandId::new(NOON),
    }
}

/// A new command's key in this shard of the `due` index.
pub fn key_in_shard(owner: &Owner, shard: u8) -> CommandKey {
    loop {
        let key = key(owner.clone());
        if due_key(key.id) == DueKind::Command.shard(shard) {
            return key;
        }
    }
}

/// A sync of everything that a person requests.
pub fn sync_of(owner: &Owner) -> NewCommand {
    NewCommand {
        owner: owner.clone(),
        action: SyncFindings::all().into(),
        origin: Origin::Manual,
        actor: actor(),
        key: None,
    }
}

/// The person who requests the samples.
pub fn actor() -> Actor {
    "user:auth0|5f7c".parse().expect("a person")
}

/// Who holds a sample's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The worker with this token.
    Is(Token),
    /// Another worker.
    Another,
}

impl Holder {
    const fn token(self) -> Token {
        match self {
            Self::Is(token) => token,
            Self::Another => Token(0xa07e4),
        }
    }
}

/// Every state that a command can have at noon, by name. The holder has the lease, if there is one.
pub fn states(holder: Holder) -> Vec<(&'static str, CommandState)> {
    let token = holder.token();
    let accepted = |at| admitted(Token(0xad1), at, &TIMEOUTS);
    let running = |until, deadline| CommandState {
        status: Status::Running,
        attempt: 1,
        lease: Some(Lease { token, until }),
        queued_at: None,
        deadline,
        due: Some(deadline),
        ..accepted(noon(-200))
    };
    // Due in the queue at `at`. A wait that is over is the same as none.
    let handed_on = |at: Timestamp| CommandState {
        stage: Stage(1),
        queued_at: Some(at),
        waiting_until: Some(at),
        due: Some(at + RESEND_AFTER[0]),
        ..running(noon(-100), at + RUNNING_TIMEOUT)
    };
    let ended = |status| CommandState {
        status,
        due: None,
        ..running(noon(-10), noon(1_600))
    };
    vec![
        ("accepted", accepted(noon(-80))),
        ("accepted, past its deadline", accepted(noon(-301))),
        ("running", running(noon(30), noon(1_600))),
        ("running, past its deadline", running(noon(30), noon(-1))),
        ("lapsed", running(noon(-5), noon(1_600))),
        ("lapsed, past its deadline", running(noon(-5), noon(-1))),
        ("handed on", handed_on(noon(-100))),
        ("waiting", handed_on(noon(60))),
        (
            "never queued",
            CommandState {
                status: Status::Failed,
                never_queued: true,
                queued_at: None,
                due: None,
                ..accepted(noon(-80))
            },
        ),
        ("succeeded", ended(Status::Succeeded)),
        ("failed", ended(Status::Failed)),
        ("no_op", ended(Status::NoOp)),
    ]
}

/// A sync in this state, admitted a quarter of an hour before noon and, if it has ended, ended a minute before noon.
pub fn command(owner: Owner, state: CommandState) -> Command {
    let code = match state.status {
        Status::Accepted | Status::Running => None,
        Status::Succeeded => Some(ResultCode::SyncCompleted),
        Status::Failed if state.never_queued => Some(ResultCode::QueueAdmissionFailed),
        Status::Failed => Some(ResultCode::SyncPartialFailure),
        Status::NoOp => Some(ResultCode::ConfigDisabled),
    };
    Command {
        key: key(owner),
        action: SyncFindings::all().into(),
        origin: Origin::Manual,
        actor: actor(),
        progress: None,
        last_error: None,
        accepted_at: noon(-900),
        started_at: state.lease.map(|_| noon(-600)),
        updated_at: noon(-60),
        ended: code.map(|code| Ended {
            code,
            effect: Effect::None,
            completed_at: noon(-60),
            expires_at: noon(-60) + RETENTION,
        }),
        state,
    }
}

/// The finding for this alert, as of `updated`.
pub fn finding(
    repository: &Repository,
    number: u32,
    severity: Severity,
    status: FindingStatus,
    updated: Timestamp,
) -> Finding {
    Finding {
        id: FindingId {
            source: domain::finding::Source::Dependabot,
            repository: repository.id,
            number: AlertNumber::new(number).expect("not zero"),
        },
        repository: repository.name.clone(),
        severity,
        status,
        ignored_reason: None,
        ignored_by: None,
        package: Package {
            ecosystem: "npm".to_owned(),
            name: "lodash".to_owned(),
        },
        vulnerable_version_range: "< 4.17.21".to_owned(),
        patched_version: None,
        manifest_path: "package-lock.json".to_owned(),
        dependency_scope: None,
        ghsa_id: "GHSA-35jh-r3h4-6jhm".to_owned(),
        cve_id: None,
        cvss_score: None,
        cwe_ids: Vec::new(),
        title: "Command injection".to_owned(),
        description: "A template can run commands.".to_owned(),
        url: format!(
            "https://github.com/{}/security/dependabot/{number}",
            repository.name
        ),
        first_detected_at: noon(-86_400),
        fixed_at: None,
        source_updated_at: updated,
    }
}

/// A sample repository.
pub fn repository() -> Repository {
    Repository {
        id: RepositoryId::new(7),
        name: "octo/app".parse().expect("a name"),
    }
}

/// A pace with time enough for everything that a test writes.
pub fn unhurried() -> store::pace::Pace {
    store::pace::Pace::new(tokio::time::Instant::now() + std::time::Duration::from_secs(60))
}
