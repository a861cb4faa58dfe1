//! Where a listing goes on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a listing at GitHub goes on: opaque to all but the client that made it, kept between deliveries as it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageCursor(String);

impl PageCursor {
    /// As its maker writes it.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// As its maker wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// It holds a URL, which is nobody's business in a log.
impl fmt::Debug for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageCursor(..)")
    }
}
