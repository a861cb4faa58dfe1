//! A finding as the API shows it.

use domain::{
    Timestamp,
    analysis::{
        Analysis, AnalysisResult, AnalysisStatus, Exploitability, FailureCode, SessionId,
        SuggestedAction,
    },
    finding::{
        AlertNumber, CvssScore, DependencyScope, FindingId, FindingStatus, IgnoredReason, Package,
        RepositoryName, Severity,
    },
    settings::{Confidence, SlaDays},
};
use serde::{Serialize, Serializer};
use store::findings::FindingRecord;
use utoipa::ToSchema;

use crate::schema;

/// One vulnerability that Dependabot found in one repository.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Finding)]
pub struct FindingView {
    #[schema(value_type = String, example = "dependabot-700000001-42")]
    id: FindingId,
    /// The repository's full name.
    #[schema(value_type = String, example = "octo/app")]
    repository: RepositoryName,
    /// Always `dependabot`.
    source: &'static str,
    /// The alert's number in its repository.
    #[schema(value_type = String, example = "42")]
    #[serde(serialize_with = "as_text")]
    source_id: AlertNumber,
    #[schema(schema_with = schema::severity)]
    severity: Severity,
    #[schema(schema_with = schema::finding_status)]
    status: FindingStatus,
    /// Why the finding is ignored, if it is.
    #[schema(value_type = Option<String>)]
    ignored_reason: Option<IgnoredReason>,
    /// The GitHub login that dismissed the alert, if known.
    ignored_by: Option<String>,
    #[schema(value_type = PackageView)]
    package: Package,
    #[schema(example = "< 7.5.2")]
    vulnerable_version_range: String,
    patched_version: Option<String>,
    manifest_path: String,
    #[schema(schema_with = schema::dependency_scope)]
    dependency_scope: Option<DependencyScope>,
    ghsa_id: String,
    cve_id: Option<String>,
    #[schema(value_type = Option<f64>)]
    cvss_score: Option<CvssScore>,
    cwe_ids: Vec<String>,
    title: String,
    /// The advisory's text, in Markdown.
    description: String,
    /// The alert's page at GitHub.
    url: String,
    #[schema(value_type = String, format = DateTime)]
    first_detected_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    fixed_at: Option<Timestamp>,
    /// When the finding becomes overdue, by the owner's current configuration.
    #[schema(value_type = String, format = DateTime)]
    sla_due_at: Timestamp,
    /// When the finding was last compared with GitHub.
    #[schema(value_type = String, format = DateTime)]
    last_synced_at: Timestamp,
    /// The latest analysis; `null` if there is none.
    analysis: Option<AnalysisView>,
}

/// The latest analysis of a finding.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Analysis)]
pub(crate) struct AnalysisView {
    #[schema(schema_with = schema::analysis_status)]
    status: AnalysisStatus,
    /// When the agent started.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    completed_at: Option<Timestamp>,
    /// The agent's session in its cloud.
    #[schema(value_type = Option<String>)]
    cloud_agent_session_id: Option<SessionId>,
    /// The agent's session for its command line.
    #[schema(value_type = Option<String>)]
    cli_session_id: Option<SessionId>,
    /// Why the analysis failed, if it did.
    #[schema(value_type = Option<String>, example = "RUN_LOST")]
    failure_code: Option<FailureCode>,
    /// The result, if the analysis completed.
    #[schema(value_type = Option<AnalysisResultView>)]
    result: Option<AnalysisResult>,
}

/// The result of an analysis.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AnalysisResult)]
#[expect(
    dead_code,
    reason = "describes the domain's type, which knows no schemas"
)]
struct AnalysisResultView {
    #[schema(schema_with = schema::exploitability)]
    exploitability: Exploitability,
    reasoning: String,
    /// Where the vulnerable code is used, in the agent's own format.
    usage_locations: Vec<serde_json::Value>,
    suggested_fix: Option<String>,
    #[schema(schema_with = schema::suggested_action)]
    suggested_action: SuggestedAction,
    #[schema(schema_with = schema::confidence)]
    confidence: Confidence,
    summary: String,
}

impl From<Analysis> for AnalysisView {
    fn from(analysis: Analysis) -> Self {
        Self {
            status: analysis.status,
            started_at: analysis.started_at,
            completed_at: analysis.completed_at,
            cloud_agent_session_id: analysis.cloud_session,
            cli_session_id: analysis.cli_session,
            failure_code: analysis.failure,
            result: analysis.result,
        }
    }
}

/// A package in its ecosystem.
#[derive(Debug, ToSchema)]
#[schema(as = Package)]
#[expect(
    dead_code,
    reason = "describes the domain's type, which knows no schemas"
)]
struct PackageView {
    #[schema(example = "npm")]
    ecosystem: String,
    #[schema(example = "lodash")]
    name: String,
}

impl FindingView {
    /// Returns the finding, with its due date by `sla`.
    pub fn new(record: FindingRecord, sla: &SlaDays) -> Self {
        let FindingRecord {
            finding,
            analysis,
            last_synced_at,
            ..
        } = record;
        Self {
            id: finding.id,
            repository: finding.repository,
            source: finding.id.source.as_str(),
            source_id: finding.id.number,
            severity: finding.severity,
            status: finding.status,
            ignored_reason: finding.ignored_reason,
            ignored_by: finding.ignored_by,
            package: finding.package,
            vulnerable_version_range: finding.vulnerable_version_range,
            patched_version: finding.patched_version,
            manifest_path: finding.manifest_path,
            dependency_scope: finding.dependency_scope,
            ghsa_id: finding.ghsa_id,
            cve_id: finding.cve_id,
            cvss_score: finding.cvss_score,
            cwe_ids: finding.cwe_ids,
            title: finding.title,
            description: finding.description,
            url: finding.url,
            first_detected_at: finding.first_detected_at,
            fixed_at: finding.fixed_at,
            sla_due_at: finding.first_detected_at + sla.of(finding.severity),
            last_synced_at,
            analysis: analysis.map(AnalysisView::from),
        }
    }
}

fn as_text<S: Serializer>(number: &AlertNumber, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}
