//! Types that travel as their text: written by `Display`, read back by `FromStr`. And closed sets of words.

/// Implements serde for a type by its text.
#[macro_export]
macro_rules! serde_by_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

pub use crate::serde_by_text;

/// The text is none of the words of its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct UnknownWord {
    expected: &'static str,
}

impl UnknownWord {
    /// For what is none of `expected`.
    pub const fn not(expected: &'static str) -> Self {
        Self { expected }
    }
}

/// Gives an enum its texts: `ALL`, `as_str`, `Display`, `FromStr` and serde agree by construction.
#[macro_export]
macro_rules! words {
    ($type:ty, $expected:literal, { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $type {
            /// Every word, in the order in which people read them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as it is written everywhere.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::text::UnknownWord;
            fn from_str(text: &str) -> Result<Self, $crate::text::UnknownWord> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err($crate::text::UnknownWord::not($expected)) }
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub use crate::words;
