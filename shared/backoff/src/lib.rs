//! How long to wait before the next try: the one rule behind every retry, in a loop or by a message that comes again.

use std::time::Duration;

/// Delays that grow with each try up to the longest, spread at random: callers who failed together must not meet again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first try.
    pub first: Duration,
    /// How many times longer each delay is than the one before.
    pub factor: u32,
    /// No delay grows beyond it, but for its jitter.
    pub longest: Duration,
    /// How a delay is spread.
    pub jitter: Jitter,
}

/// Where in relation to its delay a wait may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Anywhere from none of it to all: many callers wait for one service.
    Full,
    /// From half of it to one and a half: few callers wait for each other.
    Half,
    /// From all of it to a quarter more: the delay is promised.
    Quarter,
}

impl Backoff {
    /// Delays that double, up to a quarter of an hour.
    pub const fn doubling(first: Duration, jitter: Jitter) -> Self {
        Self {
            first,
            factor: 2,
            longest: Duration::from_mins(15),
            jitter,
        }
    }

    /// How long to wait after the try of this number, counted from one.
    pub fn after(&self, tries: u32) -> Duration {
        let times = self.factor.saturating_pow(tries.saturating_sub(1));
        let delay = self.first.saturating_mul(times).min(self.longest);
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that spreads delays"
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

    /// The shortest and the longest of a thousand delays, as shares of this one.
    fn range(backoff: &Backoff, tries: u32, delay: Duration) -> (f64, f64) {
        let drawn = (0..1_000).map(|_| backoff.after(tries).div_duration_f64(delay));
        drawn.fold((f64::MAX, 0.0), |(least, most), share| {
            (least.min(share), most.max(share))
        })
    }

    #[test]
    fn a_delay_is_spread_over_all_of_its_jitter_and_not_beyond() {
        for (jitter, from, to) in [
            (Jitter::Full, 0.0, 1.0),
            (Jitter::Half, 0.5, 1.5),
            (Jitter::Quarter, 1.0, 1.25),
        ] {
            let (least, most) = range(&Backoff::doubling(FIRST, jitter), 1, FIRST);
            // A thousand draws miss the first or the last tenth once in 10^45; a delay is whole nanoseconds.
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
