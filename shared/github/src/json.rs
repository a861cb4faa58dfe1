//! Helpers to read GitHub's JSON.

use serde::{Deserialize, Deserializer};

/// Reads a field that GitHub documents as optional: it may be null instead of absent.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
