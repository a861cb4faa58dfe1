//! A run's counts.

use serde::Serialize;

/// The function's answer: how many of the due rows had which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Commands, owners, analyses and erasures that the index nominated.
    pub nominated: u32,
    /// Commands whose message was sent again.
    pub resent: u32,
    /// Commands whose message was counted as sent again but may not have been queued.
    pub unsent: u32,
    /// Commands that failed because their deadline had passed.
    pub stalled: u32,
    /// Rows that something else had changed or deleted first.
    pub raced: u32,
    /// Owners whose scheduled sync was queued.
    pub dispatched: u32,
    /// Owners whose scheduled sync could not be queued; they are due again when their lease ends, in five minutes.
    pub refused: u32,
    /// Analyses that failed because no callback arrived in time.
    pub lost: u32,
    /// Callbacks that were stored but not recorded, whose message was sent again.
    pub sent_on: u32,
    /// Analyses that automation started.
    pub automated: u32,
    /// Erasures that were resumed.
    pub resumed: u32,
    /// Shards and rows that could not be read or written; the next run retries them.
    pub errors: u32,
    /// Whether due rows were left to the next run.
    pub out_of_time: bool,
}
