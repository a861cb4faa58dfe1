//! `/summary`: counts of an owner's findings.

use axum::{Json, extract::State};
use domain::{Timestamp, finding::Severity};
use serde::Serialize;
use store::{analyses, findings::Overdue, repositories::Counts};
use utoipa::ToSchema;

use crate::{
    App,
    gateway::Now,
    problem::{Problem, ProblemBody},
    scope::OwnerScope,
};

/// Counts of an owner's findings.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    findings: FindingCounts,
    analysis: AnalysisCounts,
    sla: SlaCounts,
    /// When the last full sync began in which every repository succeeded or had nothing to sync.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_synced_at: Option<Timestamp>,
}

/// Findings by status, and open findings by severity.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingCounts {
    open: i64,
    fixed: i64,
    ignored: i64,
    open_by_severity: SeverityCounts,
}

/// Open findings by severity.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeverityCounts {
    critical: i64,
    high: i64,
    medium: i64,
    low: i64,
}

/// Findings by the status and result of their latest analysis.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisCounts {
    pending: i64,
    running: i64,
    completed: i64,
    failed: i64,
    exploitable: i64,
    not_exploitable: i64,
}

/// Open findings by due date.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SlaCounts {
    /// Findings past their due date.
    overdue: u64,
    /// Findings due within seven days.
    due_soon: u64,
}

impl From<Counts> for FindingCounts {
    fn from(counts: Counts) -> Self {
        let open = |severity: Severity| counts.open[severity.rank()];
        Self {
            open: counts.open.iter().sum(),
            fixed: counts.fixed,
            ignored: counts.ignored,
            open_by_severity: SeverityCounts {
                critical: open(Severity::Critical),
                high: open(Severity::High),
                medium: open(Severity::Medium),
                low: open(Severity::Low),
            },
        }
    }
}

impl From<analyses::AnalysisCounts> for AnalysisCounts {
    fn from(counts: analyses::AnalysisCounts) -> Self {
        Self {
            pending: counts.pending,
            running: counts.running,
            completed: counts.completed,
            failed: counts.failed,
            exploitable: counts.exploitable,
            not_exploitable: counts.not_exploitable,
        }
    }
}

impl From<Overdue> for SlaCounts {
    fn from(overdue: Overdue) -> Self {
        Self {
            overdue: overdue.overdue,
            due_soon: overdue.due_soon,
        }
    }
}

/// Returns counts of an owner's findings.
#[utoipa::path(get, path = "/v1/owners/{owner}/summary", operation_id = "readSummary",
    params(("owner" = String, Path, description = "`me`, `user:<id>`, `user~<base64url of the id>` or `org:<uuid>`, percent-encoded")),
    responses(
        (status = 200, body = Summary),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json")
    ))]
pub async fn read(
    State(app): State<App>,
    scope: OwnerScope,
    Now(now): Now,
) -> Result<Json<Summary>, Problem> {
    let owner = scope.owner();
    let counts = async {
        let mut counts = Counts::default();
        for record in app.repositories.read(owner).await? {
            counts.add_all(&record.counts);
        }
        Ok::<_, Problem>(counts)
    };
    let sla = async {
        let record = app.owners.read(owner).await?;
        let sla = &record.settings.sla_days;
        let overdue = app.findings.overdue(owner, sla, now).await?;
        Ok((record, overdue))
    };
    let (counts, (record, overdue)) = tokio::try_join!(counts, sla)?;
    Ok(Json(Summary {
        findings: counts.into(),
        analysis: record.analyses.counts.into(),
        sla: overdue.into(),
        last_synced_at: record.last_synced_at,
    }))
}
