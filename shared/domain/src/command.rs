//! A command: what was asked, by whom for what, and what became of it.

pub mod argument;
mod fingerprint;
mod kind;
mod types;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    Timestamp,
    finding::{FindingId, RepositoryName},
    lifecycle::{CommandState, Status},
    owner::{InvalidOwner, Owner, UserId},
    result_code::{Effect, ResultCode},
    text::words,
};

pub use argument::{Argument, Field, Reader, Refused, Shape, Value};
pub use fingerprint::fingerprint;
pub use kind::{CommandKind, CommandQueue, Held};
pub use types::{
    Action, CommandType, DismissComment, DismissFinding, ModelName, PausedCommands, ReopenFinding,
    StartAnalysis, SyncFindings,
};

use argument::Word;

/// A command's id: a UUID of version 7, so ids sort by admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(Uuid);

/// The text is no command id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a command id is a hyphenated lower-case UUID")]
pub struct InvalidCommandId;

impl CommandId {
    /// A new id; `now` gives its place in the history.
    pub fn new(now: Timestamp) -> Self {
        let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
        let nanos = u32::try_from(now.as_millis().rem_euclid(1000) * 1_000_000).unwrap_or(0);
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(
            uuid::NoContext,
            seconds,
            nanos,
        )))
    }

    /// When the command was admitted first, as its id tells.
    pub fn admitted_at(self) -> Timestamp {
        let (seconds, nanos) = self.0.get_timestamp().map_or((0, 0), |time| time.to_unix());
        let millis = seconds
            .saturating_mul(1000)
            .saturating_add(u64::from(nanos / 1_000_000));
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    /// The id as 128 bits.
    pub const fn as_u128(self) -> u128 {
        self.0.as_u128()
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for CommandId {
    type Err = InvalidCommandId;
    fn from_str(text: &str) -> Result<Self, InvalidCommandId> {
        let id = Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| InvalidCommandId)?;
        // One id has one spelling: what we print is what we accept.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(InvalidCommandId)
        }
    }
}

crate::text::serde_by_text!(CommandId);

/// Names a command's row. The owner is part of it, so nobody reaches another owner's command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommandKey {
    /// Whose command.
    pub owner: Owner,
    /// Which one.
    pub id: CommandId,
}

/// A text is longer than it may be, or holds what it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {expected}")]
pub struct InvalidText {
    expected: &'static str,
}

impl InvalidText {
    pub(crate) const fn expected(expected: &'static str) -> Self {
        Self { expected }
    }
}

/// The longest text that could be a finding's id, in bytes.
const LONGEST_ID: usize = 256;

impl Word for FindingId {
    const SHAPE: Shape = Shape::Text {
        min: None,
        max: None,
        example: Some("dependabot-700000001-42"),
    };
    fn text(&self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Result<Self, Refused> {
        if text.len() > LONGEST_ID {
            let expected = format!("must be the id of a finding, of at most {LONGEST_ID} bytes");
            return Err(Refused::Invalid(expected));
        }
        // Whatever its form, a client sees no more than that the owner has no such finding.
        text.parse().map_err(|_| Refused::Unknown)
    }
}

impl Word for RepositoryName {
    const SHAPE: Shape = Shape::Text {
        min: None,
        max: None,
        example: Some("octo/app"),
    };
    fn text(&self) -> String {
        self.to_string()
    }
}

words!(Origin, "an origin", {
    Manual => "manual",
    DashboardRefresh => "dashboard_refresh",
    EnableInitialSync => "enable_initial_sync",
    AutoDismiss => "auto_dismiss",
    AutoAnalysis => "auto_analysis",
});

/// What caused a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A caller of the API.
    Manual,
    /// A dashboard's refresh.
    DashboardRefresh,
    /// Enabling Security Agent, or widening what it looks at.
    EnableInitialSync,
    /// An analysis that recommends a dismissal.
    AutoDismiss,
    /// A new finding that automation analyses.
    AutoAnalysis,
}

/// Who caused something: what an audit event names.
#[derive(Clone, PartialEq, Eq)]
pub enum Actor {
    /// A person, by the token that the gateway verified.
    User(UserId),
    /// Security Agent itself: automation, or what follows by itself from an earlier command.
    SecurityAgent,
}

const SECURITY_AGENT: &str = "security-agent";

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => Owner::User(id.clone()).fmt(f),
            Self::SecurityAgent => f.write_str(SECURITY_AGENT),
        }
    }
}

// A person's id is personal data: debug output ends up in logs.
impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(_) => f.write_str("User(..)"),
            Self::SecurityAgent => f.write_str("SecurityAgent"),
        }
    }
}

impl FromStr for Actor {
    type Err = InvalidOwner;
    fn from_str(text: &str) -> Result<Self, InvalidOwner> {
        if text == SECURITY_AGENT {
            return Ok(Self::SecurityAgent);
        }
        match text.parse()? {
            Owner::User(id) => Ok(Self::User(id)),
            Owner::Org(_) => Err(InvalidOwner::Kind),
        }
    }
}

/// How far a running command has come, in repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Finished, however they ended.
    pub done: u32,
    /// In all.
    pub total: u32,
}

/// What went wrong last, in words that hold no secret, no personal datum and no text from elsewhere: only the
/// variants below can be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LastError {
    /// GitHub's rate limit.
    #[error("GitHub's rate limit is used up until {0}")]
    RateLimited(Timestamp),
    /// GitHub answered with a failure.
    #[error("GitHub answered with status {0}")]
    GithubStatus(u16),
    /// GitHub could not be reached or its answer not be understood.
    #[error("GitHub could not be reached, or its answer could not be understood")]
    GithubUnreachable,
    /// GitHub refused the credentials.
    #[error("GitHub refused the credentials at {0}")]
    CredentialsRefused(Timestamp),
    /// No repository of this name is in the installation.
    #[error("the installation has no repository of this name")]
    NotInInstallation,
    /// Some repositories failed.
    #[error("{failed} of {total} repositories could not be refreshed")]
    Repositories {
        /// How many failed.
        failed: u32,
        /// Of how many.
        total: u32,
    },
    /// The budget of all deliveries together is used up.
    #[error("the sync took longer than allowed: {done} of {total} repositories were finished")]
    BudgetSpent {
        /// Finished.
        done: u32,
        /// Of how many.
        total: u32,
    },
    /// The data store failed.
    #[error("the data store could not be reached")]
    StoreUnavailable,
    /// The worker's time was up before the work was done.
    #[error("the work did not end within a delivery")]
    OutOfTime,
    /// A defect of ours.
    #[error("the worker failed unexpectedly")]
    Unexpected,
    /// Our own credentials for GitHub cannot be read or used.
    #[error("the GitHub App's own credentials cannot be used")]
    NoCredentials,
    /// The owner is connected to no installation.
    #[error("the owner is connected to no GitHub installation")]
    NotConnected,
    /// GitHub lets the App read alerts, but not dismiss them.
    #[error("the GitHub App may not dismiss alerts in this repository")]
    MayNotDismiss,
    /// GitHub lets the App read alerts, but not reopen them.
    #[error("the GitHub App may not reopen alerts in this repository")]
    MayNotReopen,
    /// GitHub refused to reopen an alert.
    #[error("GitHub did not reopen the alert, with status {0}")]
    ReopeningRefused(u16),
    /// GitHub accepted a reopening, and the alert is still dismissed.
    #[error("GitHub accepted the reopening and shows the alert as dismissed")]
    StillDismissed,
    /// GitHub refused a dismissal.
    #[error("GitHub did not accept the dismissal, with status {0}")]
    DismissalRefused(u16),
    /// GitHub took a dismissal, and the alert is still open.
    #[error("GitHub accepted the dismissal and shows the alert as open")]
    StillOpen,
    /// GitHub gave no token for the agent.
    #[error("GitHub gave no token for reading the repository")]
    NoRepositoryToken,
    /// The agent answered with a failure.
    #[error("the analysis service answered with status {0}")]
    AgentStatus(u16),
    /// The agent could not be reached or its answer not be understood.
    #[error("the analysis service could not be reached, or its answer could not be understood")]
    AgentUnreachable,
    /// The launch took longer than a launch may.
    #[error("the analysis was not begun in time")]
    LaunchTooLate,
    /// Others kept changing the finding.
    #[error("the finding kept changing while the outcome was recorded")]
    Contended,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub code: ResultCode,
    /// What is known of the effect.
    pub effect: Effect,
    /// When.
    pub completed_at: Timestamp,
    /// When the row may vanish; from then on it counts as absent.
    pub expires_at: Timestamp,
}

/// A command as the ledger holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Whose and which.
    pub key: CommandKey,
    /// What was asked.
    pub action: Action,
    /// What caused it.
    pub origin: Origin,
    /// Who caused it.
    pub actor: Actor,
    /// What may happen to it.
    pub standing: CommandState,
    /// The last progress reported.
    pub progress: Option<Progress>,
    /// What went wrong last, redacted.
    pub last_error: Option<String>,
    /// When it was admitted, or readmitted.
    pub accepted_at: Timestamp,
    /// When it was claimed first.
    pub started_at: Option<Timestamp>,
    /// When the row was written last.
    pub updated_at: Timestamp,
    /// How it ended; present exactly if the status is terminal.
    pub ended: Option<Ended>,
}

impl Command {
    /// The status of the row.
    pub const fn status(&self) -> Status {
        self.standing.status
    }

    /// Whether the last claim was never given back, nor handed on: its worker may be at work, or be gone. Whoever claims
    /// such a command takes it over.
    pub fn was_left_claimed(&self) -> bool {
        // Giving back and handing on end the claim in the write that says so.
        self.status() == Status::Running
            && self
                .standing
                .lease
                .is_some_and(|lease| lease.until > self.updated_at)
    }

    /// Whether the row has expired and must be treated as absent, though not deleted yet.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.ended.is_some_and(|ended| ended.expires_at <= now)
    }
}

/// A client's name for one request, by which a repetition is recognised. 1 to 255 visible ASCII characters.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// The text cannot be an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to 255 visible ASCII characters")]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// Parses a header's value.
    pub fn parse(text: &str) -> Result<Self, InvalidIdempotencyKey> {
        if (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidIdempotencyKey)
        }
    }

    /// What is stored in place of the key, which may be guessable or secret.
    pub fn hashed(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes()))
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(..)")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_admission_and_have_one_spelling() {
        let first = CommandId::new(Timestamp::from_millis(1_795_435_200_000));
        let second = CommandId::new(Timestamp::from_millis(1_795_435_200_001));
        assert!(first < second && first.to_string() < second.to_string());
        assert_eq!(second.admitted_at().as_millis(), 1_795_435_200_001);
        assert_eq!(first.to_string().parse(), Ok(first));
        assert_eq!(
            first.to_string().to_uppercase().parse::<CommandId>(),
            Err(InvalidCommandId)
        );
    }

    #[test]
    fn keys_are_bounded_and_visible() {
        assert!(IdempotencyKey::parse("a-1").is_ok());
        for bad in ["", "a b", "é", &"a".repeat(256)] {
            assert_eq!(IdempotencyKey::parse(bad), Err(InvalidIdempotencyKey));
        }
    }
}
