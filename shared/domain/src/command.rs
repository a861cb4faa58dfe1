//! A command: the request, who made it, and its outcome.

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

/// The text is not a command id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a command id is a hyphenated lower-case UUID")]
pub struct InvalidCommandId;

impl CommandId {
    /// A new id. `now` determines its position in the history.
    pub fn new(now: Timestamp) -> Self {
        let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
        let nanos = u32::try_from(now.as_millis().rem_euclid(1000) * 1_000_000).unwrap_or(0);
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(
            uuid::NoContext,
            seconds,
            nanos,
        )))
    }

    /// When the command was first admitted, read from its id.
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
        // One id has one spelling, the printed one, because ids are compared as text in keys.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(InvalidCommandId)
        }
    }
}

crate::text::serde_by_text!(CommandId);

/// The key of a command's row. It contains the owner, so no caller reaches another owner's command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommandKey {
    /// The owner.
    pub owner: Owner,
    /// The command.
    pub id: CommandId,
}

/// A text that is too long or contains characters that are not allowed.
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
        // An id in a wrong form is reported like an unknown one: the owner has no such finding.
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
    /// Enabling Security Agent, or adding repositories to its scope.
    EnableInitialSync,
    /// An analysis that recommends a dismissal.
    AutoDismiss,
    /// A new finding that automation analyses.
    AutoAnalysis,
}

/// Who caused an effect, for audit events.
#[derive(Clone, PartialEq, Eq)]
pub enum Actor {
    /// A person, by the token that the gateway verified.
    User(UserId),
    /// Security Agent itself: automation, or a consequence of an earlier command.
    SecurityAgent,
    /// An operator, who invoked a function. CloudTrail knows which: the function is not told.
    Operator,
}

const SECURITY_AGENT: &str = "security-agent";
const OPERATOR: &str = "operator";

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => Owner::User(id.clone()).fmt(f),
            Self::SecurityAgent => f.write_str(SECURITY_AGENT),
            Self::Operator => f.write_str(OPERATOR),
        }
    }
}

// A person's id is personal data, and debug output ends up in logs.
impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(_) => f.write_str("User(..)"),
            Self::SecurityAgent => f.write_str("SecurityAgent"),
            Self::Operator => f.write_str("Operator"),
        }
    }
}

impl FromStr for Actor {
    type Err = InvalidOwner;
    fn from_str(text: &str) -> Result<Self, InvalidOwner> {
        match text {
            SECURITY_AGENT => Ok(Self::SecurityAgent),
            OPERATOR => Ok(Self::Operator),
            _ => match text.parse()? {
                Owner::User(id) => Ok(Self::User(id)),
                Owner::Org(_) => Err(InvalidOwner::Kind),
            },
        }
    }
}

/// The progress of a running command, in repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The finished repositories, with any outcome.
    pub done: u32,
    /// All repositories.
    pub total: u32,
}

/// What went wrong last. Only these variants can be stored, so the text contains no secret, no personal data and
/// nothing from an outside party.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LastError {
    /// GitHub's rate limit.
    #[error("GitHub's rate limit is exceeded until {0}")]
    RateLimited(Timestamp),
    /// GitHub answered with a failure.
    #[error("GitHub answered with status {0}")]
    GithubStatus(u16),
    /// GitHub could not be reached, or its answer was malformed.
    #[error("GitHub could not be reached, or its answer was malformed")]
    GithubUnreachable,
    /// GitHub rejected the credentials.
    #[error("GitHub rejected the App's credentials at {0}")]
    CredentialsRefused(Timestamp),
    /// The installation has no repository with this name.
    #[error("the installation has no repository with this name")]
    NotInInstallation,
    /// Some repositories failed.
    #[error("{failed} of {total} repositories could not be refreshed")]
    Repositories {
        /// The repositories that failed.
        failed: u32,
        /// All repositories.
        total: u32,
    },
    /// The command's time budget, over all deliveries, is spent.
    #[error("the sync took longer than allowed: {done} of {total} repositories were finished")]
    BudgetSpent {
        /// The finished repositories.
        done: u32,
        /// All repositories.
        total: u32,
    },
    /// The data store failed.
    #[error("the data store could not be reached")]
    StoreUnavailable,
    /// The data store throttles the owner's reads or writes.
    #[error(
        "the data store limits how fast this owner's data is written; the work continues at {0}"
    )]
    StoreThrottled(Timestamp),
    /// The owner's data has reached the data store's limit.
    #[error(
        "the data store has no room for more findings of this owner; ask an operator to make room"
    )]
    StoreFull,
    /// The invocation ended before the work was done.
    #[error("the work did not finish within one delivery")]
    OutOfTime,
    /// A bug, such as a panic.
    #[error("the worker failed unexpectedly")]
    Unexpected,
    /// Our own credentials for GitHub could not be read or used.
    #[error("the GitHub App's private key could not be used")]
    NoCredentials,
    /// The owner is not connected to an installation.
    #[error("the owner is not connected to a GitHub installation")]
    NotConnected,
    /// GitHub lets the App read alerts, but not dismiss them.
    #[error("the GitHub App may not dismiss alerts in this repository")]
    MayNotDismiss,
    /// GitHub lets the App read alerts, but not reopen them.
    #[error("the GitHub App may not reopen alerts in this repository")]
    MayNotReopen,
    /// GitHub rejected a reopening.
    #[error("GitHub rejected the reopening with status {0}")]
    ReopeningRefused(u16),
    /// GitHub accepted a reopening, but the alert is still dismissed.
    #[error("GitHub accepted the reopening, but the alert is still dismissed")]
    StillDismissed,
    /// GitHub rejected a dismissal.
    #[error("GitHub rejected the dismissal with status {0}")]
    DismissalRefused(u16),
    /// GitHub accepted a dismissal, but the alert is still open.
    #[error("GitHub accepted the dismissal, but the alert is still open")]
    StillOpen,
    /// GitHub issued no token for the agent.
    #[error("GitHub issued no token for the repository's contents")]
    NoRepositoryToken,
    /// The agent answered with a failure.
    #[error("the analysis service answered with status {0}")]
    AgentStatus(u16),
    /// The agent could not be reached, or its answer was malformed.
    #[error("the analysis service could not be reached, or its answer was malformed")]
    AgentUnreachable,
    /// The launch took too long.
    #[error("the analysis did not start in time")]
    LaunchTooLate,
    /// Other writers kept changing the finding.
    #[error("the finding kept changing while the outcome was recorded")]
    Contended,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The result code.
    pub code: ResultCode,
    /// What is known of the effect.
    pub effect: Effect,
    /// When it ended.
    pub completed_at: Timestamp,
    /// When the row expires. From then on it counts as absent.
    pub expires_at: Timestamp,
}

/// A command as stored in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The owner and the id.
    pub key: CommandKey,
    /// What to do.
    pub action: Action,
    /// What caused it.
    pub origin: Origin,
    /// Who caused it.
    pub actor: Actor,
    /// The state that decides which moves are possible.
    pub state: CommandState,
    /// The progress of the last heartbeat.
    pub progress: Option<Progress>,
    /// The text of the last [`LastError`].
    pub last_error: Option<String>,
    /// When it was last admitted or readmitted.
    pub accepted_at: Timestamp,
    /// When it was first claimed.
    pub started_at: Option<Timestamp>,
    /// When the row was last written.
    pub updated_at: Timestamp,
    /// How it ended. `Some` exactly if the status is terminal.
    pub ended: Option<Ended>,
}

impl Command {
    /// The status of the row.
    pub const fn status(&self) -> Status {
        self.state.status
    }

    /// Whether the last claim was neither released nor continued: its worker is still at work, or died. A claim of such
    /// a command is a takeover.
    pub fn was_left_claimed(&self) -> bool {
        // A release and a continuation end the lease at the time of their own write.
        self.status() == Status::Running
            && self
                .state
                .lease
                .is_some_and(|lease| lease.until > self.updated_at)
    }

    /// Whether the row has expired. It then counts as absent, although DynamoDB may not have deleted it yet.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.ended.is_some_and(|ended| ended.expires_at <= now)
    }
}

/// A client's name for one request, to recognise its repeats: 1 to 255 visible ASCII characters.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// The text is not an idempotency key.
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

    /// The hash that is stored instead of the key, which may be secret.
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
    fn command_ids_sort_by_admission_and_have_one_spelling() {
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
    fn an_idempotency_key_is_bounded_visible_ascii() {
        assert!(IdempotencyKey::parse("a-1").is_ok());
        for bad in ["", "a b", "é", &"a".repeat(256)] {
            assert_eq!(IdempotencyKey::parse(bad), Err(InvalidIdempotencyKey));
        }
    }
}
