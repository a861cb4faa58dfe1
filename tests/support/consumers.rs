//! Which function works on the commands of each type, and where their messages are queued.

use domain::command::{CommandQueue, CommandType};

/// The consumer of one type's commands, by the names in `template.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The function.
    pub function: &'static str,
    /// The queue that it reads.
    pub queue: &'static str,
    /// Where a message goes that it never acknowledged.
    pub dead_letters: &'static str,
}

impl Consumer {
    /// The consumer of commands of this type.
    pub const fn of(command: CommandType) -> Self {
        let (queue, dead_letters) = match command.queue() {
            CommandQueue::Sync => ("SyncQueue", "SyncDeadLetterQueue"),
            CommandQueue::Dismiss => ("DismissQueue", "DismissDeadLetterQueue"),
            CommandQueue::Analyse => ("AnalyseQueue", "AnalyseDeadLetterQueue"),
        };
        Self {
            function: command.queue().function(),
            queue,
            dead_letters,
        }
    }
}
