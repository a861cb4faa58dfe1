//! Every write of a command's row. `lifecycle` says what may happen; nothing but this module makes it happen.
//!
//! Each public move is one conditional write. A refused write brings the row back as it stands, in the same round
//! trip, and losing a race is an answer, not an error. Every write leaves its writer's token on the row: when the
//! client library repeats a write whose answer was lost, the repetition is refused, and the token on the row that comes
//! back shows that the first try had worked.

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

pub use admission::{Admission, NewCommand};
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
    reason = "whatever was applied is a command, too"
)]
pub enum Outcome<T = Command> {
    /// This call moved the command; the row as it is now.
    Applied(T),
    /// An earlier try of this very call had moved it.
    AlreadyApplied(T),
    /// The row does not allow the move; the row as it stands.
    Refused(Command),
    /// There is no such row, or it has expired.
    Missing,
}

impl<T> Outcome<T> {
    /// The row if the move was made, now or by an earlier try.
    pub fn made(self) -> Option<T> {
        match self {
            Self::Applied(command) | Self::AlreadyApplied(command) => Some(command),
            Self::Refused(_) | Self::Missing => None,
        }
    }
}

impl Outcome {
    /// That of a move that ends a command in its worker's place.
    fn abandoned(self) -> Outcome<Abandoned> {
        match self {
            Self::Applied(command) => Outcome::Applied(Abandoned(command)),
            Self::AlreadyApplied(command) => Outcome::AlreadyApplied(Abandoned(command)),
            Self::Refused(found) => Outcome::Refused(found),
            Self::Missing => Outcome::Missing,
        }
    }
}

/// A command that has ended because nobody could finish it. It may hold what its worker would have given back, and whoever
/// ended it owes that: [`Cleaner::clean_up`](crate::abandon::Cleaner::clean_up) takes this, and only it gives the command.
#[must_use = "what the command holds must be given back"]
#[derive(Debug)]
pub struct Abandoned(pub(crate) Command);

/// The answer of a write that ends a command together with other rows: all of it was written, or nothing.
#[must_use]
#[derive(Debug)]
pub enum Together {
    /// What became of the command; of the others too, if it was applied.
    Command(Box<Outcome>),
    /// The command could have ended, but another row is not as the writes beside it demand.
    Unsettled,
}

/// The right to work on a command, which only [`Ledger::claim`] gives: proof for the writes that demand it.
#[derive(Debug)]
pub struct Claim {
    key: CommandKey,
    stage: Stage,
    lease: Lease,
}

impl Claim {
    /// The command claimed.
    pub const fn key(&self) -> &CommandKey {
        &self.key
    }

    /// When others may take over.
    pub const fn until(&self) -> Timestamp {
        self.lease.until
    }
}

/// What a claim found.
#[must_use]
#[derive(Debug)]
pub enum Claimed {
    /// The command is ours. The row as claimed.
    Held(Claim, Box<Command>),
    /// Another worker's claim is live until then.
    HeldElsewhere {
        /// When it can have expired.
        until: Timestamp,
    },
    /// The command waits for a rate limit until then.
    Waiting {
        /// When it may go on.
        until: Timestamp,
    },
    /// It has ended: this delivery is late.
    Ended(Box<Command>),
    /// A later message carries it now.
    Superseded(Box<Command>),
    /// No such row: erased or expired.
    Missing,
}

/// How a worker ends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub code: ResultCode,
    /// What is known of the effect.
    pub effect: Effect,
    /// What went wrong, if anything did.
    pub last_error: Option<LastError>,
    /// How far it came, if that was counted.
    pub progress: Option<Progress>,
}

/// A command that the reconciler's index says needs attention. Only a nomination: the row's guard decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which command.
    pub key: CommandKey,
    /// Its status when the index was written.
    pub status: Status,
    /// What the index shows of the row.
    pub seen: IndexSnapshot,
}

/// A store's failure.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The write may or may not have landed; making the same move again is safe.
    #[error("cannot tell whether to {attempted} command {id} was written")]
    Unwritten {
        /// The move's name.
        attempted: &'static str,
        /// Which command.
        id: CommandId,
        /// The client's error.
        #[source]
        source: Cause,
    },
    /// A read failed.
    #[error("cannot read {what}")]
    Unread {
        /// What was asked for.
        what: &'static str,
        /// The client's error.
        #[source]
        source: Cause,
    },
    /// The row is there, but not in a form that this version understands.
    #[error("command {id} is stored in a form this version cannot read")]
    Unreadable {
        /// Which command, as its key spells it.
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

    /// Ends a command whose message could not be sent. Refused if a worker holds it after all, or if it was
    /// readmitted since `admission`.
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

    /// Counts one more sending of a message that nobody claimed; the caller then sends it. Of overlapping
    /// reconcilers one is let through.
    pub async fn resend(
        &self,
        candidate: &Candidate,
        now: Timestamp,
    ) -> Result<Outcome, LedgerError> {
        let resend = candidate.seen.resend(now);
        self.apply(&candidate.key, resend, Notes::default(), now)
            .await
    }

    /// Takes the command for one delivery of the message of this stage, until `until`.
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
        Ok(match found.standing.obstacle(stage, now) {
            Obstacle::Ended => Claimed::Ended(Box::new(found)),
            Obstacle::Superseded => Claimed::Superseded(Box::new(found)),
            Obstacle::Waiting { until } => Claimed::Waiting { until },
            Obstacle::Held { until } => Claimed::HeldElsewhere { until },
        })
    }

    /// Shows progress and renews the claim and the deadline. Refused once the claim is lost: the worker must stop.
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

    /// Hands the command on to its next message, due at `at`; the caller then sends that. If it never does, the
    /// reconciler will.
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

    /// Lets the next delivery claim at once.
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

    /// Ends the command together with what it changed: one transaction. `claimed` is the row as it was claimed.
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

    /// Ends a command on its last permitted delivery, or after it: from the dead-letter queue there is no claim.
    /// `code` is [`ResultCode::QueueRetriesExhausted`] or [`ResultCode::MalformedMessage`].
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

    /// Ends a command whose deadline has passed. Refused while a claim is live.
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

/// What a move writes beside the standing.
#[derive(Clone, Copy, Debug, Default)]
struct Notes {
    progress: Option<Progress>,
    last_error: Option<LastError>,
    /// How it ended. Without an effect, the attempts tell it: never claimed is `none`, otherwise `unknown`.
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
