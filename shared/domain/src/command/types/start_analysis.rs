//! `start_analysis`: starts an analysis of a finding.

use std::str::FromStr;

use crate::{
    command::{
        CommandKind, CommandQueue, Held, InvalidText,
        argument::{Shape, Word, arguments},
    },
    finding::FindingId,
};

arguments! {
    /// Starts an analysis of a finding. The options override the owner's configuration.
    pub struct StartAnalysis {
        /// The finding.
        pub finding: FindingId = "findingId",
        /// The model for triage and analysis, unless the next two fields name one.
        pub model: Option<ModelName> = "model",
        /// The model for the triage.
        pub triage_model: Option<ModelName> = "triageModel",
        /// The model for the analysis.
        pub analysis_model: Option<ModelName> = "analysisModel",
        /// Whether to search the whole codebase in a sandbox, whatever the result of the triage.
        pub force_sandbox: bool = "forceSandbox",
        /// Whether to replace a running analysis.
        pub restart_active: bool = "restartActive",
    }
}

impl CommandKind for StartAnalysis {
    const NAME: &'static str = "start_analysis";
    const DOC: &'static str = "Starts an analysis of a finding by the analysis service.";
    const QUEUE: CommandQueue = CommandQueue::Analyse;

    fn finding(&self) -> Option<FindingId> {
        Some(self.finding)
    }

    fn held(&self) -> Held {
        Held::Slot(self.finding)
    }
}

impl StartAnalysis {
    /// An analysis of this finding with the owner's configuration.
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
