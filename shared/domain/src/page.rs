//! The cursor of a listing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a listing on GitHub continues. Only the client that created it can read it; deliveries store it unchanged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageCursor(String);

impl PageCursor {
    /// A cursor with this text.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The cursor's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// A cursor contains a URL with a repository's name, which must not be logged.
impl fmt::Debug for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageCursor(..)")
    }
}
