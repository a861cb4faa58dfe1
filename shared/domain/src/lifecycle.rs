//! The life of a command.
//!
//! ```text
//!             ┌──────── resend ─┐                 ┌─ report · release · continue · resend ─┐
//!             ▼                 │                 ▼                                        │
//!  admit ─▶ accepted ───────────┴──── claim ──▶ running ───────────────────────────────────┤
//!             │  ▲                                │  ▲                                     │
//!             │  │                                │  └── claim (the earlier claim lapsed) ─┘
//!             │  └─ readmit ─ failed (never queued)
//!             │                                   ├─ settle ──────────▶ succeeded · failed · no_op
//!             └─ fail admission · exhaust · stall ┴─ exhaust · stall ─▶ failed
//! ```
//!
//! `api` admits, fails admissions and readmits. A worker claims, reports, continues, releases, settles and exhausts;
//! `dead-letter` exhausts what never could; `reconcile` re-sends and stalls. Nothing leaves a terminal status, except
//! that a command that was never queued is readmitted.
//!
//! A [`Move`] is data: a [`guard`](Move::guard) in disjunctive form and the [`changes`](Move::changes) it makes. The
//! ledger renders both as one conditional write, and a model evaluates the very same values. What is concluded from a row
//! is in `reading`, and the model calls that, too. This module knows no database, no clock and no queue.

mod reading;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

pub use reading::{IndexSnapshot, Need, Obstacle, is_last_delivery};

/// Where a command is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Stored and, but for a crash, queued. Left by a claim or a failure.
    Accepted,
    /// A worker has claimed it at least once. Left by settling, exhaustion or a stall.
    Running,
    /// Done.
    Succeeded,
    /// Ended without doing what was asked; the result code says why.
    Failed,
    /// There was nothing to do.
    NoOp,
}

/// The statuses that end a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Terminal {
    /// Done.
    Succeeded,
    /// Not done.
    Failed,
    /// Nothing to do.
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

    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::NoOp => "no_op",
        }
    }

    /// The status of this text.
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

/// Names one write. Made before the first try, so that a writer whose answer was lost recognises its own work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u128);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Which of a command's messages one is: 0 for the first, one more for each continuation. A message of an earlier
/// stage than the row's has been carried on by a later one and moves nothing.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Stage(pub u32);

/// The right to work on a command until a moment: its token fences every other writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Names the claim; no two claims share one.
    pub token: Token,
    /// When others may take over. A little past the function's own timeout.
    pub until: Timestamp,
}

/// The part of a command's row that decides what may happen to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommandState {
    /// Where it is.
    pub status: Status,
    /// Whether it failed because it was never queued: the one failure that can be taken back.
    pub never_queued: bool,
    /// Names the admission or readmission that stands.
    pub admission: Token,
    /// How often it was claimed.
    pub attempt: u32,
    /// Which message carries it now.
    pub stage: Stage,
    /// The last claim, live or lapsed.
    pub lease: Option<Lease>,
    /// Since when a message of this stage has been due in the queue without a claim.
    pub queued_at: Option<Timestamp>,
    /// How often that message was sent again.
    pub resends: u32,
    /// Not to be claimed before this moment: a rate limit.
    pub waiting_until: Option<Timestamp>,
    /// When it fails for want of progress. Set while not terminal.
    pub deadline: Timestamp,
    /// When the reconciler must look at it: a re-send, then the deadline. `None` once terminal.
    pub due: Option<Timestamp>,
}

/// How long things may take. Parameters of the deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From admission to the first claim.
    pub accepted: Duration,
    /// From the last progress to the next.
    pub running: Duration,
    /// From the end until the row expires.
    pub retention: Duration,
}

/// After how long without a claim the reconciler sends a message again, once for each entry.
pub const RESEND_AFTER: [Duration; 2] = [Duration::from_secs(75), Duration::from_secs(180)];

/// The shortest time from admission to failure that leaves room for the last re-send: the reconciler, which runs once a
/// minute, must come by between the two.
pub const LEAST_ACCEPTED: Duration =
    RESEND_AFTER[RESEND_AFTER.len() - 1].saturating_add(Duration::from_secs(60));

/// How far past a function's own deadline its claim reaches: its last write may still be under way.
pub const CLAIM_MARGIN: Duration = Duration::from_secs(5);

/// One thing that a guard can ask of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// The row has this status.
    StatusIs(Status),
    /// It failed because it was never queued.
    NeverQueued,
    /// The admission that stands is this one: a later readmission is another.
    AdmissionIs(Token),
    /// The last claim is this one.
    LeasedTo(Token),
    /// The last claim is no longer live.
    LeaseExpired(Timestamp),
    /// The message is the one that carries the command now.
    StageIs(Stage),
    /// No wait is on, or it is over.
    WaitOver(Timestamp),
    /// A message is due in the queue since then that nobody has claimed.
    QueuedSince(Timestamp),
    /// The message was sent again exactly so often.
    ResendsAre(u32),
    /// The reconciler's moment has come.
    DueBy(Timestamp),
    /// The deadline has passed.
    DeadlinePassed(Timestamp),
}

impl Term {
    /// Whether the row satisfies it. The ledger's condition expression must say exactly the same.
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

/// Alternatives, each a conjunction: the row must satisfy all terms of at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard(pub Vec<Vec<Term>>);

impl Guard {
    /// Whether the row lets the move happen.
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
    /// A new claim.
    Lease(Lease),
    /// The claim now ends at this moment.
    LeaseUntil(Timestamp),
    /// Since when a message is due unclaimed.
    QueuedAt(Option<Timestamp>),
    /// How often that message was sent again.
    Resends(u32),
    /// Not to be claimed before this.
    WaitingUntil(Option<Timestamp>),
    /// The deadline becomes this.
    Deadline(Timestamp),
    /// The reconciler's next look.
    Due(Option<Timestamp>),
}

impl Change {
    /// Makes the change.
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

/// A transition with everything that its guard and its changes need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// The message could not be sent: the command ends before anything began.
    FailAdmission {
        /// The admission whose message it was.
        admission: Token,
    },
    /// The same request comes again after the command could not be queued.
    Readmit {
        /// Names the readmission.
        admission: Token,
        /// When.
        now: Timestamp,
    },
    /// Nobody has claimed the message for a while: count, then send it again.
    Resend {
        /// How often it was sent again so far, as the reconciler saw it.
        resends: u32,
        /// Since when it is due, as the reconciler saw it.
        queued_at: Timestamp,
        /// The deadline, as the reconciler saw it.
        deadline: Timestamp,
        /// When.
        now: Timestamp,
    },
    /// A worker takes the command, unless another holds it.
    Claim {
        /// The new claim.
        lease: Lease,
        /// The message's stage.
        stage: Stage,
        /// When.
        now: Timestamp,
    },
    /// The worker shows that it gets on.
    Heartbeat {
        /// The claim, with its new end.
        lease: Lease,
        /// When.
        now: Timestamp,
    },
    /// The worker hands over to a later message of the same command.
    Continue {
        /// The claim's token.
        holder: Token,
        /// The stage that was claimed.
        stage: Stage,
        /// When the next message is due.
        at: Timestamp,
        /// Whether the command waits until then (or only needs another delivery).
        waits: Waits,
        /// When.
        now: Timestamp,
    },
    /// The worker gives up this delivery; the next may claim at once.
    Release {
        /// The claim's token.
        holder: Token,
        /// When.
        now: Timestamp,
    },
    /// The worker ends the command.
    Settle {
        /// The claim's token.
        holder: Token,
        /// How it ended.
        terminal: Terminal,
    },
    /// No delivery is left.
    Exhaust {
        /// The claim of the worker that says so; `None` from the dead-letter queue.
        holder: Option<Token>,
        /// The message's stage.
        stage: Stage,
        /// When.
        now: Timestamp,
    },
    /// The deadline has passed and nobody works on it.
    Stall {
        /// When.
        now: Timestamp,
    },
}

/// Why a command continues later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Waits {
    /// Nothing holds it up: the delivery was merely full.
    No,
    /// It may not go on before the moment.
    UntilThen,
}

impl Move {
    /// What the row must be like.
    pub fn guard(&self) -> Guard {
        use Status::{Accepted, Failed, Running};
        use Term::*;
        Guard(match *self {
            // Only the admission that failed to send may say so: a readmission may have been queued meanwhile.
            Self::FailAdmission { admission } => {
                vec![vec![StatusIs(Accepted), AdmissionIs(admission)]]
            }
            Self::Readmit { .. } => vec![vec![StatusIs(Failed), NeverQueued]],
            // `ResendsAre` lets one of two overlapping reconcilers through. An index that lags may have shown a message
            // before the one that waits now: `QueuedSince`.
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
                vec![
                    StatusIs(Running),
                    StageIs(stage),
                    LeaseExpired(now),
                    WaitOver(now),
                ],
            ],
            Self::Heartbeat { lease, .. } => vec![vec![StatusIs(Running), LeasedTo(lease.token)]],
            // The stage keeps a write whose answer was lost from counting twice when it is repeated.
            Self::Continue { holder, stage, .. } => {
                vec![vec![StatusIs(Running), LeasedTo(holder), StageIs(stage)]]
            }
            Self::Release { holder, .. } | Self::Settle { holder, .. } => {
                vec![vec![StatusIs(Running), LeasedTo(holder)]]
            }
            Self::Exhaust { holder, stage, now } => {
                let mut any = vec![
                    vec![StatusIs(Accepted), StageIs(stage)],
                    vec![StatusIs(Running), StageIs(stage), LeaseExpired(now)],
                ];
                any.extend(holder.map(|token| vec![StatusIs(Running), LeasedTo(token)]));
                any
            }
            Self::Stall { now } => vec![
                vec![StatusIs(Accepted), DeadlinePassed(now)],
                vec![StatusIs(Running), DeadlinePassed(now), LeaseExpired(now)],
            ],
        })
    }

    /// What becomes of the row.
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

    /// How the command ends by it. `None`: it goes on.
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
            Self::Heartbeat { .. } => "report",
            Self::Continue { .. } => "continue",
            Self::Release { .. } => "release",
            Self::Settle { .. } => "settle",
            Self::Exhaust { .. } => "exhaust",
            Self::Stall { .. } => "stall",
        }
    }
}

/// A command as it is admitted.
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

/// When the reconciler looks next at a message due since `queued_at` and sent again `resends` times.
fn next_look(queued_at: Timestamp, resends: u32, deadline: Timestamp) -> Timestamp {
    RESEND_AFTER
        .get(resends as usize)
        .map_or(deadline, |after| deadline.min(queued_at + *after))
}

fn queue(at: Timestamp, deadline: Timestamp) -> [Change; 4] {
    [
        Change::QueuedAt(Some(at)),
        Change::Resends(0),
        Change::Deadline(deadline),
        Change::Due(Some(next_look(at, 0, deadline))),
    ]
}

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
