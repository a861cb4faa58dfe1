//! The time budget of one invocation, and when each part of the work must be over.

use std::time::Duration;

use tokio::time::Instant;

use domain::Timestamp;

/// The time budget of one invocation.
#[derive(Clone, Copy, Debug)]
pub struct Invocation {
    /// When the platform kills it.
    pub deadline: Instant,
}

impl Invocation {
    /// How long before its deadline the invocation stops working, to record the outcome.
    const WIND_UP: Duration = Duration::from_secs(3);
    /// How long before that GitHub and the agent must have answered, to classify the answer and record what follows.
    const JUDGING: Duration = Duration::from_secs(2);

    /// The invocation that the platform kills at `deadline_at`, when the machine's clock shows `now`.
    pub fn until(deadline_at: Timestamp, now: Timestamp) -> Self {
        Self {
            deadline: Instant::now() + deadline_at.since(now),
        }
    }

    /// The invocation with this deadline, in milliseconds since the Unix epoch, when the machine's clock shows `now`.
    pub fn of(deadline: u64, now: Timestamp) -> Self {
        let deadline_at = Timestamp::from_millis(i64::try_from(deadline).unwrap_or(i64::MAX));
        Self::until(deadline_at, now)
    }

    /// The time left until the deadline.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// When the work must have ended.
    pub fn work_until(&self) -> Instant {
        self.deadline - Self::WIND_UP
    }

    /// When GitHub and the agent must have answered.
    pub fn ask_until(&self) -> Instant {
        self.work_until() - Self::JUDGING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_work_end_before_the_invocation_is_killed() {
        let has = Duration::from_millis(30_500);
        let before = Instant::now();
        let invocation =
            Invocation::of(1_795_435_230_500, Timestamp::from_millis(1_795_435_200_000));
        let since = before.elapsed();
        let deadline = invocation.deadline;
        assert!((before + has..=before + has + since).contains(&deadline));
        assert_eq!(deadline - invocation.work_until(), Duration::from_secs(3));
        assert_eq!(deadline - invocation.ask_until(), Duration::from_secs(5));
        let left = invocation.left();
        assert!((has - before.elapsed()..=has).contains(&left), "{left:?}");
        let over = Invocation { deadline: before };
        assert_eq!(over.left(), Duration::ZERO);
    }
}
