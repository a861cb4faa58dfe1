//! A command: what was asked, by whom for what, and what became of it.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    Timestamp,
    finding::{DismissReason, FindingId, RepositoryName},
    lifecycle::{Standing, Status},
    owner::{InvalidOwner, Owner, UserId},
    result_code::{Effect, ResultCode},
    text::{UnknownWord, words},
};

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

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Refresh the findings from GitHub.
    Sync {
        /// Only this repository; otherwise all in scope.
        repository: Option<RepositoryName>,
    },
    /// Dismiss a finding's alert at GitHub, then ignore it here.
    DismissFinding {
        /// Which finding.
        finding: FindingId,
        /// Why, in GitHub's words.
        reason: DismissReason,
        /// What is to be said to it.
        comment: Option<DismissComment>,
    },
    /// Have the agent analyse a finding.
    StartAnalysis {
        /// Which finding.
        finding: FindingId,
        /// How.
        options: AnalysisOptions,
    },
}

/// How a finding is to be analysed, where it differs from the owner's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnalysisOptions {
    /// The model for whatever the next two do not name.
    pub model: Option<ModelName>,
    /// The model that triages.
    pub triage_model: Option<ModelName>,
    /// The model that analyses.
    pub analysis_model: Option<ModelName>,
    /// Go through the whole codebase in a sandbox, whatever the triage says.
    pub force_sandbox: bool,
    /// Take the place of an analysis that is under way.
    pub restart_active: bool,
}

words!(CommandType, "a command's type", {
    Sync => "sync",
    DismissFinding => "dismiss_finding",
    StartAnalysis => "start_analysis",
});

/// What kind of thing a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CommandType {
    /// Refreshing findings.
    Sync,
    /// Dismissing one.
    DismissFinding,
    /// Having one analysed.
    StartAnalysis,
}

/// The types of which no command is admitted for now. What was admitted before is still done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PausedCommands(BTreeSet<CommandType>);

impl PausedCommands {
    /// Whether commands of this type must wait.
    pub fn contain(&self, command: CommandType) -> bool {
        self.0.contains(&command)
    }
}

impl FromStr for PausedCommands {
    type Err = UnknownWord;

    /// Names separated by commas; nothing is paused by an empty text.
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let names = text.split(',').filter(|_| !text.is_empty());
        names.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl Action {
    /// The command's type.
    pub const fn command_type(&self) -> CommandType {
        match self {
            Self::Sync { .. } => CommandType::Sync,
            Self::DismissFinding { .. } => CommandType::DismissFinding,
            Self::StartAnalysis { .. } => CommandType::StartAnalysis,
        }
    }

    /// The stable name of the command's type.
    pub const fn type_name(&self) -> &'static str {
        self.command_type().as_str()
    }

    /// What it asks for, by name. An optional field that is absent, or a flag that is not set, is left out.
    fn fields(&self) -> Vec<(&'static str, String)> {
        let fields = match self {
            Self::Sync { repository } => {
                vec![("repository", repository.as_ref().map(ToString::to_string))]
            }
            Self::DismissFinding {
                finding,
                reason,
                comment,
            } => vec![
                ("finding", Some(finding.to_string())),
                ("reason", Some(reason.to_string())),
                ("comment", comment.as_ref().map(|text| text.0.clone())),
            ],
            Self::StartAnalysis { finding, options } => {
                let AnalysisOptions {
                    model,
                    triage_model,
                    analysis_model,
                    force_sandbox,
                    restart_active,
                } = options;
                let name = |model: &Option<ModelName>| model.as_ref().map(|name| name.0.clone());
                let flag = |set: bool| set.then(|| "true".to_owned());
                vec![
                    ("finding", Some(finding.to_string())),
                    ("model", name(model)),
                    ("triage_model", name(triage_model)),
                    ("analysis_model", name(analysis_model)),
                    ("force_sandbox", flag(*force_sandbox)),
                    ("restart_active", flag(*restart_active)),
                ]
            }
        };
        let present = |(name, value): (_, Option<String>)| Some((name, value?));
        fields.into_iter().filter_map(present).collect()
    }

    /// The finding that it is about.
    pub const fn finding(&self) -> Option<FindingId> {
        match self {
            Self::Sync { .. } => None,
            Self::DismissFinding { finding, .. } | Self::StartAnalysis { finding, .. } => {
                Some(*finding)
            }
        }
    }
}

/// What a person says to a dismissal: at most 280 characters, none of them a control character but line breaks and tabs.
#[derive(Clone, PartialEq, Eq)]
pub struct DismissComment(String);

/// A text is longer than it may be, or holds what it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {expected}")]
pub struct InvalidText {
    expected: &'static str,
}

impl DismissComment {
    /// GitHub's limit, in characters.
    pub const MAX_CHARS: usize = 280;

    /// The comment.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DismissComment {
    type Err = InvalidText;
    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let forbidden = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        if text.chars().count() <= Self::MAX_CHARS && !text.chars().any(forbidden) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidText {
                expected: "a text of at most 280 characters without control characters",
            })
        }
    }
}

// A person's words: they may hold personal data, and debug output ends up in logs.
impl fmt::Debug for DismissComment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DismissComment(..)")
    }
}

/// The name of a model: 1 to 128 characters, no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelName(String);

impl ModelName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelName {
    type Err = InvalidText;
    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let length = text.chars().take(129).count();
        if (1..=128).contains(&length) && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidText {
                expected: "a name of 1 to 128 characters without control characters",
            })
        }
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
    pub standing: Standing,
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
    pub(crate) fn was_left_claimed(&self) -> bool {
        // Giving back and handing on end the claim in the write that says so.
        self.status() == Status::Running
            && self
                .standing
                .hold
                .is_some_and(|hold| hold.until > self.updated_at)
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
    pub(crate) fn hashed(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes()))
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(..)")
    }
}

/// Tells whether two requests ask for the same. Who asks is not part of it: the key belongs to the owner.
pub(crate) fn fingerprint(action: &Action, origin: Origin) -> String {
    request_digest(action.type_name(), origin, action.fields())
}

/// The form of a request that is hashed. Another form gets another word, since keys are kept for as long as commands.
const REQUEST_FORM: &str = "request/1";

/// The digest of `request/1`, then of `<name>=<length>:<value>` on a line each: type, origin, and the fields by name. What
/// a request leaves out is not in it, so a new optional field changes no digest of a request that does not use it.
fn request_digest(kind: &str, origin: Origin, mut fields: Vec<(&'static str, String)>) -> String {
    fields.sort_unstable();
    let mut canonical = format!("{REQUEST_FORM}\n");
    let first = [("type", kind), ("origin", origin.as_str())];
    let rest = fields.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in first.into_iter().chain(rest) {
        // The length keeps a value with line breaks from passing for other fields.
        canonical.push_str(&format!("{name}={}:{value}\n", value.len()));
    }
    hex(&Sha256::digest(canonical.as_bytes()))
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

    fn finding() -> FindingId {
        "dependabot-700000001-42".parse().expect("a finding id")
    }

    /// One request of each type with nothing that it may leave out, and one with all of that.
    fn requests() -> [(Action, Origin); 6] {
        let all = AnalysisOptions {
            model: Some("a".parse().expect("a name")),
            triage_model: Some("b".parse().expect("a name")),
            analysis_model: Some("c".parse().expect("a name")),
            force_sandbox: true,
            restart_active: true,
        };
        let start = |options| Action::StartAnalysis {
            finding: finding(),
            options,
        };
        let dismiss = |comment: Option<&str>| Action::DismissFinding {
            finding: finding(),
            reason: DismissReason::NotUsed,
            comment: comment.map(|text| text.parse().expect("a comment")),
        };
        let sync = |name: Option<&str>| Action::Sync {
            repository: name.map(|name| name.parse().expect("a name")),
        };
        [
            (sync(None), Origin::Manual),
            (sync(Some("octo/app")), Origin::DashboardRefresh),
            (dismiss(None), Origin::Manual),
            (dismiss(Some("no\nreason=3:é")), Origin::AutoDismiss),
            (start(AnalysisOptions::default()), Origin::Manual),
            (start(all), Origin::AutoAnalysis),
        ]
    }

    // These are stored. Another form of the request needs another word in front, and this test another list beside this one.
    #[test]
    fn the_fingerprint_of_a_request_stays_the_same_for_ever() {
        let found = requests().map(|(action, origin)| fingerprint(&action, origin));
        let stored = [
            "4f3472afe4ae23f2fe6051f670293752a7bab4c55a6787c737e156a6a6303e1c",
            "72c9b01138ad50822d7d084804d83d3e30459e7a611849d307fc60947429ee51",
            "cef0b0bfbbf860770c3db51116af9c72f1e454f5a9664f428215845d7d5e83ea",
            "eb1863880749bba87b8af70dee7e59e3159d9db3d731f765976d4e6d1eafcd72",
            "a51b3ff489732ca57f7eb20c1db2dc13f1da01c937cc5499890e4ea913ce32ce",
            "c10287877bf96cfdd2ecd1776a2334e8675cb3c836356d415268b10ac22d9cea",
        ];
        assert_eq!(found, stored);
    }

    #[test]
    fn each_field_of_a_request_is_part_of_its_fingerprint() {
        let (action, origin) = &requests()[5];
        let Action::StartAnalysis { options, .. } = action else {
            panic!("it starts an analysis")
        };
        let mut others: Vec<_> = [
            AnalysisOptions {
                model: None,
                ..options.clone()
            },
            AnalysisOptions {
                triage_model: None,
                ..options.clone()
            },
            AnalysisOptions {
                analysis_model: None,
                ..options.clone()
            },
            AnalysisOptions {
                force_sandbox: false,
                ..options.clone()
            },
            AnalysisOptions {
                restart_active: false,
                ..options.clone()
            },
        ]
        .into_iter()
        .map(|options| Action::StartAnalysis {
            finding: finding(),
            options,
        })
        .map(|action| fingerprint(&action, *origin))
        .collect();
        others.extend(requests().map(|(action, origin)| fingerprint(&action, origin)));
        others.push(fingerprint(action, Origin::Manual));
        let distinct: BTreeSet<_> = others.iter().collect();
        assert_eq!(distinct.len(), 5 + 6 + 1);
    }

    #[test]
    fn the_order_of_the_fields_is_not_part_of_a_fingerprint() {
        let (a, b) = (("a", "1".to_owned()), ("b", "2".to_owned()));
        let digest = |fields| request_digest("sync", Origin::Manual, fields);
        assert_eq!(digest(vec![a.clone(), b.clone()]), digest(vec![b, a]));
    }
}
