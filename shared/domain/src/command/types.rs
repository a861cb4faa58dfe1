//! The command types, each in its own module. To add one, add its module and its line here.

mod dismiss_finding;
mod reopen_finding;
mod start_analysis;
mod sync;

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    command::{
        Origin,
        argument::{Arguments as _, Field, Reader, Value},
        kind::{CommandKind, CommandQueue, Held},
    },
    finding::{FindingId, RepositoryName},
    text::UnknownWord,
};

pub use dismiss_finding::{DismissComment, DismissFinding};
pub use reopen_finding::ReopenFinding;
pub use start_analysis::{ModelName, StartAnalysis};
pub use sync::SyncFindings;

/// Generates everything that depends on the list of types.
macro_rules! command_types {
    ($($variant:ident($type:ident),)+) => {
        /// A command's type with its arguments.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each type's own documentation tells")]
        pub enum Action {
            $($variant($type),)+
        }

        /// A type of command.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each type's own documentation tells")]
        pub enum CommandType {
            $($variant,)+
        }

        $(impl From<$type> for Action {
            fn from(action: $type) -> Self {
                Self::$variant(action)
            }
        })+

        impl CommandType {
            /// Every type.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => <$type as CommandKind>::NAME,)+ }
            }

            /// What it does, in a sentence for people.
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$variant => <$type as CommandKind>::DOC,)+ }
            }

            /// Its arguments.
            pub const fn fields(self) -> &'static [Field] {
                match self { $(Self::$variant => $type::FIELDS,)+ }
            }

            /// Its queue.
            pub const fn queue(self) -> CommandQueue {
                match self { $(Self::$variant => <$type as CommandKind>::QUEUE,)+ }
            }

            /// The time budget of one command over all its deliveries.
            pub const fn budget(self) -> Duration {
                match self { $(Self::$variant => <$type as CommandKind>::BUDGET,)+ }
            }

            /// The origins that a client may name; the first one is the default.
            pub const fn requested_origins(self) -> &'static [Origin] {
                match self { $(Self::$variant => <$type as CommandKind>::REQUESTED_ORIGINS,)+ }
            }

            /// Reads the arguments. `None` if one is missing or invalid; the reader records which.
            pub fn read(self, reader: &mut impl Reader) -> Option<Action> {
                match self { $(Self::$variant => $type::read(reader).map(Action::$variant),)+ }
            }
        }

        impl Action {
            /// The command's type.
            pub const fn command_type(&self) -> CommandType {
                match self { $(Self::$variant(_) => CommandType::$variant,)+ }
            }

            /// The stored names and values of the arguments that are not left out.
            pub fn values(&self) -> Vec<(&'static str, Value)> {
                match self { $(Self::$variant(action) => action.values(),)+ }
            }

            /// The finding that it is about.
            pub fn finding(&self) -> Option<FindingId> {
                match self { $(Self::$variant(action) => action.finding(),)+ }
            }

            /// The one repository that it is about.
            pub fn repository(&self) -> Option<&RepositoryName> {
                match self { $(Self::$variant(action) => action.repository(),)+ }
            }

            /// What must be freed if the command is abandoned.
            pub fn held(&self) -> Held {
                match self { $(Self::$variant(action) => action.held(),)+ }
            }
        }
    };
}
command_types! {
    Sync(SyncFindings),
    DismissFinding(DismissFinding),
    StartAnalysis(StartAnalysis),
    ReopenFinding(ReopenFinding),
}

impl Action {
    /// The stable name of the command's type.
    pub const fn type_name(&self) -> &'static str {
        self.command_type().as_str()
    }
}

impl fmt::Display for CommandType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CommandType {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let named = Self::ALL.iter().find(|kind| kind.as_str() == text);
        named.copied().ok_or(UnknownWord::not("a command's type"))
    }
}

impl Serialize for CommandType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for CommandType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// The types that are not admitted for now. Commands that were admitted before are still processed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PausedCommands(BTreeSet<CommandType>);

impl PausedCommands {
    /// Reports whether commands of this type are paused.
    pub fn contain(&self, command: CommandType) -> bool {
        self.0.contains(&command)
    }
}

impl FromStr for PausedCommands {
    type Err = UnknownWord;

    /// Parses names separated by commas. An empty text pauses nothing.
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let names = text.split(',').filter(|_| !text.is_empty());
        names.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests;
