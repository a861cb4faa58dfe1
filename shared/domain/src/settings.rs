//! What an owner has configured. Pure data; stored by `owners`.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::finding::{RepositoryId, Severity};

/// An owner's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// Whether anything is done for the owner at all.
    pub enabled: bool,
    /// Which repositories are looked at.
    pub repository_selection: RepositorySelection,
    /// The chosen repositories; they count only if the selection is `selected`, and then none means none.
    pub selected_repository_ids: BTreeSet<RepositoryId>,
    /// Whether findings are refreshed every few hours by themselves.
    pub auto_sync: bool,
    /// How deep analyses go.
    pub analysis_mode: AnalysisMode,
    /// The model that triages.
    pub triage_model: String,
    /// The model that analyses.
    pub analysis_model: String,
    /// Whether and which analyses start by themselves.
    pub auto_analysis: AutoAnalysis,
    /// Whether recommended dismissals are made by themselves.
    pub auto_dismiss: AutoDismiss,
    /// How long a finding may stay open.
    pub sla_days: SlaDays,
}

/// Which repositories are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepositorySelection {
    /// All of the installation.
    #[default]
    All,
    /// Only those chosen.
    Selected,
}

/// How deep analyses go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnalysisMode {
    /// The agent decides.
    #[default]
    Auto,
    /// Triage only.
    Shallow,
    /// The whole codebase.
    Deep,
}

/// Whether and which analyses start by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoAnalysis {
    /// Off unless chosen.
    pub enabled: bool,
    /// The least severity that is analysed.
    pub min_severity: MinSeverity,
    /// Whether findings that existed before are analysed too.
    pub include_existing: bool,
}

/// The least severity that automation looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MinSeverity {
    /// Critical only.
    Critical,
    /// High and above.
    #[default]
    High,
    /// Medium and above.
    Medium,
    /// All.
    All,
}

/// Whether recommended dismissals are made by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoDismiss {
    /// Off unless chosen.
    pub enabled: bool,
    /// The least confidence of the analysis.
    pub min_confidence: Confidence,
}

/// How sure an analysis is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Sure.
    #[default]
    High,
    /// Fairly sure.
    Medium,
    /// Not sure.
    Low,
}

impl Confidence {
    /// Whether it is at least so sure.
    pub const fn at_least(self, least: Self) -> bool {
        self.rank() >= least.rank()
    }

    const fn rank(self) -> u8 {
        match self {
            Self::High => 2,
            Self::Medium => 1,
            Self::Low => 0,
        }
    }
}

/// For each severity, how many days a finding may stay open: 1 to 365.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlaDays {
    /// For critical findings.
    pub critical: u16,
    /// For high ones.
    pub high: u16,
    /// For medium ones.
    pub medium: u16,
    /// For low ones.
    pub low: u16,
}

impl Default for SlaDays {
    fn default() -> Self {
        Self {
            critical: 15,
            high: 30,
            medium: 45,
            low: 90,
        }
    }
}

impl SlaDays {
    /// The days that may be configured.
    pub const RANGE: std::ops::RangeInclusive<u16> = 1..=365;

    /// How long a finding of this severity may stay open.
    pub const fn of(&self, severity: Severity) -> Duration {
        let days = match severity {
            Severity::Critical => self.critical,
            Severity::High => self.high,
            Severity::Medium => self.medium,
            Severity::Low => self.low,
        };
        Duration::from_secs(days as u64 * 86_400)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: false,
            repository_selection: RepositorySelection::default(),
            selected_repository_ids: BTreeSet::new(),
            auto_sync: true,
            analysis_mode: AnalysisMode::default(),
            triage_model: "auto".to_owned(),
            analysis_model: "auto".to_owned(),
            auto_analysis: AutoAnalysis::default(),
            auto_dismiss: AutoDismiss::default(),
            sla_days: SlaDays::default(),
        }
    }
}

impl Settings {
    /// Whether a repository of the installation is looked at.
    pub fn covers(&self, repository: RepositoryId) -> bool {
        match self.repository_selection {
            RepositorySelection::All => true,
            RepositorySelection::Selected => self.selected_repository_ids.contains(&repository),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_as_sure_as_oneself_and_surer_than_who_doubts() {
        use Confidence::{High, Low, Medium};
        assert!(High.at_least(High) && High.at_least(Low) && Medium.at_least(Medium));
        assert!(!Medium.at_least(High) && !Low.at_least(Medium));
    }

    #[test]
    fn an_empty_choice_is_nothing_and_never_everything() {
        let settings = Settings {
            repository_selection: RepositorySelection::Selected,
            ..Settings::default()
        };
        assert!(!settings.covers(RepositoryId::new(1)));
    }
}
