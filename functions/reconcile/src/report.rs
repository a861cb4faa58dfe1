//! What a run did, in numbers.

use serde::Serialize;

/// The function's answer: how many of what the index named went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Commands, owners, analyses and erasures that the index named.
    pub nominated: u32,
    /// Commands whose message was sent again.
    pub resent: u32,
    /// Commands whose message was counted as sent again but may not have been queued.
    pub unsent: u32,
    /// Commands failed because their deadline had passed.
    pub stalled: u32,
    /// What somebody else had moved, or what was gone.
    pub raced: u32,
    /// Owners whose scheduled sync was queued.
    pub dispatched: u32,
    /// Owners whose scheduled sync the queue did not take: they come again in a few minutes.
    pub refused: u32,
    /// Analyses failed because nothing was heard of them.
    pub lost: u32,
    /// Call backs that were received and not recorded, whose message was sent again.
    pub sent_on: u32,
    /// Analyses that automation began.
    pub automated: u32,
    /// Erasures that were resumed.
    pub resumed: u32,
    /// Shards and rows that could not be read or written: the next run tries again.
    pub errors: u32,
    /// Whether something due was left to the next run.
    pub out_of_time: bool,
}
