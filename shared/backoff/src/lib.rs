//! Backoff with jitter: the one rule for every retry, in a loop or by redelivery.

use std::time::Duration;

/// Delays that grow with each try up to the longest. Jitter keeps callers that failed together from retrying together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first try.
    pub first: Duration,
    /// The factor between two delays.
    pub factor: u32,
    /// The longest delay, before jitter.
    pub longest: Duration,
    /// The jitter of each delay.
    pub jitter: Jitter,
}

/// The range of a jittered delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// 0 to 1 times the delay: for many callers that wait for one service.
    Full,
    /// 0.5 to 1.5 times the delay: for a few callers that conflict with each other.
    Half,
    /// 1 to 1.25 times the delay: for a documented minimum.
    Quarter,
}

impl Backoff {
    /// Delays that double, up to 15 minutes.
    pub const fn doubling(first: Duration, jitter: Jitter) -> Self {
        Self {
            first,
            factor: 2,
            longest: Duration::from_mins(15),
            jitter,
        }
    }

    /// The delay after this many tries.
    pub fn after(&self, tries: u32) -> Duration {
        let times = self.factor.saturating_pow(tries.saturating_sub(1));
        let delay = self.first.saturating_mul(times).min(self.longest);
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that jitters delays"
        )]
        let share = fastrand::f64();
        delay.mul_f64(match self.jitter {
            Jitter::Full => share,
            Jitter::Half => 0.5 + share,
            Jitter::Quarter => 1.0 + share / 4.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(250);

    /// The shortest and the longest of a thousand delays, relative to `delay`.
    fn range(backoff: &Backoff, tries: u32, delay: Duration) -> (f64, f64) {
        let drawn = (0..1_000).map(|_| backoff.after(tries).div_duration_f64(delay));
        drawn.fold((f64::MAX, 0.0), |(least, most), share| {
            (least.min(share), most.max(share))
        })
    }

    #[test]
    fn delays_cover_the_whole_range_of_their_jitter_and_no_more() {
        for (jitter, from, to) in [
            (Jitter::Full, 0.0, 1.0),
            (Jitter::Half, 0.5, 1.5),
            (Jitter::Quarter, 1.0, 1.25),
        ] {
            let (least, most) = range(&Backoff::doubling(FIRST, jitter), 1, FIRST);
            // A thousand draws miss the first or the last tenth once in 10^45 runs. Delays are whole nanoseconds.
            let (tenth, rounding) = ((to - from) / 10.0, 1e-6);
            assert!(
                from - rounding <= least && least < from + tenth,
                "{jitter:?}: {least}"
            );
            assert!(
                to - tenth < most && most <= to + rounding,
                "{jitter:?}: {most}"
            );
        }
    }

    #[test]
    fn a_delay_grows_by_its_factor_up_to_the_longest() {
        let backoff = Backoff {
            first: FIRST,
            factor: 3,
            longest: 10 * FIRST,
            jitter: Jitter::Quarter,
        };
        for (tries, times) in [(0, 1), (1, 1), (2, 3), (3, 9), (4, 10), (u32::MAX, 10)] {
            let (least, most) = range(&backoff, tries, times * FIRST);
            assert!(least >= 1.0 && most < 1.2501, "{tries}: {least} to {most}");
        }
    }
}
