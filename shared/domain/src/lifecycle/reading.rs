//! What is concluded from a row, by whoever cannot move it, or decides whether to. Pure data, like the moves.

use super::{CommandState, Move, RESEND_AFTER, Stage, Token};
use crate::Timestamp;

/// Why a message does not move its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// The command has ended.
    Ended,
    /// A later message carries it.
    Superseded,
    /// It waits until then, for a rate limit.
    Waiting {
        /// When it may go on.
        until: Timestamp,
    },
    /// A worker's claim is live until then.
    Held {
        /// When it can have expired.
        until: Timestamp,
    },
}

impl Obstacle {
    /// Whether the message has nothing left to do, ever.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Ended | Self::Superseded => true,
            Self::Waiting { .. } | Self::Held { .. } => false,
        }
    }
}

impl CommandState {
    /// What keeps a message of this stage from moving a row that has just refused it.
    pub fn obstacle(&self, stage: Stage, now: Timestamp) -> Obstacle {
        if self.status.is_terminal() {
            Obstacle::Ended
        } else if self.stage != stage {
            Obstacle::Superseded
        } else if let Some(until) = self.waiting_until.filter(|until| *until > now) {
            Obstacle::Waiting { until }
        } else {
            let until = self.lease.map_or(now, |lease| lease.until);
            Obstacle::Held { until }
        }
    }

    /// Whether the last claim follows one that did not hand the command on: of a worker that died, or that gave it back.
    /// What that one had done by then is not known.
    pub const fn follows_another(&self) -> bool {
        self.attempt > self.stage.0 + 1
    }

    /// The move that a request makes when it comes again under its idempotency key. `None`: it is told of the command as it
    /// stands.
    pub fn readmission(&self, admission: Token, now: Timestamp) -> Option<Move> {
        self.never_queued
            .then_some(Move::Readmit { admission, now })
    }
}

impl Move {
    /// The token that the move leaves on the row by itself: it names the write, too. Any other write needs a new one.
    pub const fn own_token(&self) -> Option<Token> {
        match self {
            Self::Claim { lease, .. } => Some(lease.token),
            Self::Readmit { admission, .. } => Some(*admission),
            Self::FailAdmission { .. }
            | Self::Resend { .. }
            | Self::Heartbeat { .. }
            | Self::Continue { .. }
            | Self::Release { .. }
            | Self::Settle { .. }
            | Self::Exhaust { .. }
            | Self::Stall { .. } => None,
        }
    }

    /// Whether a row that refuses the move shows that it was made by an earlier try: this write `wrote_last`, or its
    /// admission still stands although somebody has written since.
    pub fn is_shown_by(&self, row: &CommandState, wrote_last: bool) -> bool {
        let stands = match self {
            Self::Readmit { admission, .. } => row.admission == *admission,
            Self::FailAdmission { .. }
            | Self::Resend { .. }
            | Self::Claim { .. }
            | Self::Heartbeat { .. }
            | Self::Continue { .. }
            | Self::Release { .. }
            | Self::Settle { .. }
            | Self::Exhaust { .. }
            | Self::Stall { .. } => false,
        };
        wrote_last || stands
    }
}

/// What the reconciler's index shows of a row. It may be older than the row: the guard of the move that follows decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IndexSnapshot {
    /// Since when its message is due unclaimed.
    pub queued_at: Option<Timestamp>,
    /// How often that message was sent again.
    pub resends: u32,
    /// When the command fails.
    pub deadline: Timestamp,
}

/// What a command seems to need of the reconciler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Its message, once more.
    Resend,
    /// An end.
    Stall,
    /// Nothing yet: the index shows it earlier than it should.
    Nothing,
}

impl IndexSnapshot {
    /// What the index shows of this row.
    pub const fn of(row: &CommandState) -> Self {
        Self {
            queued_at: row.queued_at,
            resends: row.resends,
            deadline: row.deadline,
        }
    }

    /// What the command needs if the row is still as it was seen.
    pub fn need(&self, now: Timestamp) -> Need {
        if self.deadline <= now {
            Need::Stall
        } else if self.queued_at.is_some() && (self.resends as usize) < RESEND_AFTER.len() {
            Need::Resend
        } else {
            Need::Nothing
        }
    }

    /// The move that counts one more sending.
    pub fn resend(&self, now: Timestamp) -> Move {
        Move::Resend {
            resends: self.resends,
            queued_at: self.queued_at.unwrap_or(self.deadline),
            deadline: self.deadline,
            now,
        }
    }
}

/// Whether a message that was received so often is not delivered again: what fails now must end the command.
pub const fn is_last_delivery(receives: u32, max_receives: u32) -> bool {
    receives >= max_receives
}

#[cfg(test)]
mod tests;
