//! `/findings`: an owner's findings and their due dates.

mod view;

use axum::{Json, extract::State};
use domain::{
    finding::{FindingStatus, RepositoryName, Severity},
    owner::Owner,
};
use serde::Serialize;
use store::{
    findings::{AnalysisFilter, FindingFilter, FindingPosition},
    repositories::RepositoryRecord,
};
use utoipa::ToSchema;

use crate::{
    App,
    cursor::Paging,
    gateway::Now,
    problem::{Problem, ProblemBody},
    query::{PAGE, Query},
    scope::{OwnerScope, PathId},
};

pub use view::FindingView;

/// A page of findings, most severe first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingList {
    findings: Vec<FindingView>,
    /// The cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
}

/// The query of a list.
#[derive(Debug)]
struct Asked {
    status: Option<FindingStatus>,
    severity: Option<Severity>,
    repository: Option<RepositoryName>,
    analysis: Option<AnalysisFilter>,
    limit: usize,
    cursor: Option<String>,
}

impl Asked {
    fn read(mut query: Query) -> Result<Self, Problem> {
        let asked = Self {
            status: query.parsed("status", "open, fixed, ignored or closed", |text| {
                text.parse().ok()
            }),
            severity: query.parsed("severity", "critical, high, medium or low", |text| {
                text.parse().ok()
            }),
            repository: query.parsed("repository", "a full name such as octo/app", |text| {
                text.parse().ok()
            }),
            analysis: query.parsed(
                "analysis",
                "none, pending, running, completed or failed",
                |text| text.parse().ok(),
            ),
            limit: query.limit().unwrap_or(PAGE),
            cursor: query.text("cursor"),
        };
        query.finish().map(|()| asked)
    }

    /// The filters in canonical form, for cursors to be bound to.
    fn canonical(&self) -> String {
        let status = self.status.map_or("", FindingStatus::as_str);
        let severity = self.severity.map_or("", Severity::as_str);
        let repository = self.repository.as_ref().map_or("", RepositoryName::as_str);
        let analysis = self.analysis.map_or("", AnalysisFilter::as_str);
        let repository = repository.to_ascii_lowercase();
        format!("status={status}&severity={severity}&repository={repository}&analysis={analysis}")
    }
}

/// Lists findings, most severe first.
#[utoipa::path(get, path = "/v1/owners/{owner}/findings", operation_id = "listFindings",
    params(
        ("owner" = String, Path, description = "`me`, `user:<id>`, `user~<base64url of the id>` or `org:<uuid>`, percent-encoded"),
        ("status" = Option<String>, Query, description = "`open`, `fixed`, `ignored` or `closed`"),
        ("severity" = Option<String>, Query, description = "`critical`, `high`, `medium` or `low`"),
        ("repository" = Option<String>, Query, description = "A full name such as `octo/app`"),
        ("analysis" = Option<String>, Query, description = "`none`, `pending`, `running`, `completed` or `failed`"),
        ("limit" = Option<u8>, Query, description = "1 to 100; default 50", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the previous page")
    ),
    responses(
        (status = 200, body = FindingList),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json")
    ))]
pub async fn list(
    State(app): State<App>,
    scope: OwnerScope,
    Now(now): Now,
    query: Query,
) -> Result<Json<FindingList>, Problem> {
    let owner = scope.owner();
    let mut asked = Asked::read(query)?;
    let canonical = asked.canonical();
    let paging = Paging {
        owner,
        list: "findings",
        query: &canonical,
    };
    let cursor = asked.cursor.take();
    let after = app
        .cursors
        .open(paging, cursor, FindingPosition::parse, now)
        .await?;

    let settings = async { Ok::<_, Problem>(app.owners.read(owner).await?.settings) };
    let page = async {
        let Some(filter) = filter(&app, owner, &asked).await? else {
            return Ok(None);
        };
        let page = app
            .findings
            .list(owner, &filter, asked.limit, after.as_ref());
        Ok(Some(page.await?))
    };
    let (settings, page) = tokio::try_join!(settings, page)?;
    let (records, next) = page.map_or_else(Default::default, |page| (page.findings, page.next));
    let next = next.as_ref().map(FindingPosition::as_str);
    Ok(Json(FindingList {
        findings: records
            .into_iter()
            .map(|record| FindingView::new(record, &settings.sla_days))
            .collect(),
        next_cursor: app.cursors.seal(paging, next, now).await?,
    }))
}

/// Returns the filter with the repository's name resolved; `None` if the owner has no repository of this name.
async fn filter(app: &App, owner: &Owner, asked: &Asked) -> Result<Option<FindingFilter>, Problem> {
    let mut filter = FindingFilter {
        status: asked.status,
        severity: asked.severity,
        repository: None,
        analysis: asked.analysis,
    };
    if let Some(name) = &asked.repository {
        let known = app.repositories.read(owner).await?;
        let named = |record: &&RepositoryRecord| record.repository.name.same_as(name);
        // A name may have passed from one repository to another. The listed one has it now.
        let of_this_name = known
            .iter()
            .filter(named)
            .max_by_key(|record| record.listed);
        let Some(record) = of_this_name else {
            return Ok(None);
        };
        filter.repository = Some(record.repository.id);
    }
    Ok(Some(filter))
}

/// Returns a finding.
#[utoipa::path(get, path = "/v1/owners/{owner}/findings/{id}", operation_id = "readFinding",
    params(
        ("owner" = String, Path, description = "`me`, `user:<id>`, `user~<base64url of the id>` or `org:<uuid>`, percent-encoded"),
        ("id" = String, Path, description = "The finding's id")
    ),
    responses(
        (status = 200, body = FindingView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json")
    ))]
pub async fn read(
    State(app): State<App>,
    scope: OwnerScope,
    PathId(id): PathId,
) -> Result<Json<FindingView>, Problem> {
    let id = id.parse().map_err(|_| Problem::not_found())?;
    let owner = scope.owner();
    let settings = async { Ok::<_, Problem>(app.owners.read(owner).await?.settings) };
    let record = async { Ok(app.findings.read(owner, id).await?) };
    let (settings, record) = tokio::try_join!(settings, record)?;
    let record = record.ok_or_else(Problem::not_found)?;
    Ok(Json(FindingView::new(record, &settings.sla_days)))
}
