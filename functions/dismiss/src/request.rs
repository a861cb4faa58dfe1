//! What a command asks GitHub for, and whose dismissal an alert shows in its light. Pure.

use std::time::Duration;

use domain::{
    Timestamp,
    change::Asked,
    command::{CommandId, DismissComment},
    finding::DismissReason,
};
use github::Alert;

/// GitHub's clock may be behind ours, and it dates dismissals in whole seconds.
const CLOCKS_DIFFER: Duration = Duration::from_secs(121);

/// What a command asks GitHub for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) reason: DismissReason,
    pub(crate) comment: Option<&'a DismissComment>,
    /// When the command began.
    pub(crate) began: Timestamp,
}

impl<'a> Request<'a> {
    /// The comment's words.
    pub(crate) fn text(&self) -> Option<&'a str> {
        self.comment.map(DismissComment::as_str)
    }

    /// Whether this did the dismissal that the alert shows, for all that GitHub has said.
    pub(crate) fn did(&self, alert: &Alert, asked: Asked) -> bool {
        if !asked.can_be_ours() {
            return false;
        }
        let dismissal = &alert.dismissal;
        let shown = dismissal.comment.as_deref().unwrap_or_default();
        // GitHub may keep a comment without the white space around it, or with other ends of lines.
        let words = self.text().unwrap_or_default().split_whitespace();
        let by_an_app = |login: &str| login.ends_with("[bot]");
        dismissal.at.is_none_or(|at| self.is_since(at))
            && dismissal.reason.as_deref() == Some(self.reason.as_str())
            && shown.split_whitespace().eq(words)
            && dismissal.by.as_deref().is_none_or(by_an_app)
    }

    /// Whether that may have been while the command ran.
    pub(crate) fn is_since(&self, at: Timestamp) -> bool {
        at + CLOCKS_DIFFER >= self.began
    }
}

/// The command that a finding is `named` after, if it is another than `mine` and the alert's dismissal, of `dismissed_at`,
/// is that command's. A dismissal that came after what was `seen` is a new one: somebody has reopened the alert in between.
pub(crate) fn is_of_another(
    named: Option<CommandId>,
    mine: CommandId,
    seen: Timestamp,
    dismissed_at: Option<Timestamp>,
) -> bool {
    named.is_some_and(|by| by != mine) && dismissed_at.is_none_or(|at| at <= seen)
}

#[cfg(test)]
mod tests;
