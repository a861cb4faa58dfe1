//! The stop signal that all repositories of a delivery share.

use std::{cell::Cell, time::Duration};

use domain::Timestamp;
use tokio::time::Instant;

/// How long before its deadline an invocation sends no new request, so that pages in flight can be stored.
const SOFT_STOP: Duration = Duration::from_secs(10);
/// How long an invocation sends requests at least, however little time it has.
const MIN_WORK: Duration = Duration::from_millis(500);

/// Whether a delivery continues, and what it has learned about GitHub so far.
#[derive(Debug)]
pub(crate) struct Brake {
    soft: Instant,
    stop: Cell<Option<Stop>>,
    /// The status of GitHub's latest transient failure.
    pub(crate) failed: Cell<Option<u16>>,
    /// Whether GitHub accepted the credentials.
    pub(crate) accepted: Cell<bool>,
    /// The number of findings written.
    pub(crate) written: Cell<usize>,
    /// Whether the store had no room for more of the owner's findings.
    pub(crate) full: Cell<bool>,
}

/// Why a delivery stops early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// GitHub rejects the credentials, for every repository.
    AuthInvalid,
    /// GitHub's rate limit, until this time.
    RateLimited(Timestamp),
    /// DynamoDB throttles the owner's findings; to be tried again at this time.
    Throttled(Timestamp),
    /// The delivery's time is up.
    OutOfTime,
    /// The data store fails.
    StoreUnavailable,
    /// The App's credentials cannot be read.
    NoCredentials,
    /// The claim is lost.
    Fenced,
}

impl Brake {
    /// For a delivery that begins `now` and is killed at `killed`.
    pub(crate) fn new(killed: Instant, now: Instant) -> Self {
        Self {
            soft: (killed - SOFT_STOP).max(now + MIN_WORK),
            stop: Cell::new(None),
            failed: Cell::new(None),
            accepted: Cell::new(false),
            written: Cell::new(0),
            full: Cell::new(false),
        }
    }

    /// Returns the reason to stop, if there is one.
    pub(crate) fn on(&self) -> Option<Stop> {
        self.stop
            .get()
            .or((Instant::now() >= self.soft).then_some(Stop::OutOfTime))
    }

    /// Stops all repositories. The first reason counts, with four exceptions: any counts before the lack of time; the later
    /// of two rate limits counts; rejected credentials override whatever is waited for, because waiting does not help; and
    /// a lost claim overrides all.
    pub(crate) fn pull(&self, stop: Stop) {
        let stop = match (self.stop.get(), stop) {
            (None | Some(Stop::OutOfTime), stop) | (_, stop @ Stop::Fenced) => stop,
            (Some(Stop::RateLimited(a)), Stop::RateLimited(b)) => Stop::RateLimited(a.max(b)),
            (Some(Stop::RateLimited(_) | Stop::Throttled(_)), Stop::AuthInvalid) => {
                Stop::AuthInvalid
            }
            (Some(first), _) => first,
        };
        self.stop.set(Some(stop));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::noon;

    fn with_time() -> Brake {
        let now = Instant::now();
        Brake::new(now + Duration::from_secs(600), now)
    }

    #[test]
    fn a_delivery_stops_ten_seconds_early_but_always_sends_a_request() {
        let now = Instant::now();
        for (has, asks_for) in [(30_000, 20_000), (11_000, 1_000), (10_000, 500), (0, 500)] {
            let [has, asks_for] = [has, asks_for].map(Duration::from_millis);
            assert_eq!(Brake::new(now + has, now).soft, now + asks_for, "{has:?}");
        }
    }

    #[test]
    fn running_out_of_time_stops_a_delivery_without_another_reason() {
        assert_eq!(with_time().on(), None);
        let over = Brake {
            soft: Instant::now(),
            ..with_time()
        };
        assert_eq!(over.on(), Some(Stop::OutOfTime));
        over.pull(Stop::StoreUnavailable);
        assert_eq!(over.on(), Some(Stop::StoreUnavailable));
    }

    #[test]
    fn the_first_reason_counts_unless_a_stronger_one_follows() {
        let (sooner, later) = (Stop::RateLimited(noon(1)), Stop::RateLimited(noon(2)));
        let throttled = Stop::Throttled(noon(1));
        use Stop::{AuthInvalid, Fenced, NoCredentials, OutOfTime, StoreUnavailable};
        for (first, second, stands) in [
            (StoreUnavailable, NoCredentials, StoreUnavailable),
            (NoCredentials, AuthInvalid, NoCredentials),
            (AuthInvalid, sooner, AuthInvalid),
            (StoreUnavailable, AuthInvalid, StoreUnavailable),
            (sooner, StoreUnavailable, sooner),
            (sooner, later, later),
            (later, sooner, later),
            (sooner, AuthInvalid, AuthInvalid),
            (throttled, AuthInvalid, AuthInvalid),
            (throttled, sooner, throttled),
            (throttled, OutOfTime, throttled),
            (OutOfTime, throttled, throttled),
            (OutOfTime, sooner, sooner),
            (AuthInvalid, Fenced, Fenced),
            (sooner, Fenced, Fenced),
            (Fenced, AuthInvalid, Fenced),
        ] {
            let brake = with_time();
            brake.pull(first);
            assert_eq!(brake.on(), Some(first));
            brake.pull(second);
            assert_eq!(brake.on(), Some(stands), "{first:?}, {second:?}");
        }
    }
}
