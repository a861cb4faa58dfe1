//! An owner's configuration. Pure data; stored by `owners`.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::finding::{RepositoryId, Severity};

/// An owner's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// Whether Security Agent does anything for the owner.
    pub enabled: bool,
    /// Which repositories are in scope.
    pub repository_selection: RepositorySelection,
    /// The repositories in scope if the selection is `selected`. An empty set then means no repository.
    pub selected_repository_ids: BTreeSet<RepositoryId>,
    /// Whether findings are refreshed on schedule.
    pub auto_sync: bool,
    /// How deep analyses go.
    pub analysis_mode: AnalysisMode,
    /// The model for triage.
    pub triage_model: String,
    /// The model for analysis.
    pub analysis_model: String,
    /// Automatic analyses.
    pub auto_analysis: AutoAnalysis,
    /// Automatic dismissals.
    pub auto_dismiss: AutoDismiss,
    /// How long a finding may stay open.
    pub sla_days: SlaDays,
}

/// Which repositories are in scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepositorySelection {
    /// All repositories of the installation.
    #[default]
    All,
    /// Only the selected repositories.
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

/// Automatic analyses: whether they run, and for which findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoAnalysis {
    /// Off unless chosen.
    pub enabled: bool,
    /// The minimum severity.
    pub min_severity: MinSeverity,
    /// Whether findings that existed before automation was enabled are included.
    pub include_existing: bool,
}

/// The minimum severity for automation.
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

/// Automatic dismissals: whether recommended dismissals are made, and from which confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoDismiss {
    /// Off unless chosen.
    pub enabled: bool,
    /// The minimum confidence of the analysis.
    pub min_confidence: Confidence,
}

/// The confidence of an analysis in its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// High confidence.
    #[default]
    High,
    /// Medium confidence.
    Medium,
    /// Low confidence.
    Low,
}

impl Confidence {
    /// Whether it is at least `least`.
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

/// For each severity, the days that a finding may stay open: 1 to 365.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlaDays {
    /// For critical findings.
    pub critical: u16,
    /// For high findings.
    pub high: u16,
    /// For medium findings.
    pub medium: u16,
    /// For low findings.
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
    /// The allowed range of days.
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
    /// Whether a repository of the installation is in scope.
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
    fn a_confidence_is_at_least_itself_and_every_lower_one() {
        use Confidence::{High, Low, Medium};
        assert!(High.at_least(High) && High.at_least(Low) && Medium.at_least(Medium));
        assert!(!Medium.at_least(High) && !Low.at_least(Medium));
    }

    #[test]
    fn an_empty_selection_covers_no_repository() {
        let settings = Settings {
            repository_selection: RepositorySelection::Selected,
            ..Settings::default()
        };
        assert!(!settings.covers(RepositoryId::new(1)));
    }
}
