//! What the functions logged, in all runs of the stack on this data, read once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Stack;

/// The lines that say that a command has ended, one for each way.
pub(super) const ENDINGS: [&str; 4] = [
    "the command has ended",
    "no delivery is left; the command has failed",
    "the command's deadline has passed; it has failed",
    "a malformed message named a command",
];
/// The lines that say that a message is kept for an operator.
pub(super) const KEPT: [&str; 2] = [
    "a malformed message was kept for inspection",
    "a newer message was kept for inspection",
];
/// The line of a scheduled sync.
pub(super) const SCHEDULED: &str = "a scheduled sync has ended";

/// The lines that the oracle asks for, and the private texts that occur in any.
#[derive(Debug, Default)]
pub(super) struct Logs {
    lines: BTreeMap<&'static str, Vec<Value>>,
    /// Private texts that were found.
    pub(super) told: BTreeSet<String>,
}

impl Logs {
    pub(super) fn read(stack: &Stack, private: &[&str]) -> Self {
        let wanted = ENDINGS.into_iter().chain(KEPT).chain([SCHEDULED]);
        let wanted: Vec<&'static str> = wanted.collect();
        let mut logs = Self::default();
        for text in stack.log_files() {
            let told = private.iter().filter(|private| text.contains(**private));
            logs.told.extend(told.map(|private| (*private).to_owned()));
            for line in text.lines() {
                // A line that was cut short by a kill is none.
                let Some(message) = wanted.iter().find(|message| line.contains(**message)) else {
                    continue;
                };
                let Ok(line) = serde_json::from_str::<Value>(line) else {
                    continue;
                };
                if line["message"] == *message {
                    logs.lines.entry(message).or_default().push(line);
                }
            }
        }
        logs
    }

    /// The lines with this message.
    pub(super) fn with(&self, message: &str) -> &[Value] {
        self.lines.get(message).map_or(&[], Vec::as_slice)
    }
}
