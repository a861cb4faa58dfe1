//! A session's callback: URL, token and expiry.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::time;

/// The callback capability. Written to the state file, never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct CallbackToken(String);

impl CallbackToken {
    pub(crate) fn new(token: &str) -> Self {
        Self(token.to_owned())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CallbackToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CallbackToken(..)")
    }
}

/// The callback's URL, token and expiry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallbackTarget {
    pub(crate) url: String,
    pub(crate) token: CallbackToken,
    #[serde(with = "time")]
    pub(crate) expires_at: Timestamp,
    /// The launch's `traceparent`, unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) traceparent: Option<String>,
}
