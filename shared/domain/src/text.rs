//! Macros for types that are stored and sent as text (`Display` writes, `FromStr` reads) and for closed sets of words.

/// Implements serde for a type through its text.
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

/// The text is not a word of its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct UnknownWord {
    expected: &'static str,
}

impl UnknownWord {
    /// The error for a text that is not `expected`.
    pub const fn not(expected: &'static str) -> Self {
        Self { expected }
    }
}

/// Defines an enum's words once for `ALL`, `as_str`, `Display`, `FromStr` and serde.
#[macro_export]
macro_rules! words {
    ($type:ty, $expected:literal, { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $type {
            /// Every word, in the order for display.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word, the same in the API and in rows.
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
