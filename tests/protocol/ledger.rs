//! The ledger of the model: one row. `lifecycle` decides what a guard permits, what a move changes, and whether a
//! refused write was our own.

use domain::{
    lifecycle::{Move, Token, admitted},
    result_code::{Effect, ResultCode},
};

use crate::{
    canonical::NOW,
    promises::{self, By},
    protocol::Protocol,
    scene::Lack,
    world::{Row, Try, Witnessed, World},
};

/// The result of a write, as its writer learns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The move was made, by this attempt or an earlier one.
    Made,
    /// The row does not permit it.
    Refused,
}

/// How a command ends. Without an effect here, the row determines it.
pub(crate) type Ending = Option<(ResultCode, Option<Effect>)>;

/// A write before its first attempt, with its fencing token.
pub(crate) fn first(world: &World, made: Move) -> Try {
    let writer = made.own_token().unwrap_or_else(|| world.new_token());
    Try { made, writer }
}

impl Protocol {
    /// Writes the row and its key's record, or neither: a record that names another command prevents it.
    pub(crate) fn admit(&self, world: &mut World, id: Token) -> Heard {
        if let Some(row) = &world.row {
            return if row.id == id && self.lack != Lack::OwnWrites {
                Heard::Made
            } else {
                Heard::Refused
            };
        }
        let now = NOW;
        world.row = Some(Row {
            state: admitted(id, now, &self.scene.timeouts),
            id,
            writer: Some(id),
            ended: None,
            witnessed: Witnessed::queued(now),
        });
        Heard::Made
    }

    /// Attempts a write, for the first time or again.
    pub(crate) fn write(&self, world: &mut World, tried: Try, ending: Ending, by: By) -> Heard {
        let Try { made, writer } = tried;
        let now = NOW;
        let row = world.row.as_mut().expect("a writer has read the row");
        self.decided.note(&made, &row.state);
        let wrote_last = row.writer == Some(writer);
        if !self.lack.guard(&made).holds(&row.state) {
            let own = made.is_shown_by(&row.state, wrote_last);
            return if own && self.lack != Lack::OwnWrites {
                Heard::Made
            } else {
                Heard::Refused
            };
        }
        let before = row.clone();
        for change in made.changes(&self.scene.timeouts) {
            change.make(&mut row.state);
        }
        row.writer = Some(writer);
        row.ended = match ending {
            Some((code, effect)) => {
                let effect = effect.unwrap_or_else(|| self.of_cut_off(row));
                Some((code, effect))
            }
            None => row.ended.filter(|_| row.state.status.is_terminal()),
        };
        witness(&mut row.witnessed, &made);
        let broken = promises::of_write(&before, &made, by, wrote_last, row, now);
        world.broken = world.broken.or(broken);
        Heard::Made
    }

    fn of_cut_off(&self, row: &Row) -> Effect {
        match self.lack {
            Lack::Doubt => Effect::None,
            _ => Effect::of_cut_off(&row.state),
        }
    }
}

/// A retried write carries the time of its first attempt.
fn witness(seen: &mut Witnessed, made: &Move) {
    match *made {
        Move::Readmit { now, .. } => *seen = Witnessed::queued(now),
        Move::Claim { lease, now, .. } => {
            seen.claim = Some(lease);
            seen.claimed = true;
            seen.progressed = now;
        }
        Move::Heartbeat { now, .. } => seen.progressed = now,
        Move::Continue { at, .. } => {
            *seen = Witnessed {
                sent: seen.sent,
                ..Witnessed::queued(at)
            };
        }
        Move::Resend { .. } => seen.resent += 1,
        Move::Release { .. } | Move::Settle { .. } | Move::Exhaust { .. } | Move::Stall { .. } => {
            seen.claim = None;
        }
        Move::FailAdmission { .. } => {}
    }
}
