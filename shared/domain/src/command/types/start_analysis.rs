//! `start_analysis`: has the agent begin to analyse a finding.

use std::str::FromStr;

use crate::{
    command::{
        CommandKind, CommandQueue, Held, InvalidText,
        argument::{Shape, Word, arguments},
    },
    finding::FindingId,
};

arguments! {
    /// Has the agent begin to analyse a finding, with what differs from the owner's configuration.
    pub struct StartAnalysis {
        /// Which finding.
        pub finding: FindingId = "findingId",
        /// The model for whatever the next two do not name.
        pub model: Option<ModelName> = "model",
        /// The model that triages.
        pub triage_model: Option<ModelName> = "triageModel",
        /// The model that analyses.
        pub analysis_model: Option<ModelName> = "analysisModel",
        /// Go through the whole codebase in a sandbox, whatever the triage says.
        pub force_sandbox: bool = "forceSandbox",
        /// Take the place of an analysis that is under way.
        pub restart_active: bool = "restartActive",
    }
}

impl CommandKind for StartAnalysis {
    const NAME: &'static str = "start_analysis";
    const DOC: &'static str = "Has the agent begin to analyse a finding.";
    const QUEUE: CommandQueue = CommandQueue::Analyse;

    fn finding(&self) -> Option<FindingId> {
        Some(self.finding)
    }

    fn held(&self) -> Held {
        Held::Slot(self.finding)
    }
}

impl StartAnalysis {
    /// Of this finding, as the owner's configuration says.
    pub const fn of(finding: FindingId) -> Self {
        Self {
            finding,
            model: None,
            triage_model: None,
            analysis_model: None,
            force_sandbox: false,
            restart_active: false,
        }
    }
}

/// The name of a model: 1 to 128 characters, no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelName(String);

impl ModelName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelName {
    type Err = InvalidText;
    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let length = text.chars().take(129).count();
        if (1..=128).contains(&length) && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidText::expected(
                "a name of 1 to 128 characters without control characters",
            ))
        }
    }
}

impl Word for ModelName {
    const SHAPE: Shape = Shape::Text {
        min: Some(1),
        max: Some(128),
        example: None,
    };
    fn text(&self) -> String {
        self.0.clone()
    }
}
