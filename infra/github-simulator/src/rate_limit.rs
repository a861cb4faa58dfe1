//! The installation's primary rate limit: a number of requests per hour.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

use crate::locked;

const WINDOW: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug)]
pub(crate) struct RateLimit(Mutex<Window>);

#[derive(Debug)]
struct Window {
    limit: u32,
    used: u32,
    resets_at: Timestamp,
}

/// The values of the `x-ratelimit-*` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) limit: u32,
    pub(crate) used: u32,
    pub(crate) resets_at: Timestamp,
}

impl Budget {
    pub(crate) fn remaining(self) -> u32 {
        self.limit.saturating_sub(self.used)
    }
}

impl RateLimit {
    pub(crate) fn new(limit: u32) -> Self {
        Self(Mutex::new(Window {
            limit,
            used: 0,
            resets_at: Timestamp::MIN,
        }))
    }

    /// Sets the limit and starts a new hour.
    pub(crate) fn set(&self, limit: u32) {
        *locked(&self.0) = Window {
            limit,
            used: 0,
            resets_at: Timestamp::MIN,
        };
    }

    /// Counts a request. `Err` means that the hour's budget is spent.
    pub(crate) fn take(&self, now: Timestamp) -> Result<Budget, Budget> {
        self.turn(now, |window| {
            if window.used >= window.limit {
                return Err(());
            }
            window.used += 1;
            Ok(())
        })
    }

    /// Refunds a request.
    pub(crate) fn give_back(&self, now: Timestamp) -> Budget {
        let (Ok(budget) | Err(budget)) = self.turn(now, |window| {
            window.used = window.used.saturating_sub(1);
            Ok(())
        });
        budget
    }

    pub(crate) fn budget(&self, now: Timestamp) -> Budget {
        let (Ok(budget) | Err(budget)) = self.turn(now, |_| Ok(()));
        budget
    }

    fn turn(
        &self,
        now: Timestamp,
        change: impl FnOnce(&mut Window) -> Result<(), ()>,
    ) -> Result<Budget, Budget> {
        let mut window = locked(&self.0);
        if window.resets_at <= now {
            window.used = 0;
            window.resets_at = now + WINDOW;
        }
        let allowed = change(&mut window);
        let budget = Budget {
            limit: window.limit,
            used: window.used,
            resets_at: window.resets_at,
        };
        allowed.map(|()| budget).map_err(|()| budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_budget_resets_an_hour_after_its_first_request() {
        let limit = RateLimit::new(2);
        let start = Timestamp::from_second(1_800_000_000).expect("in range");
        assert_eq!(limit.take(start).map(Budget::remaining), Ok(1));
        assert_eq!(limit.take(start).map(Budget::remaining), Ok(0));
        let spent = limit.take(start).expect_err("spent");
        assert_eq!((spent.remaining(), spent.resets_at), (0, start + WINDOW));
        assert_eq!(limit.give_back(start).remaining(), 1);
        assert_eq!(limit.take(start + WINDOW).map(Budget::remaining), Ok(1));
    }
}
