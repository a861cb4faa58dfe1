//! `dismiss_finding`: dismisses a finding's alert on GitHub, then ignores the finding.

use std::{fmt, str::FromStr};

use crate::{
    command::{
        CommandKind, CommandQueue, InvalidText,
        argument::{Shape, Word, arguments},
    },
    finding::{DismissReason, FindingId},
};

arguments! {
    /// Dismisses a finding's alert on GitHub; the finding becomes `ignored`.
    pub struct DismissFinding {
        /// The finding.
        pub finding: FindingId = "findingId",
        /// GitHub's reason.
        pub reason: DismissReason = "reason",
        /// A comment on the dismissal.
        pub comment: Option<DismissComment> = "comment",
    }
}

impl CommandKind for DismissFinding {
    const NAME: &'static str = "dismiss_finding";
    const DOC: &'static str =
        "Dismisses a finding's alert on GitHub; the finding becomes `ignored`.";
    const QUEUE: CommandQueue = CommandQueue::Dismiss;

    fn finding(&self) -> Option<FindingId> {
        Some(self.finding)
    }
}

/// A comment on a dismissal: at most 280 characters, and no control characters except line breaks and tabs.
#[derive(Clone, PartialEq, Eq)]
pub struct DismissComment(String);

impl DismissComment {
    /// GitHub's limit, in characters.
    pub const MAX_CHARS: usize = 280;

    /// The comment.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DismissComment {
    type Err = InvalidText;
    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let forbidden = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        if text.chars().count() <= Self::MAX_CHARS && !text.chars().any(forbidden) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidText::expected(
                "a text of at most 280 characters without control characters",
            ))
        }
    }
}

// A person's words: they may hold personal data, and debug output ends up in logs.
impl fmt::Debug for DismissComment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DismissComment(..)")
    }
}

impl Word for DismissComment {
    const SHAPE: Shape = Shape::Text {
        min: None,
        max: Some(Self::MAX_CHARS),
        example: None,
    };
    fn text(&self) -> String {
        self.0.clone()
    }
}

impl Word for DismissReason {
    const SHAPE: Shape = Shape::Word(|| Self::ALL.iter().map(|reason| reason.as_str()).collect());
    fn text(&self) -> String {
        self.as_str().to_owned()
    }
}
