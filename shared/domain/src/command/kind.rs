//! The trait [`CommandKind`]: everything that other code must know of a command type. Each type has its own module.

use std::time::Duration;

use crate::{
    command::{Origin, argument::Arguments},
    finding::{FindingId, RepositoryName},
};

/// The queue of a command type. Types that share a queue share a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CommandQueue {
    /// `sync`.
    Sync,
    /// `dismiss`: changes of one alert.
    Dismiss,
    /// `analyse`.
    Analyse,
}

impl CommandQueue {
    /// Every queue.
    pub const ALL: [Self; 3] = [Self::Sync, Self::Dismiss, Self::Analyse];

    /// The folder of the function that reads it.
    pub const fn function(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Dismiss => "dismiss",
            Self::Analyse => "analyse",
        }
    }

    /// The environment variable with its URL.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Sync => "SYNC_QUEUE_URL",
            Self::Dismiss => "DISMISS_QUEUE_URL",
            Self::Analyse => "ANALYSE_QUEUE_URL",
        }
    }

    /// The environment variable with the URL of its dead-letter queue.
    pub const fn dead_letters_variable(self) -> &'static str {
        match self {
            Self::Sync => "SYNC_DEAD_LETTER_QUEUE_URL",
            Self::Dismiss => "DISMISS_DEAD_LETTER_QUEUE_URL",
            Self::Analyse => "ANALYSE_DEAD_LETTER_QUEUE_URL",
        }
    }
}

/// What an abandoned command occupies, which must be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// The slot of this finding's analysis, if the command took it.
    Slot(FindingId),
}

/// One type of command. `command/types.rs` lists them all.
pub trait CommandKind: Arguments {
    /// Its stable name.
    const NAME: &'static str;
    /// What it does, in a sentence for people.
    const DOC: &'static str;
    /// Its queue.
    const QUEUE: CommandQueue;
    /// The time budget of one command over all its deliveries.
    const BUDGET: Duration = Duration::from_secs(2 * 3600);
    /// The origins that a client may name; the first one is the default. If empty, a client may name none and the
    /// origin is `manual`.
    const REQUESTED_ORIGINS: &'static [Origin] = &[];

    /// The finding that it is about.
    fn finding(&self) -> Option<FindingId> {
        None
    }

    /// The one repository that it is about.
    fn repository(&self) -> Option<&RepositoryName> {
        None
    }

    /// What must be freed if the command is abandoned.
    fn held(&self) -> Held {
        Held::Nothing
    }
}
