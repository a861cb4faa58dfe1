//! The pace of an owner's writes: a token bucket, filled by what the answers say. A partition is promised 1,000 write units
//! a second, in an on-demand table, too, and often serves more for a few seconds. So a small sync does not wait until
//! DynamoDB throttles it; a large one asks for no more than what is promised.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// The write units a second that one delivery asks of a partition. The rest is for the owner's other commands.
const UNITS_PER_SECOND: f64 = 800.0;
/// How many seconds' units a delivery may ask for at once, until it is throttled: those of some 500 findings.
const BURST: Duration = Duration::from_secs(5);

/// Paces the writes of one delivery to one partition by what they cost. Whoever shares a pace takes turns.
#[derive(Debug)]
pub struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    /// No turn begins then or later.
    until: Instant,
    /// When the next turn may begin: when the partition has regained the units of the turns before.
    next: Instant,
    /// How long before now that may be.
    burst: Duration,
    /// What the latest turn cost, as a multiple of what it was expected to.
    factor: f64,
}

/// A turn to write.
#[derive(Clone, Copy, Debug)]
struct Reserved {
    begins: Instant,
    /// The units that the caller expects.
    expected: f64,
    /// The units that its time was reckoned by.
    units: f64,
}

/// A turn that has come.
#[derive(Debug)]
#[must_use]
pub(crate) struct Turn<'a> {
    pace: &'a Pace,
    reserved: Reserved,
}

impl Pace {
    /// A pace for writes that begin before this time. The first ones need not wait.
    pub fn new(until: Instant) -> Self {
        Self::with(until, BURST)
    }

    /// Likewise, without a burst: for the rest of a work that has had one, or that nobody waits for.
    pub fn steady(until: Instant) -> Self {
        Self::with(until, Duration::ZERO)
    }

    fn with(until: Instant, burst: Duration) -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            until,
            next: now.checked_sub(burst).unwrap_or(now),
            burst,
            factor: 1.0,
        }))
    }

    /// Whether a write would have to wait for earlier ones. What it writes need not be fetched yet.
    pub fn is_behind(&self) -> bool {
        self.state().next > Instant::now()
    }

    /// Waits for the turn to write what is expected to consume this many units. `None`, at once, if that comes too late.
    pub(crate) async fn turn(&self, units: usize) -> Option<Turn<'_>> {
        let reserved = self.state().reserve(units, Instant::now())?;
        sleep_until(reserved.begins).await;
        Some(Turn {
            pace: self,
            reserved,
        })
    }

    /// DynamoDB throttles the partition: no turn begins for this long, and the burst is over.
    pub(crate) fn rest(&self, pause: Duration) {
        self.state().rest(Instant::now() + pause);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The write consumed this many units.
    pub(crate) fn consumed(self, units: f64) {
        self.pace.state().correct(self.reserved, units);
    }
}

impl State {
    fn reserve(&mut self, units: usize, now: Instant) -> Option<Reserved> {
        let earliest = now.checked_sub(self.burst).unwrap_or(now);
        let begins = self.next.max(earliest);
        let expected = units.max(1) as f64;
        let units = self.factor * expected;
        (begins < self.until).then(|| {
            self.next = begins + lasts(units);
            Reserved {
                begins,
                expected,
                units,
            }
        })
    }

    /// Replaces what a turn was expected to cost by what it did. A refused write reports nothing: the expectation stands.
    fn correct(&mut self, reserved: Reserved, units: f64) {
        if units > 0.0 {
            self.factor = units / reserved.expected;
            self.next += lasts(units);
            self.next -= lasts(reserved.units);
        }
    }

    fn rest(&mut self, until: Instant) {
        self.burst = Duration::ZERO;
        self.next = self.next.max(until);
    }
}

/// How long a partition needs for these units.
fn lasts(units: f64) -> Duration {
    Duration::from_secs_f64(units / UNITS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pace of ten seconds, and the time when it began.
    fn pace() -> (State, Instant) {
        let pace = Pace::steady(Instant::now() + Duration::from_secs(10));
        let state = pace.0.into_inner().expect("nobody has it");
        let began = state.next;
        (state, began)
    }

    /// Takes a turn at once that is expected to cost `units`, and costs so many times that. Returns when it began.
    fn turn(state: &mut State, began: Instant, units: usize, times: f64) -> Option<f64> {
        let reserved = state.reserve(units, began)?;
        state.correct(reserved, times * units as f64);
        Some((reserved.begins - began).as_secs_f64())
    }

    fn near(begins: Option<f64>, expected: f64) {
        let begins = begins.expect("in time");
        assert!((begins - expected).abs() < 0.001, "{begins} s");
    }

    #[test]
    fn turns_together_consume_800_units_a_second() {
        let (mut state, began) = pace();
        for (units, begins) in [(800, 0.0), (800, 1.0), (400, 2.0), (800, 2.5), (1, 3.5)] {
            near(turn(&mut state, began, units, 1.0), begins);
        }
    }

    #[test]
    fn a_burst_of_4000_units_need_not_wait_unless_it_is_throttled() {
        let pace = Pace::new(Instant::now() + Duration::from_secs(10));
        let mut state = pace.0.into_inner().expect("nobody has it");
        let now = state.next + BURST;
        let begins = |state: &mut State, units| state.reserve(units, now).expect("in time").begins;
        for _ in 0..5 {
            assert!(begins(&mut state, 800) <= now);
        }
        assert_eq!(begins(&mut state, 800), now);
        assert_eq!(begins(&mut state, 800), now + Duration::from_secs(1));

        let pace = Pace::new(Instant::now() + Duration::from_secs(10));
        let mut state = pace.0.into_inner().expect("nobody has it");
        let now = state.next + BURST;
        state.rest(now);
        assert_eq!(begins(&mut state, 800), now);
        assert_eq!(begins(&mut state, 800), now + Duration::from_secs(1));
    }

    #[test]
    fn the_pace_follows_the_measured_cost() {
        let (mut state, began) = pace();
        near(turn(&mut state, began, 800, 2.0), 0.0);
        let twice = state.reserve(800, began).expect("in time");
        near(Some((twice.begins - began).as_secs_f64()), 2.0);
        near(turn(&mut state, began, 800, 0.5), 4.0);
        near(turn(&mut state, began, 800, 0.5), 4.5);
    }

    #[test]
    fn a_refused_write_counts_as_expected() {
        let (mut state, began) = pace();
        near(turn(&mut state, began, 800, 0.0), 0.0);
        near(turn(&mut state, began, 800, 1.0), 1.0);
    }

    #[test]
    fn a_turn_that_comes_too_late_is_refused() {
        let (mut state, began) = pace();
        near(turn(&mut state, began, 8_000, 1.0), 0.0);
        assert_eq!(turn(&mut state, began, 1, 1.0), None);
    }

    #[test]
    fn a_throttled_partition_rests_for_every_writer() {
        let (mut state, began) = pace();
        state.rest(began + Duration::from_secs(3));
        near(turn(&mut state, began, 1, 1.0), 3.0);
    }
}
