//! The life of a command.
//!
//! ```text
//!             ┌──────── resend ─┐                 ┌─ heartbeat · release · continue · resend ─┐
//!             ▼                 │                 ▼                                           │
//!  admit ─▶ accepted ───────────┴──── claim ──▶ running ──────────────────────────────────────┤
//!             │  ▲                                │  ▲                                        │
//!             │  │                                │  └── claim (the earlier lease expired) ───┘
//!             │  └─ readmit ─ failed (never queued)
//!             │                                   ├─ settle ──────────▶ succeeded · failed · no_op
//!             └─ fail admission · exhaust · stall ┴─ exhaust · stall ─▶ failed
//! ```
//!
//! `api` admits, fails admissions and readmits. A worker claims, sends heartbeats, continues, releases, settles and
//! exhausts; `dead-letter` exhausts commands whose deliveries ran out; `reconcile` re-sends and stalls. A command
//! leaves a terminal status only if it was never queued: then it can be readmitted.
//!
//! A [`Move`] is data: a [`guard`](Move::guard) in disjunctive form and the [`changes`](Move::changes) it makes. The
//! ledger renders both as one conditional write; the model evaluates the same values. `reading` holds what is concluded
//! from a row, and the model calls it too. This module knows no database, no clock and no queue.

mod reading;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

pub use reading::{IndexSnapshot, Need, Obstacle, is_last_delivery};

/// The status of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Stored and, unless `api` crashed before the send, queued. A claim or a failure ends this status.
    Accepted,
    /// Claimed by a worker at least once. Settling, exhaustion or a stall ends this status.
    Running,
    /// The worker did what was asked.
    Succeeded,
    /// The command ended without doing what was asked; the result code says why.
    Failed,
    /// There was nothing to do.
    NoOp,
}

/// The statuses that end a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Terminal {
    /// [`Status::Succeeded`].
    Succeeded,
    /// [`Status::Failed`].
    Failed,
    /// [`Status::NoOp`].
    NoOp,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [
        Self::Accepted,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::NoOp,
    ];

    /// Whether the command has ended.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Accepted | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::NoOp => true,
        }
    }

    /// The stable text, in the API and in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::NoOp => "no_op",
        }
    }

    /// The status with this text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl From<Terminal> for Status {
    fn from(terminal: Terminal) -> Self {
        match terminal {
            Terminal::Succeeded => Self::Succeeded,
            Terminal::Failed => Self::Failed,
            Terminal::NoOp => Self::NoOp,
        }
    }
}

/// Names one write. It is generated before the first try, so a writer that loses the answer recognises its own write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u128);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The position of a message among a command's messages: 0 for the first, one more for each continuation. A message
/// whose stage is below the row's is superseded and moves nothing.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Stage(pub u32);

/// The right to work on a command until a time. Its token is the fencing token: every leased write demands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Names the claim; no two claims share one.
    pub token: Token,
    /// When others may take over: [`CLAIM_MARGIN`] past the function's own timeout.
    pub until: Timestamp,
}

/// The part of a command's row that decides which moves are possible.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommandState {
    /// The status.
    pub status: Status,
    /// Whether the command failed because it was never queued: the one failure that a readmission undoes.
    pub never_queued: bool,
    /// Names the latest admission or readmission.
    pub admission: Token,
    /// How many claims there were.
    pub attempt: u32,
    /// The stage of the message that carries the command now.
    pub stage: Stage,
    /// The last lease, live or expired. It stays after the end, so its worker recognises its own writes.
    pub lease: Option<Lease>,
    /// Since when a message of this stage has been due in the queue without a claim.
    pub queued_at: Option<Timestamp>,
    /// How many times the reconciler re-sent that message.
    pub resends: u32,
    /// No claim before this time: a rate limit.
    pub waiting_until: Option<Timestamp>,
    /// When the command fails unless it makes progress. Not used once the command has ended.
    pub deadline: Timestamp,
    /// When the reconciler must look at the command: for a re-send, then at the deadline. `None` once terminal.
    pub due: Option<Timestamp>,
}

/// The time limits of a command. Parameters of the deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From admission to the first claim.
    pub accepted: Duration,
    /// From the last progress to the next.
    pub running: Duration,
    /// From the end of the command until its row expires.
    pub retention: Duration,
}

/// How long after `queued_at` the reconciler re-sends an unclaimed message, one entry per re-send.
pub const RESEND_AFTER: [Duration; 2] = [Duration::from_secs(75), Duration::from_secs(180)];

/// The shortest useful time from admission to failure. The reconciler runs once a minute and must run between the last
/// re-send and the deadline.
pub const LEAST_ACCEPTED: Duration =
    RESEND_AFTER[RESEND_AFTER.len() - 1].saturating_add(Duration::from_secs(60));

/// How long a lease outlives its function's timeout. The platform kills the worker at the timeout, but a write that
/// the worker sent just before may still land; no other worker may claim until it has.
pub const CLAIM_MARGIN: Duration = Duration::from_secs(5);

/// One demand of a guard on a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// The row has this status.
    StatusIs(Status),
    /// The command failed because it was never queued.
    NeverQueued,
    /// The latest admission is this one; a readmission replaces it.
    AdmissionIs(Token),
    /// The last lease has this token.
    LeasedTo(Token),
    /// There is a lease and it has expired.
    LeaseExpired(Timestamp),
    /// The message of this stage carries the command now.
    StageIs(Stage),
    /// The command waits for nothing, or its wait is over.
    WaitOver(Timestamp),
    /// An unclaimed message has been due in the queue since this time.
    QueuedSince(Timestamp),
    /// The reconciler has re-sent the message exactly this many times.
    ResendsAre(u32),
    /// The reconciler must look at the row by this time.
    DueBy(Timestamp),
    /// The deadline has passed.
    DeadlinePassed(Timestamp),
}

impl Term {
    /// Whether the row satisfies the term. The condition expression in `ledger/item.rs` must say exactly the same.
    pub fn holds(self, row: &CommandState) -> bool {
        match self {
            Self::StatusIs(status) => row.status == status,
            Self::NeverQueued => row.never_queued,
            Self::AdmissionIs(token) => row.admission == token,
            Self::LeasedTo(token) => row.lease.is_some_and(|lease| lease.token == token),
            Self::LeaseExpired(now) => row.lease.is_some_and(|lease| lease.until <= now),
            Self::StageIs(stage) => row.stage == stage,
            Self::WaitOver(now) => row.waiting_until.is_none_or(|until| until <= now),
            Self::QueuedSince(at) => row.queued_at == Some(at),
            Self::ResendsAre(count) => row.resends == count,
            Self::DueBy(now) => row.due.is_some_and(|due| due <= now),
            Self::DeadlinePassed(now) => row.deadline <= now,
        }
    }
}

/// Alternatives, each a conjunction. The row must satisfy all terms of at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard(pub Vec<Vec<Term>>);

impl Guard {
    /// Whether the row allows the move.
    pub fn holds(&self, row: &CommandState) -> bool {
        self.0
            .iter()
            .any(|all| all.iter().all(|term| term.holds(row)))
    }
}

/// One assignment that a move makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The status becomes this.
    Status(Status),
    /// Whether the command failed because it was never queued.
    NeverQueued(bool),
    /// The admission becomes this.
    Admission(Token),
    /// One more attempt.
    NextAttempt,
    /// The next stage.
    NextStage,
    /// A new lease.
    Lease(Lease),
    /// The lease now ends at this time; its token stays.
    LeaseUntil(Timestamp),
    /// Since when a message has been due without a claim.
    QueuedAt(Option<Timestamp>),
    /// How many times the reconciler re-sent that message.
    Resends(u32),
    /// No claim before this time.
    WaitingUntil(Option<Timestamp>),
    /// The deadline becomes this.
    Deadline(Timestamp),
    /// When the reconciler looks next.
    Due(Option<Timestamp>),
}

impl Change {
    /// Applies the change to the row.
    pub fn make(self, row: &mut CommandState) {
        match self {
            Self::Status(status) => row.status = status,
            Self::NeverQueued(never) => row.never_queued = never,
            Self::Admission(token) => row.admission = token,
            Self::NextAttempt => row.attempt += 1,
            Self::NextStage => row.stage.0 += 1,
            Self::Lease(lease) => row.lease = Some(lease),
            Self::LeaseUntil(until) => {
                if let Some(lease) = &mut row.lease {
                    lease.until = until;
                }
            }
            Self::QueuedAt(at) => row.queued_at = at,
            Self::Resends(count) => row.resends = count,
            Self::WaitingUntil(until) => row.waiting_until = until,
            Self::Deadline(at) => row.deadline = at,
            Self::Due(at) => row.due = at,
        }
    }
}

/// A transition, with everything that its guard and its changes need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// `api` could not send the message: the command ends before any work began.
    FailAdmission {
        /// The admission whose message could not be sent.
        admission: Token,
    },
    /// The client repeats a request whose command could not be queued.
    Readmit {
        /// Names the readmission.
        admission: Token,
        /// When.
        now: Timestamp,
    },
    /// Nobody has claimed the message for a while: count a re-send, then send.
    Resend {
        /// How many re-sends the reconciler saw in the index.
        resends: u32,
        /// Since when the message was due, as the reconciler saw it.
        queued_at: Timestamp,
        /// The deadline, as the reconciler saw it.
        deadline: Timestamp,
        /// When.
        now: Timestamp,
    },
    /// A worker takes the command, unless another worker's lease is live.
    Claim {
        /// The new lease.
        lease: Lease,
        /// The message's stage.
        stage: Stage,
        /// When.
        now: Timestamp,
    },
    /// The worker shows progress and renews its lease.
    Heartbeat {
        /// The lease, with its new end.
        lease: Lease,
        /// When.
        now: Timestamp,
    },
    /// The worker hands over to a later message of the same command.
    Continue {
        /// The lease's token.
        holder: Token,
        /// The stage that was claimed.
        stage: Stage,
        /// When the next message is due.
        at: Timestamp,
        /// Whether the command must wait until then, or only needs another delivery.
        waits: Waits,
        /// When.
        now: Timestamp,
    },
    /// The worker ends its delivery without a result; the next delivery may claim at once.
    Release {
        /// The lease's token.
        holder: Token,
        /// When.
        now: Timestamp,
    },
    /// The worker ends the command.
    Settle {
        /// The lease's token.
        holder: Token,
        /// How it ended.
        terminal: Terminal,
    },
    /// No delivery is left.
    Exhaust {
        /// The lease of the worker on the last delivery; `None` from the dead-letter queue.
        holder: Option<Token>,
        /// The message's stage.
        stage: Stage,
        /// When.
        now: Timestamp,
    },
    /// The deadline has passed and no lease is live.
    Stall {
        /// When.
        now: Timestamp,
    },
}

/// Whether a command waits before it continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Waits {
    /// It may continue at once: this delivery only ran out of time.
    No,
    /// It may not continue before the next message is due.
    UntilThen,
}

impl Move {
    /// What the row must satisfy.
    pub fn guard(&self) -> Guard {
        use Status::{Accepted, Failed, Running};
        use Term::*;
        Guard(match *self {
            // Race: the client repeats the request and the readmission's message is queued before this write lands.
            // `AdmissionIs` then refuses it, so a slow failure cannot end the readmitted command.
            Self::FailAdmission { admission } => {
                vec![vec![StatusIs(Accepted), AdmissionIs(admission)]]
            }
            // Of concurrent repeats one finds `Failed` and sends; the others find `Accepted` and do not.
            Self::Readmit { .. } => vec![vec![StatusIs(Failed), NeverQueued]],
            // `ResendsAre`: of two overlapping reconcilers, one counts and sends. `QueuedSince`: the index lags, and
            // may show a message earlier than the one that is due now.
            Self::Resend {
                resends,
                queued_at,
                now,
                ..
            } => vec![
                vec![
                    StatusIs(Accepted),
                    QueuedSince(queued_at),
                    ResendsAre(resends),
                    DueBy(now),
                ],
                // A continuation's message. While a lease is live, its worker ends or continues the command itself.
                vec![
                    StatusIs(Running),
                    QueuedSince(queued_at),
                    LeaseExpired(now),
                    ResendsAre(resends),
                    DueBy(now),
                ],
            ],
            Self::Claim { stage, now, .. } => vec![
                vec![StatusIs(Accepted), StageIs(stage)],
                // Takeover from a dead worker, or the next delivery. A wait longer than SQS's longest delay brings the
                // message too early: `WaitOver` refuses it.
                vec![
                    StatusIs(Running),
                    StageIs(stage),
                    LeaseExpired(now),
                    WaitOver(now),
                ],
            ],
            // The token decides, not the lease's end: a late worker may go on until another one claims.
            Self::Heartbeat { lease, .. } => vec![vec![StatusIs(Running), LeasedTo(lease.token)]],
            // The lease's token stays on the row, so a repeat of this write after a lost answer would count a second
            // stage. `StageIs` refuses the repeat.
            Self::Continue { holder, stage, .. } => {
                vec![vec![StatusIs(Running), LeasedTo(holder), StageIs(stage)]]
            }
            Self::Release { holder, .. } | Self::Settle { holder, .. } => {
                vec![vec![StatusIs(Running), LeasedTo(holder)]]
            }
            Self::Exhaust { holder, stage, now } => {
                // Race: the dead letter of a duplicate arrives while a worker is on the command. Only that worker may
                // end it before its lease expires.
                let mut any = vec![
                    vec![StatusIs(Accepted), StageIs(stage)],
                    vec![StatusIs(Running), StageIs(stage), LeaseExpired(now)],
                ];
                any.extend(holder.map(|token| vec![StatusIs(Running), LeasedTo(token)]));
                any
            }
            // Race: a claim renews the deadline between the reconciler's read and this write. `DeadlinePassed` is
            // evaluated on the row, so the index may be stale.
            Self::Stall { now } => vec![
                vec![StatusIs(Accepted), DeadlinePassed(now)],
                vec![StatusIs(Running), DeadlinePassed(now), LeaseExpired(now)],
            ],
        })
    }

    /// The assignments that the move makes.
    pub fn changes(&self, timeouts: &Timeouts) -> Vec<Change> {
        use Change::*;
        match *self {
            Self::FailAdmission { .. } => {
                let mut changes = end(Terminal::Failed);
                changes.push(NeverQueued(true));
                changes
            }
            Self::Readmit { admission, now } => {
                let mut changes = vec![
                    Status(self::Status::Accepted),
                    NeverQueued(false),
                    Admission(admission),
                ];
                changes.extend(queue(now, now + timeouts.accepted));
                changes
            }
            Self::Resend {
                resends,
                queued_at,
                deadline,
                ..
            } => {
                vec![
                    Resends(resends + 1),
                    Due(Some(next_look(queued_at, resends + 1, deadline))),
                ]
            }
            Self::Claim { lease, now, .. } => {
                let deadline = now + timeouts.running;
                vec![
                    Status(self::Status::Running),
                    NextAttempt,
                    Lease(lease),
                    QueuedAt(None),
                    WaitingUntil(None),
                    Deadline(deadline),
                    Due(Some(deadline)),
                ]
            }
            Self::Heartbeat { lease, now } => {
                let deadline = now + timeouts.running;
                vec![
                    LeaseUntil(lease.until),
                    Deadline(deadline),
                    Due(Some(deadline)),
                ]
            }
            Self::Continue { at, waits, now, .. } => {
                let mut changes = vec![
                    NextStage,
                    // The lease ends now: the next message may arrive before this worker returns.
                    LeaseUntil(now),
                    WaitingUntil(match waits {
                        Waits::No => None,
                        Waits::UntilThen => Some(at),
                    }),
                ];
                changes.extend(queue(at, at + timeouts.running));
                changes
            }
            Self::Release { now, .. } => vec![LeaseUntil(now)],
            Self::Settle { terminal, .. } => end(terminal),
            Self::Exhaust { .. } | Self::Stall { .. } => end(Terminal::Failed),
        }
    }

    /// The terminal status that the move sets. `None` if the command goes on.
    pub const fn ends_as(&self) -> Option<Terminal> {
        match self {
            Self::Settle { terminal, .. } => Some(*terminal),
            Self::FailAdmission { .. } | Self::Exhaust { .. } | Self::Stall { .. } => {
                Some(Terminal::Failed)
            }
            Self::Readmit { .. }
            | Self::Resend { .. }
            | Self::Claim { .. }
            | Self::Heartbeat { .. }
            | Self::Continue { .. }
            | Self::Release { .. } => None,
        }
    }

    /// A stable name for logs and errors.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::FailAdmission { .. } => "fail admission",
            Self::Readmit { .. } => "readmit",
            Self::Resend { .. } => "resend",
            Self::Claim { .. } => "claim",
            Self::Heartbeat { .. } => "heartbeat",
            Self::Continue { .. } => "continue",
            Self::Release { .. } => "release",
            Self::Settle { .. } => "settle",
            Self::Exhaust { .. } => "exhaust",
            Self::Stall { .. } => "stall",
        }
    }
}

/// The state of a command that has just been admitted.
pub fn admitted(admission: Token, now: Timestamp, timeouts: &Timeouts) -> CommandState {
    let deadline = now + timeouts.accepted;
    CommandState {
        status: Status::Accepted,
        never_queued: false,
        admission,
        attempt: 0,
        stage: Stage::default(),
        lease: None,
        queued_at: Some(now),
        resends: 0,
        waiting_until: None,
        deadline,
        due: Some(next_look(now, 0, deadline)),
    }
}

/// When the reconciler looks next at a message that has been due since `queued_at` and was re-sent `resends` times.
fn next_look(queued_at: Timestamp, resends: u32, deadline: Timestamp) -> Timestamp {
    RESEND_AFTER
        .get(resends as usize)
        .map_or(deadline, |after| deadline.min(queued_at + *after))
}

/// A new message is due at `at`: its re-sends are counted from zero.
fn queue(at: Timestamp, deadline: Timestamp) -> [Change; 4] {
    [
        Change::QueuedAt(Some(at)),
        Change::Resends(0),
        Change::Deadline(deadline),
        Change::Due(Some(next_look(at, 0, deadline))),
    ]
}

/// The lease stays on the row: by its token a worker recognises the end that it wrote.
fn end(terminal: Terminal) -> Vec<Change> {
    vec![
        Change::Status(terminal.into()),
        Change::QueuedAt(None),
        Change::WaitingUntil(None),
        Change::Due(None),
    ]
}

#[cfg(test)]
mod tests;
