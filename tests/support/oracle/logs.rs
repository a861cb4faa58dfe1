//! The functions' logs from all runs of the stack on this data, read once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Stack;

/// The messages that report a command's end, one for each way to end.
pub(super) const ENDINGS: [&str; 4] = [
    "the command has ended",
    "the command has failed: its message has no delivery left",
    "the command has failed: its deadline has passed",
    "a malformed message named a command",
];
/// The messages that report a quarantined message.
pub(super) const KEPT: [&str; 2] = [
    "a malformed message was kept for inspection",
    "a newer message was kept for inspection",
];
/// The message that reports the end of a scheduled sync.
pub(super) const SCHEDULED: &str = "a scheduled sync has ended";

/// The lines that the oracle checks, and the private texts found in any line.
#[derive(Debug, Default)]
pub(super) struct Logs {
    lines: BTreeMap<&'static str, Vec<Value>>,
    /// The private texts found.
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
                // A kill can cut a line short: skip it.
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
