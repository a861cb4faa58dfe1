//! What is concluded from a row: why it refused a move, and which move it needs. Pure data, like the moves.

use super::{CommandState, Move, RESEND_AFTER, Stage, Token};
use crate::Timestamp;

/// Why a message cannot claim its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// The command has ended.
    Ended,
    /// A message of a later stage carries the command.
    Superseded,
    /// The command waits for a rate limit.
    Waiting {
        /// When it may continue.
        until: Timestamp,
    },
    /// Another worker's lease is live.
    Held {
        /// When the lease expires, unless a heartbeat renews it.
        until: Timestamp,
    },
}

impl Obstacle {
    /// Whether the message can never claim the command, so the queue may delete it.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Ended | Self::Superseded => true,
            Self::Waiting { .. } | Self::Held { .. } => false,
        }
    }
}

impl CommandState {
    /// Why this row, which has just refused a claim, refuses a message of this stage. The final obstacles come first.
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

    /// Whether the last claim follows one of the same stage, whose worker died or released the command. What that
    /// worker had done by then is unknown.
    pub const fn follows_another(&self) -> bool {
        self.attempt > self.stage.0 + 1
    }

    /// The move that a repeated request makes under its idempotency key. `None` if the client only gets the command's
    /// current state.
    pub fn readmission(&self, admission: Token, now: Timestamp) -> Option<Move> {
        self.never_queued
            .then_some(Move::Readmit { admission, now })
    }
}

impl Move {
    /// The token that the move itself stores; it names the write too. `None` if the write needs a new token.
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

    /// Whether the row that refused this write shows that an earlier try of the same write succeeded. `wrote_last` says
    /// that the row's last writer is this write.
    pub fn is_shown_by(&self, row: &CommandState, wrote_last: bool) -> bool {
        let stands = match self {
            // Race: a worker claims the readmitted command before the lost write is repeated. The worker is the last
            // writer then, but the admission's token is still on the row.
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

/// What the `due` index shows of a row. The index may lag behind the row; the guard of the move decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IndexSnapshot {
    /// Since when its message has been due without a claim.
    pub queued_at: Option<Timestamp>,
    /// How many times that message was re-sent.
    pub resends: u32,
    /// When the command fails.
    pub deadline: Timestamp,
}

/// What a command seems to need from the reconciler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A re-send of its message.
    Resend,
    /// A stall: its deadline has passed.
    Stall,
    /// Nothing: the index lags behind the row.
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

    /// What the command needs if the row has not changed since.
    pub fn need(&self, now: Timestamp) -> Need {
        if self.deadline <= now {
            Need::Stall
        } else if self.queued_at.is_some() && (self.resends as usize) < RESEND_AFTER.len() {
            Need::Resend
        } else {
            Need::Nothing
        }
    }

    /// The move that counts one more re-send.
    pub fn resend(&self, now: Timestamp) -> Move {
        Move::Resend {
            resends: self.resends,
            queued_at: self.queued_at.unwrap_or(self.deadline),
            deadline: self.deadline,
            now,
        }
    }
}

/// Whether SQS will not redeliver a message received this many times. A failure now must end the command.
pub const fn is_last_delivery(receives: u32, max_receives: u32) -> bool {
    receives >= max_receives
}

#[cfg(test)]
mod tests;
