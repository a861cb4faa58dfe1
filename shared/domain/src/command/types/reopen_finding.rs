//! `reopen_finding`: reopens an ignored finding's alert on GitHub, then the finding.

use crate::{
    command::{CommandKind, CommandQueue, argument::arguments},
    finding::FindingId,
};

arguments! {
    /// Reopens an ignored finding's alert on GitHub; the finding becomes `open`.
    pub struct ReopenFinding {
        /// The finding.
        pub finding: FindingId = "findingId",
    }
}

impl CommandKind for ReopenFinding {
    const NAME: &'static str = "reopen_finding";
    const DOC: &'static str =
        "Reopens an ignored finding's alert on GitHub; the finding becomes `open`.";
    const QUEUE: CommandQueue = CommandQueue::Dismiss;

    fn finding(&self) -> Option<FindingId> {
        Some(self.finding)
    }
}
