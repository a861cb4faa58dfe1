//! Every write of a command's row. `lifecycle` says which moves are possible; only this module makes them.
//!
//! Each public move is one conditional write. A refused write returns the current row in the same round trip: losing a
//! race is an [`Outcome`], not an error. Every write stores its writer's token. When the AWS SDK repeats a write whose
//! answer was lost, DynamoDB refuses the repeat, and the token on the returned row shows that the first try succeeded.

mod admission;
mod item;
mod read;
mod write;

use crate::table::{Cause, Table, Unreadable, Writes};
use domain::{
    Timestamp,
    command::{Command, CommandId, CommandKey, LastError, Progress},
    lifecycle::{IndexSnapshot, Lease, Move, Obstacle, Stage, Status, Timeouts, Token, Waits},
    result_code::{Effect, ResultCode},
};

pub use admission::{Admissible, Admission, NewCommand};
pub use item::due_key;
pub use read::{HistoryPage, HistoryPosition};

/// The commands of all owners.
#[derive(Clone, Debug)]
pub struct Ledger {
    table: Table,
    timeouts: Timeouts,
}

/// The answer of a guarded write.
#[must_use]
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "every variant that is common carries a command"
)]
pub enum Outcome<T = Command> {
    /// This call moved the command. Carries the row after the move.
    Applied(T),
    /// An earlier try of this call moved the command; its answer was lost. Carries the current row.
    AlreadyApplied(T),
    /// The row does not allow the move. Carries the current row.
    Refused(Command),
    /// The row does not exist or has expired.
    Missing,
}

impl<T> Outcome<T> {
    /// The row, if this call or an earlier try of it made the move.
    pub fn made(self) -> Option<T> {
        match self {
            Self::Applied(command) | Self::AlreadyApplied(command) => Some(command),
            Self::Refused(_) | Self::Missing => None,
        }
    }
}

impl Outcome {
    /// Marks the command as one whose slot must be freed.
    fn abandoned(self) -> Outcome<Abandoned> {
        match self {
            Self::Applied(command) => Outcome::Applied(Abandoned(command)),
            Self::AlreadyApplied(command) => Outcome::AlreadyApplied(Abandoned(command)),
            Self::Refused(found) => Outcome::Refused(found),
            Self::Missing => Outcome::Missing,
        }
    }
}

/// A command that ended because no worker could finish it. It may still occupy a slot that its worker would have freed.
/// Only [`Cleaner::clean_up`](crate::abandon::Cleaner::clean_up) returns the command, and it frees the slot.
#[must_use = "the command's slot must be freed"]
#[derive(Debug)]
pub struct Abandoned(pub(crate) Command);

/// The answer of a transaction that ends a command and writes other rows: all is written, or nothing.
#[must_use]
#[derive(Debug)]
pub enum Together {
    /// The outcome of the command's write. The other rows were written if it was applied.
    Command(Box<Outcome>),
    /// The command allowed the move, but the condition on another row failed. Nothing was written.
    Unsettled,
}

/// Proof of a lease. Only [`Ledger::claim`] creates one, and every leased write demands it.
#[derive(Debug)]
pub struct Claim {
    key: CommandKey,
    stage: Stage,
    lease: Lease,
}

impl Claim {
    /// The claimed command.
    pub const fn key(&self) -> &CommandKey {
        &self.key
    }

    /// When the lease expires and others may take over.
    pub const fn until(&self) -> Timestamp {
        self.lease.until
    }
}

/// The answer of a claim.
#[must_use]
#[derive(Debug)]
pub enum Claimed {
    /// This worker has the lease. Carries the row after the claim.
    Held(Claim, Box<Command>),
    /// Another worker's lease is live.
    HeldElsewhere {
        /// When it expires, unless a heartbeat renews it.
        until: Timestamp,
    },
    /// The command waits for a rate limit.
    Waiting {
        /// When it may continue.
        until: Timestamp,
    },
    /// The command has ended: this delivery is late.
    Ended(Box<Command>),
    /// A message of a later stage carries the command now.
    Superseded(Box<Command>),
    /// The row does not exist: erased or expired.
    Missing,
}

/// How a worker ends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Why it ends.
    pub code: ResultCode,
    /// What is known of the effect.
    pub effect: Effect,
    /// What went wrong, if anything did.
    pub last_error: Option<LastError>,
    /// The progress, if it was counted.
    pub progress: Option<Progress>,
}

/// A command that needs attention according to the `due` index. The index lags, so the row's guard decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The command.
    pub key: CommandKey,
    /// Its status when the index was written.
    pub status: Status,
    /// What the index shows of the row.
    pub seen: IndexSnapshot,
}

/// A store's failure.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The write may or may not have landed. Repeating the move is safe.
    #[error("outcome of {attempted} on command {id} is unknown")]
    Unwritten {
        /// The move's name.
        attempted: &'static str,
        /// The command.
        id: CommandId,
        /// The client's error.
        #[source]
        source: Cause,
    },
    /// A read failed.
    #[error("cannot read {what}")]
    Unread {
        /// What was to be read.
        what: &'static str,
        /// The client's error.
        #[source]
        source: Cause,
    },
    /// The row exists, but this version cannot read it.
    #[error("stored data of command {id} is invalid")]
    Unreadable {
        /// The command, as its sort key spells it.
        id: String,
        /// What is wrong.
        #[source]
        source: Unreadable,
    },
}

impl Ledger {
    /// The commands in this table, under these timeouts.
    pub const fn new(table: Table, timeouts: Timeouts) -> Self {
        Self { table, timeouts }
    }

    /// The timeouts that the rows are written with.
    pub const fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Ends a command whose message could not be sent. Refused if a worker has claimed it (the failed send reached SQS)
    /// or if it was readmitted since `admission`.
    pub async fn fail_admission(
        &self,
        key: &CommandKey,
        admission: Token,
        now: Timestamp,
    ) -> Result<Outcome, LedgerError> {
        let ending = Ending {
            code: ResultCode::QueueAdmissionFailed,
            effect: Effect::None,
            last_error: None,
            progress: None,
        };
        self.apply(
            key,
            Move::FailAdmission { admission },
            Notes::ending(ending),
            now,
        )
        .await
    }

    /// Counts one more re-send of an unclaimed message; the caller then sends it. Of overlapping reconcilers, only one
    /// gets [`Outcome::Applied`].
    pub async fn resend(
        &self,
        candidate: &Candidate,
        now: Timestamp,
    ) -> Result<Outcome, LedgerError> {
        let resend = candidate.seen.resend(now);
        self.apply(&candidate.key, resend, Notes::default(), now)
            .await
    }

    /// Claims the command for one delivery of the message of this stage: a lease until `until`.
    pub async fn claim(
        &self,
        key: &CommandKey,
        stage: Stage,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Claimed, LedgerError> {
        let lease = Lease {
            token: new_token(),
            until,
        };
        let claim = Move::Claim { lease, stage, now };
        // A refused claim is a normal answer: another worker, a rate limit, or a late or superseded delivery.
        let found = match self.apply(key, claim, Notes::default(), now).await? {
            Outcome::Applied(command) | Outcome::AlreadyApplied(command) => {
                let claim = Claim {
                    key: key.clone(),
                    stage,
                    lease,
                };
                return Ok(Claimed::Held(claim, Box::new(command)));
            }
            Outcome::Missing => return Ok(Claimed::Missing),
            Outcome::Refused(found) => found,
        };
        Ok(match found.state.obstacle(stage, now) {
            Obstacle::Ended => Claimed::Ended(Box::new(found)),
            Obstacle::Superseded => Claimed::Superseded(Box::new(found)),
            Obstacle::Waiting { until } => Claimed::Waiting { until },
            Obstacle::Held { until } => Claimed::HeldElsewhere { until },
        })
    }

    /// Heartbeat: stores the progress and renews lease and deadline. Refused once the lease is lost; the worker must
    /// stop.
    pub async fn heartbeat(
        &self,
        claim: &Claim,
        progress: Progress,
        now: Timestamp,
    ) -> Result<Outcome, LedgerError> {
        let notes = Notes {
            progress: Some(progress),
            ..Notes::default()
        };
        self.apply(
            &claim.key,
            Move::Heartbeat {
                lease: claim.lease,
                now,
            },
            notes,
            now,
        )
        .await
    }

    /// Hands the command on to its next message, due at `at`; the caller then sends it. If the caller dies first, the
    /// reconciler sends it.
    pub async fn continue_later(
        &self,
        claim: &Claim,
        at: Timestamp,
        waits: Waits,
        progress: Option<Progress>,
        last_error: Option<LastError>,
        now: Timestamp,
    ) -> Result<Outcome, LedgerError> {
        let notes = Notes {
            progress,
            last_error,
            ..Notes::default()
        };
        let holder = claim.lease.token;
        self.apply(
            &claim.key,
            Move::Continue {
                holder,
                stage: claim.stage,
                at,
                waits,
                now,
            },
            notes,
            now,
        )
        .await
    }

    /// Ends the lease now, so the next delivery can claim at once.
    pub async fn release(
        &self,
        claim: &Claim,
        last_error: LastError,
        now: Timestamp,
    ) -> Result<Outcome, LedgerError> {
        let notes = Notes {
            last_error: Some(last_error),
            ..Notes::default()
        };
        self.apply(
            &claim.key,
            Move::Release {
                holder: claim.lease.token,
                now,
            },
            notes,
            now,
        )
        .await
    }

    /// Ends the command.
    pub async fn settle(
        &self,
        claim: &Claim,
        ending: Ending,
        now: Timestamp,
    ) -> Result<Outcome, LedgerError> {
        let settle = Move::Settle {
            holder: claim.lease.token,
            terminal: ending.code.terminal(),
        };
        self.apply(&claim.key, settle, Notes::ending(ending), now)
            .await
    }

    /// Ends the command and writes what it changed, in one transaction. `claimed` is the row as it was claimed.
    pub async fn settle_with(
        &self,
        claim: &Claim,
        claimed: &Command,
        ending: Ending,
        beside: Writes,
        now: Timestamp,
    ) -> Result<Together, LedgerError> {
        if beside.is_empty() {
            return self
                .settle(claim, ending, now)
                .await
                .map(|outcome| Together::Command(Box::new(outcome)));
        }
        let settle = Move::Settle {
            holder: claim.lease.token,
            terminal: ending.code.terminal(),
        };
        self.apply_with(claimed, settle, Notes::ending(ending), beside, now)
            .await
    }

    /// Ends a command on its last permitted delivery, or from the dead-letter queue, where `claim` is `None`. `code` is
    /// [`ResultCode::QueueRetriesExhausted`] or [`ResultCode::MalformedMessage`].
    pub async fn exhaust(
        &self,
        key: &CommandKey,
        claim: Option<&Claim>,
        stage: Stage,
        code: ResultCode,
        last_error: Option<LastError>,
        now: Timestamp,
    ) -> Result<Outcome<Abandoned>, LedgerError> {
        let exhaust = Move::Exhaust {
            holder: claim.map(|claim| claim.lease.token),
            stage,
            now,
        };
        let notes = Notes::cut_off(code, last_error);
        Ok(self.apply(key, exhaust, notes, now).await?.abandoned())
    }

    /// Ends a command whose deadline has passed. Refused while a lease is live.
    pub async fn stall(
        &self,
        key: &CommandKey,
        now: Timestamp,
    ) -> Result<Outcome<Abandoned>, LedgerError> {
        let notes = Notes::cut_off(ResultCode::CommandStalled, None);
        Ok(self
            .apply(key, Move::Stall { now }, notes, now)
            .await?
            .abandoned())
    }
}

/// What a move writes besides the command's state.
#[derive(Clone, Copy, Debug, Default)]
struct Notes {
    progress: Option<Progress>,
    last_error: Option<LastError>,
    /// How the command ended. If the effect is `None`, readers derive it: `none` if never claimed, otherwise `unknown`.
    ended: Option<(ResultCode, Option<Effect>)>,
}

impl Notes {
    const fn ending(ending: Ending) -> Self {
        Self {
            progress: ending.progress,
            last_error: ending.last_error,
            ended: Some((ending.code, Some(ending.effect))),
        }
    }

    const fn cut_off(code: ResultCode, last_error: Option<LastError>) -> Self {
        Self {
            progress: None,
            last_error,
            ended: Some((code, None)),
        }
    }
}

fn new_token() -> Token {
    Token(uuid::Uuid::new_v4().as_u128())
}
