//! Makes the callback that a session owes, and retries it until it is accepted, refused or expired.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use simulation::{Effect, Strike};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::faults::{Operation, Operations, Tampering};
use crate::session::{Owed, State};
use crate::sessions::Answered;
use crate::{World, locked, on_disk};

/// The first backoff; it doubles with every retry.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The result of one attempt.
struct Attempt {
    /// Two calls if a fault duplicates the callback, none if it has expired.
    calls: Vec<Answered>,
    next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    TryAgain,
    Over,
}

impl Next {
    /// Retries only a missing answer, a 5xx, a 408 and a 429: a receiver would refuse the same callback again with
    /// any other status.
    fn after(answer: Option<u16>) -> Self {
        match answer {
            None | Some(408 | 429 | 500..) => Self::TryAgain,
            Some(_) => Self::Over,
        }
    }
}

/// Starts the task that makes the session's callback, if the session owes one and no task makes it yet.
pub(crate) fn begin(world: &Arc<World>, session: Uuid) {
    let taken = locked(&world.sessions).take_owed(session, &world.stop);
    let Some((owed, launched, superseded)) = taken else {
        return;
    };
    let wait = match owed.state {
        State::Running => {
            let worked = Duration::try_from(launched.duration_until(Timestamp::now()));
            // If the clock was set back, the session has worked for zero seconds, not for a negative time.
            world.pause.saturating_sub(worked.unwrap_or_default())
        }
        // Only a running session has work left.
        State::Interrupting | State::Completed | State::Failed | State::Interrupted => {
            Duration::ZERO
        }
    };
    let tasks = &world.deliveries;
    tasks.spawn(deliver(Arc::clone(world), owed, wait, superseded));
}

async fn deliver(world: Arc<World>, owed: Owed, wait: Duration, superseded: CancellationToken) {
    let mut wait = wait;
    let mut pause = FIRST_PAUSE;
    loop {
        let attempt = async {
            tokio::time::sleep(wait).await;
            world.attempt(&owed).await
        };
        let Some(attempt) = superseded.run_until_cancelled(attempt).await else {
            return;
        };
        let Attempt { calls, mut next } = attempt;
        wait = pause;
        pause = (pause * 2).min(LONGEST_PAUSE);
        if owed.expires_within(wait) {
            next = Next::Over;
        }
        // Outside of the cancelled part: a received answer is recorded even if the session is interrupted.
        let kept = on_disk(&world, {
            let owed = owed.clone();
            move |sessions| match next {
                Next::TryAgain => sessions.answered(owed.session, &calls),
                Next::Over => sessions.settle(&owed, &calls),
            }
        });
        if let Err(error) = kept.await {
            let id = owed.session;
            tracing::warn!(%error, session.id = %id, "cannot store a callback's answer; a restart repeats the callback");
        }
        if next == Next::Over {
            return;
        }
    }
}

impl Owed {
    /// Reports whether the callback will have expired after `wait`.
    fn expires_within(&self, wait: Duration) -> bool {
        let left = Timestamp::now().duration_until(self.target.expires_at);
        Duration::try_from(left).map_or(true, |left| left <= wait)
    }
}

impl World {
    /// Makes one attempt and applies a fault to it, if one matches.
    async fn attempt(&self, owed: &Owed) -> Attempt {
        let effect = Strike::befall(self.faults.strike(Operation::Callback)).await;
        if let Effect::Own(Tampering::Hold(lifted)) = &effect {
            lifted.cancelled().await;
        }
        if owed.expires_within(Duration::ZERO) {
            return Attempt {
                calls: Vec::new(),
                next: Next::Over,
            };
        }
        let first = self.call(owed, &effect).await;
        let mut calls = vec![first];
        if matches!(effect, Effect::Own(Tampering::Duplicate)) {
            calls.push(self.call(owed, &effect).await);
        }
        let over = calls
            .iter()
            .any(|call| Next::after(call.answer) == Next::Over);
        Attempt {
            calls,
            next: if over { Next::Over } else { Next::TryAgain },
        }
    }

    async fn call(&self, owed: &Owed, effect: &Effect<Operations>) -> Answered {
        let status = Some(owed.status.to_owned());
        let call = locked(&self.sessions).calling(owed.session, status, Timestamp::now());
        let answer = match effect {
            Effect::AnswerInstead(answer) => Some(answer.status.as_u16()),
            Effect::PerformThenAnswer(answer) => {
                let _ = self.caller.call(&owed.target, owed.body.clone()).await;
                Some(answer.status.as_u16())
            }
            Effect::LoseAnswer => {
                let _ = self.caller.call(&owed.target, owed.body.clone()).await;
                None
            }
            Effect::LetThrough | Effect::Own(_) => {
                self.caller.call(&owed.target, owed.body.clone()).await
            }
        };
        Answered { call, answer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transient_failures_are_retried() {
        for (answer, next) in [
            (None, Next::TryAgain),
            (Some(408), Next::TryAgain),
            (Some(429), Next::TryAgain),
            (Some(500), Next::TryAgain),
            (Some(503), Next::TryAgain),
            (Some(200), Next::Over),
            (Some(202), Next::Over),
            (Some(302), Next::Over),
            (Some(400), Next::Over),
            (Some(401), Next::Over),
            (Some(409), Next::Over),
        ] {
            assert_eq!(Next::after(answer), next, "{answer:?}");
        }
    }
}
