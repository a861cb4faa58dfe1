//! What a command type is: everything that others must know of it stands in its own module, behind [`CommandKind`].

use std::time::Duration;

use crate::{
    command::{Origin, argument::Arguments},
    finding::{FindingId, RepositoryName},
};

/// Where commands wait for their worker. Types that share a queue share a function.
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

    /// The variable that tells functions where it is.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Sync => "SYNC_QUEUE_URL",
            Self::Dismiss => "DISMISS_QUEUE_URL",
            Self::Analyse => "ANALYSE_QUEUE_URL",
        }
    }

    /// The variable that tells where its dead letters are.
    pub const fn dead_letters_variable(self) -> &'static str {
        match self {
            Self::Sync => "SYNC_DEAD_LETTER_QUEUE_URL",
            Self::Dismiss => "DISMISS_DEAD_LETTER_QUEUE_URL",
            Self::Analyse => "ANALYSE_DEAD_LETTER_QUEUE_URL",
        }
    }
}

/// What a command holds that is given back by whoever ends it in its worker's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// The slot of this finding's analysis, if the command has taken it.
    Slot(FindingId),
}

/// One type of command. `command/types.rs` lists them all.
pub trait CommandKind: Arguments {
    /// Its stable name.
    const NAME: &'static str;
    /// What it does, in a sentence for people.
    const DOC: &'static str;
    /// Where it waits for its worker.
    const QUEUE: CommandQueue;
    /// For how long all deliveries of one such command together may go on.
    const BUDGET: Duration = Duration::from_secs(2 * 3600);
    /// The origins that a client may name, the first of them unless it names one. None: it may name none, and the origin
    /// is `manual`.
    const REQUESTED_ORIGINS: &'static [Origin] = &[];

    /// The finding that it is about.
    fn finding(&self) -> Option<FindingId> {
        None
    }

    /// The one repository that it is about.
    fn repository(&self) -> Option<&RepositoryName> {
        None
    }

    /// What is left to do for one that nobody could finish.
    fn held(&self) -> Held {
        Held::Nothing
    }
}
