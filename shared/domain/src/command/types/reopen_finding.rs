//! `reopen_finding`: reopens an ignored finding's alert at GitHub, then the finding here.

use crate::{
    command::{CommandKind, CommandQueue, argument::arguments},
    finding::FindingId,
};

arguments! {
    /// Reopens an ignored finding's alert at GitHub, then the finding here.
    pub struct ReopenFinding {
        /// Which finding.
        pub finding: FindingId = "findingId",
    }
}

impl CommandKind for ReopenFinding {
    const NAME: &'static str = "reopen_finding";
    const DOC: &'static str =
        "Reopens an ignored finding's alert at GitHub, then the finding here.";
    const QUEUE: CommandQueue = CommandQueue::Dismiss;

    fn finding(&self) -> Option<FindingId> {
        Some(self.finding)
    }
}
