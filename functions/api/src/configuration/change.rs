//! The body of a save: the fields that it changes.

use domain::{
    finding::RepositoryId,
    settings::{
        AnalysisMode, AutoAnalysis, AutoDismiss, Confidence, MinSeverity, RepositorySelection,
        Settings, SlaDays,
    },
};
use utoipa::ToSchema;

use crate::{conditional::Expected, fields::Fields, problem::Problem, schema};

/// The most repositories that can be selected.
const MOST_REPOSITORIES: usize = 1000;
/// The longest name of a model, in characters.
const LONGEST_MODEL: usize = 128;

/// A configuration. In a save, omitted fields keep their value, and unknown fields are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigChange {
    /// Whether Security Agent works for the owner. If `false`, nothing is refreshed, dismissed or analysed.
    pub enabled: Option<bool>,
    /// Which repositories are in scope.
    #[schema(schema_with = schema::repository_selection)]
    pub repository_selection: Option<RepositorySelection>,
    /// GitHub's ids of the selected repositories; used if `repositorySelection` is `selected`.
    #[schema(value_type = Option<Vec<u64>>, max_items = 1000)]
    pub selected_repository_ids: Option<Vec<RepositoryId>>,
    /// Whether findings are refreshed every few hours.
    pub auto_sync: Option<bool>,
    /// How deep analyses go.
    #[schema(schema_with = schema::analysis_mode)]
    pub analysis_mode: Option<AnalysisMode>,
    /// The model that triages.
    #[schema(min_length = 1, max_length = 128)]
    pub triage_model: Option<String>,
    /// The model that analyses.
    #[schema(min_length = 1, max_length = 128)]
    pub analysis_model: Option<String>,
    /// Automatic analyses: whether they run, and for which findings.
    pub auto_analysis: Option<AutoAnalysisChange>,
    /// Automatic dismissals: whether they run, and from which confidence.
    pub auto_dismiss: Option<AutoDismissChange>,
    /// For each severity, how many days a finding may stay open.
    pub sla_days: Option<SlaDaysChange>,
    /// Must match `If-Match` if present, so that a configuration can be sent back as it was read.
    pub version: Option<u64>,
}

/// Automatic analyses: whether they run, and for which findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = AutoAnalysis)]
pub struct AutoAnalysisChange {
    /// Initially `false`.
    pub enabled: Option<bool>,
    /// The minimum severity that is analysed.
    #[schema(schema_with = schema::min_severity)]
    pub min_severity: Option<MinSeverity>,
    /// Whether findings that already exist are analysed, too.
    pub include_existing: Option<bool>,
}

/// Automatic dismissals: whether they run, and from which confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = AutoDismiss)]
pub struct AutoDismissChange {
    /// Initially `false`.
    pub enabled: Option<bool>,
    /// The minimum confidence of the analysis.
    #[schema(schema_with = schema::confidence)]
    pub min_confidence: Option<Confidence>,
}

/// For each severity, how many days a finding may stay open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SlaDays)]
pub struct SlaDaysChange {
    /// For critical findings.
    #[schema(minimum = 1, maximum = 365)]
    pub critical: Option<u16>,
    /// For high findings.
    #[schema(minimum = 1, maximum = 365)]
    pub high: Option<u16>,
    /// For medium findings.
    #[schema(minimum = 1, maximum = 365)]
    pub medium: Option<u16>,
    /// For low findings.
    #[schema(minimum = 1, maximum = 365)]
    pub low: Option<u16>,
}

impl ConfigChange {
    /// Reads a body. It may contain the `version` that the caller read, if `If-Match` has the same.
    pub(super) fn read(mut fields: Fields, expected: Expected) -> Result<Self, Problem> {
        let change = Self {
            enabled: fields.take("enabled"),
            repository_selection: fields.take("repositorySelection"),
            selected_repository_ids: fields.list("selectedRepositoryIds", MOST_REPOSITORIES),
            auto_sync: fields.take("autoSync"),
            analysis_mode: fields.take("analysisMode"),
            triage_model: model(&mut fields, "triageModel"),
            analysis_model: model(&mut fields, "analysisModel"),
            auto_analysis: fields.nested("autoAnalysis", |fields| AutoAnalysisChange {
                enabled: fields.take("enabled"),
                min_severity: fields.take("minSeverity"),
                include_existing: fields.take("includeExisting"),
            }),
            auto_dismiss: fields.nested("autoDismiss", |fields| AutoDismissChange {
                enabled: fields.take("enabled"),
                min_confidence: fields.take("minConfidence"),
            }),
            sla_days: fields.nested("slaDays", |fields| SlaDaysChange {
                critical: days(fields, "critical"),
                high: days(fields, "high"),
                medium: days(fields, "medium"),
                low: days(fields, "low"),
            }),
            version: fields.take_if("version", "the version of If-Match", |version: &u64| {
                expected.admits(*version)
            }),
        };
        fields.finish(Some(change))
    }

    /// Applies the change to a configuration.
    pub(super) fn apply(self, before: Settings) -> Settings {
        let ids = self.selected_repository_ids;
        let auto_analysis = self.auto_analysis.unwrap_or_default();
        let auto_dismiss = self.auto_dismiss.unwrap_or_default();
        let sla_days = self.sla_days.unwrap_or_default();
        Settings {
            enabled: self.enabled.unwrap_or(before.enabled),
            repository_selection: self
                .repository_selection
                .unwrap_or(before.repository_selection),
            selected_repository_ids: ids.map_or(before.selected_repository_ids, |ids| {
                ids.into_iter().collect()
            }),
            auto_sync: self.auto_sync.unwrap_or(before.auto_sync),
            analysis_mode: self.analysis_mode.unwrap_or(before.analysis_mode),
            triage_model: self.triage_model.unwrap_or(before.triage_model),
            analysis_model: self.analysis_model.unwrap_or(before.analysis_model),
            auto_analysis: AutoAnalysis {
                enabled: auto_analysis
                    .enabled
                    .unwrap_or(before.auto_analysis.enabled),
                min_severity: auto_analysis
                    .min_severity
                    .unwrap_or(before.auto_analysis.min_severity),
                include_existing: auto_analysis
                    .include_existing
                    .unwrap_or(before.auto_analysis.include_existing),
            },
            auto_dismiss: AutoDismiss {
                enabled: auto_dismiss.enabled.unwrap_or(before.auto_dismiss.enabled),
                min_confidence: auto_dismiss
                    .min_confidence
                    .unwrap_or(before.auto_dismiss.min_confidence),
            },
            sla_days: SlaDays {
                critical: sla_days.critical.unwrap_or(before.sla_days.critical),
                high: sla_days.high.unwrap_or(before.sla_days.high),
                medium: sla_days.medium.unwrap_or(before.sla_days.medium),
                low: sla_days.low.unwrap_or(before.sla_days.low),
            },
        }
    }
}

fn model(fields: &mut Fields, name: &str) -> Option<String> {
    let expected = format!("a name of 1 to {LONGEST_MODEL} characters without control characters");
    fields.take_if(name, &expected, |text: &String| {
        let length = text.chars().take(LONGEST_MODEL + 1).count();
        (1..=LONGEST_MODEL).contains(&length) && !text.chars().any(char::is_control)
    })
}

fn days(fields: &mut Fields, name: &str) -> Option<u16> {
    let expected = format!(
        "a number of days from {} to {}",
        SlaDays::RANGE.start(),
        SlaDays::RANGE.end()
    );
    fields.take_if(name, &expected, |days| SlaDays::RANGE.contains(days))
}
