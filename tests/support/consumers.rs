//! Which function works on the commands of each type, and where their messages are queued.

use domain::command::CommandType;

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
        let (function, queue, dead_letters) = match command {
            CommandType::Sync => ("sync", "SyncQueue", "SyncDeadLetterQueue"),
            CommandType::DismissFinding => ("dismiss", "DismissQueue", "DismissDeadLetterQueue"),
            CommandType::StartAnalysis => ("analyse", "AnalyseQueue", "AnalyseDeadLetterQueue"),
        };
        Self {
            function,
            queue,
            dead_letters,
        }
    }
}
