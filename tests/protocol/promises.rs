//! The promises of the protocol, beside those that `protocol` gives to stateright by name.

use domain::{
    Timestamp,
    lifecycle::{Move, RESEND_AFTER, Stage, Status, Timeouts, Token},
    result_code::{Effect, ResultCode},
};

use crate::world::{Row, World};

/// A promise, as a counterexample names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Promise {
    /// No claim succeeds while another lease is live.
    OneLiveClaim,
    /// Nobody moves a command under another worker's live lease, nor with a lost lease.
    ClaimsFence,
    /// A terminal outcome never changes, except by readmission of a command that was never queued.
    OutcomeStays,
    /// Nothing else is written to the row of an ended command: it has left the reconciler's index for good.
    EndedIsLeft,
    /// The effect happens at most once.
    OneEffect,
    /// The effect happened exactly once if the command `succeeded`, and the effect that it reports is correct.
    EffectAsTold,
    /// A message of an earlier stage moves nothing.
    StagesInOrder,
    /// A command that waits for a rate limit is not claimed before the limit ends.
    WaitsAreKept,
    /// A message is resent at most twice.
    FewResends,
    /// A message is not resent before 75 s and 180 s after it was due.
    ResendsAreLate,
    /// A message is resent only while nobody has claimed it.
    ResendsAreUnclaimed,
    /// A command stalls only if it made no progress for its whole timeout.
    StallsAreLate,
    /// A command whose message is known to be queued does not fail as never queued.
    QueuedIsQueued,
    /// A retried write counts once.
    WritesCountOnce,
    /// Every accepted command ends.
    EveryCommandEnds,
    /// Lost and retried responses alone do no harm: the command succeeds.
    LostAnswersCostNothing,
}

/// The writer of a move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct By {
    /// The lease of the worker that writes; `None` if it is not a worker, or has none yet.
    pub(crate) claim: Option<Token>,
    /// The stage of the message that causes the write.
    pub(crate) stage: Option<Stage>,
    pub(crate) timeouts: Timeouts,
}

/// Returns the promise that a permitted write breaks.
pub(crate) fn of_write(
    before: &Row,
    made: &Move,
    by: By,
    wrote_last: bool,
    after: &Row,
    now: Timestamp,
) -> Option<Promise> {
    let (seen, was) = (&before.witnessed, &before.state);
    let live = seen.claim.filter(|claim| claim.until > now);
    let others = live.filter(|claim| Some(claim.token) != by.claim);
    // With another worker's lease nothing moves. Without any lease, the message's consumer may still exhaust.
    let is_anothers = |own| seen.claim.is_some_and(|claim| claim.token != own);
    let fenced = by.claim.is_some_and(is_anothers) && !matches!(made, Move::Exhaust { .. });
    let queued = match made {
        Move::Claim { .. } | Move::Exhaust { .. } => by.stage,
        _ => None,
    };
    let timeout = match was.status {
        Status::Accepted => by.timeouts.accepted,
        _ => by.timeouts.running,
    };
    let resend = matches!(made, Move::Resend { .. });
    let due_again = RESEND_AFTER.get(usize::from(seen.resent));
    let broken = [
        (
            was.status.is_terminal() && before.ended != after.ended && !readmits(before, made),
            Promise::OutcomeStays,
        ),
        (
            was.status.is_terminal() && !readmits(before, made),
            Promise::EndedIsLeft,
        ),
        (
            matches!(made, Move::Claim { .. }) && live.is_some(),
            Promise::OneLiveClaim,
        ),
        (others.is_some() || fenced, Promise::ClaimsFence),
        (
            queued.is_some_and(|stage| stage < was.stage) && by.claim.is_none(),
            Promise::StagesInOrder,
        ),
        (
            matches!(made, Move::Claim { .. })
                && was.waiting_until.is_some_and(|until| until > now),
            Promise::WaitsAreKept,
        ),
        (resend && due_again.is_none(), Promise::FewResends),
        (
            resend && due_again.is_some_and(|after| now < seen.queued + *after),
            Promise::ResendsAreLate,
        ),
        (resend && seen.claimed, Promise::ResendsAreUnclaimed),
        (
            matches!(made, Move::Stall { .. }) && now < seen.progressed + timeout,
            Promise::StallsAreLate,
        ),
        (
            matches!(made, Move::FailAdmission { .. }) && seen.sent,
            Promise::QueuedIsQueued,
        ),
        (
            wrote_last && before.state != after.state,
            Promise::WritesCountOnce,
        ),
    ];
    let broken = broken.into_iter().find(|(broken, _)| *broken);
    broken.map(|(_, promise)| promise)
}

fn readmits(before: &Row, made: &Move) -> bool {
    let never_queued = |(code, _)| code == ResultCode::QueueAdmissionFailed;
    matches!(made, Move::Readmit { .. }) && before.ended.is_some_and(never_queued)
}

/// Returns the promise that a state breaks.
pub(crate) fn of_state(world: &World) -> Option<Promise> {
    if world.effects > 1 {
        return Some(Promise::OneEffect);
    }
    let (code, effect) = world.ended()?;
    let once = world.effects == 1;
    let told = match effect {
        Effect::None => !once,
        Effect::Applied => once,
        Effect::Unknown => true,
    };
    let succeeded = code == ResultCode::FindingDismissed;
    (!told || succeeded && !once).then_some(Promise::EffectAsTold)
}
