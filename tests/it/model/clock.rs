//! The model's time, which only steps advance.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use domain::Timestamp;
use tests::NOON;

static PAST_NOON: AtomicI64 = AtomicI64::new(0);

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(NOON.as_millis() + PAST_NOON.load(Ordering::SeqCst))
}

pub(crate) fn set_to_noon() {
    PAST_NOON.store(0, Ordering::SeqCst);
}

pub(crate) fn advance(by: Duration) {
    let by = i64::try_from(by.as_millis()).expect("not that long");
    PAST_NOON.fetch_add(by, Ordering::SeqCst);
}
