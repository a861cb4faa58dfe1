//! One clock for all functions. One machine writes a deadline or a lease and another one compares it with the time, so
//! all of them follow the clock of the service that each talks to: DynamoDB dates every answer.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use aws_sdk_dynamodb::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{
            BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
        },
    },
    error::BoxError,
};
use aws_smithy_types::{
    DateTime,
    config_bag::{Storable, StoreReplace},
    date_time::Format,
};

use domain::Timestamp;

/// DynamoDB's time. Clones share what they learn.
#[derive(Clone, Debug)]
pub struct Clock {
    read: fn() -> Timestamp,
    /// How far DynamoDB's clock is ahead of ours, in milliseconds.
    ahead: Arc<AtomicI64>,
}

impl Clock {
    /// A clock based on the machine's own, which is used as it is until DynamoDB has answered once.
    pub fn new(read: fn() -> Timestamp) -> Self {
        Self {
            read,
            ahead: Arc::default(),
        }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        let ahead = self.ahead.load(Ordering::Relaxed);
        Timestamp::from_millis((self.read)().as_millis().saturating_add(ahead))
    }

    /// Learns from an answer that DynamoDB dated `date` between our `sent` and `received`. A clock that agrees with the
    /// answer is unchanged, however slow the answer was.
    fn learn(&self, sent: Timestamp, date: Timestamp, received: Timestamp) {
        let least = date.as_millis() - received.as_millis();
        // The header is cut to whole seconds: the answer is up to 1,000 ms younger than `date`.
        let most = date.as_millis() + 1_000 - sent.as_millis();
        let ahead = self.ahead.load(Ordering::Relaxed);
        self.ahead
            .store(ahead.clamp(least, most.max(least)), Ordering::Relaxed);
    }
}

/// A client's interceptor that passes the date of every answer to a clock.
#[derive(Debug)]
pub struct Dated(pub Clock);

impl Intercept for Dated {
    fn name(&self) -> &'static str {
        "Dated"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        call: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        call.interceptor_state().store_put(Sent((self.0.read)()));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        call: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        if let (Some(date), Some(Sent(sent))) = (date, call.load::<Sent>()) {
            self.0
                .learn(*sent, Timestamp::from_seconds(date.secs()), (self.0.read)());
        }
        Ok(())
    }
}

/// When a try was sent.
#[derive(Debug)]
struct Sent(Timestamp);

impl Storable for Sent {
    type Storer = StoreReplace<Self>;
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_795_435_200_000);
    const fn noon(plus: i64) -> Timestamp {
        Timestamp::from_millis(NOON.as_millis() + plus)
    }

    #[test]
    fn one_answer_corrects_a_clock_that_is_two_minutes_off() {
        for off in [-120_000, 120_000] {
            let clock = Clock::new(|| noon(20));
            clock.learn(noon(0), noon(off), noon(20));
            let error = clock.now().as_millis() - noon(20 + off).as_millis();
            assert!(error.abs() <= 1_000, "off by {error} ms");
        }
    }

    #[test]
    fn a_slow_answer_does_not_move_a_good_clock() {
        let clock = Clock::new(|| noon(7_900));
        clock.learn(noon(900), noon(1_000), noon(7_900));
        assert_eq!(clock.now(), noon(7_900));
    }
}
