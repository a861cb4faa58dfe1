//! `/repositories`: what the installation holds, and how fresh it is.

use axum::{Json, extract::State};
use domain::{
    Timestamp,
    finding::{RepositoryId, RepositoryName},
    settings::{RepositorySelection, Settings},
};
use serde::Serialize;
use store::repositories::{RepositoryFailure, RepositoryRecord};
use utoipa::ToSchema;

use crate::{
    App,
    cursor::Paging,
    gateway::Now,
    problem::{Problem, ProblemBody},
    query::Query,
    scope::OwnerScope,
};

/// Repositories by name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryList {
    repositories: Vec<RepositoryView>,
    /// Continues the list; `null` at its end.
    next_cursor: Option<String>,
}

/// A repository and its freshness.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Repository)]
pub struct RepositoryView {
    /// GitHub's id.
    #[schema(value_type = u64)]
    id: RepositoryId,
    #[schema(value_type = String, example = "octo/app")]
    full_name: RepositoryName,
    private: bool,
    /// Whether syncs of everything look at it.
    in_scope: bool,
    /// When it was last asked for.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_attempted_at: Option<Timestamp>,
    /// When that last succeeded.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_succeeded_at: Option<Timestamp>,
    /// Why the last attempt failed, if it did.
    #[schema(value_type = Option<String>, example = "REPOSITORY_UNAVAILABLE")]
    last_failure_code: Option<RepositoryFailure>,
}

impl RepositoryView {
    fn new(record: RepositoryRecord, settings: &Settings) -> Self {
        Self {
            in_scope: settings.enabled && settings.covers(record.repository.id),
            id: record.repository.id,
            full_name: record.repository.name,
            private: record.private,
            last_attempted_at: record.last_attempted_at,
            last_succeeded_at: record.last_succeeded_at,
            last_failure_code: record.last_failure,
        }
    }

    /// By name, whatever its case. Of two that had one name, by id.
    fn position(&self) -> String {
        format!(
            "{}#{}",
            self.full_name.as_str().to_ascii_lowercase(),
            self.id
        )
    }
}

/// Lists every repository of the installation, and those chosen that are no longer in it. All at once without `limit`.
#[utoipa::path(get, path = "/v1/owners/{owner}/repositories", operation_id = "listRepositories",
    params(
        ("owner" = String, Path, description = "`me`, `user:<id>` or `org:<uuid>`, percent-encoded"),
        ("limit" = Option<u8>, Query, description = "1 to 100; all unless given", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "Continues where `nextCursor` was given")
    ),
    responses(
        (status = 200, body = RepositoryList),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json")
    ))]
pub async fn list(
    State(app): State<App>,
    scope: OwnerScope,
    Now(now): Now,
    mut query: Query,
) -> Result<Json<RepositoryList>, Problem> {
    let limit = query.limit().unwrap_or(usize::MAX);
    let cursor = query.text("cursor");
    query.finish()?;
    let owner = scope.owner();
    let paging = Paging {
        owner,
        list: "repositories",
        query: "",
    };
    let after = app
        .cursors
        .open(paging, cursor, |text| Some(text.to_owned()), now)
        .await?;

    let settings = async { Ok::<_, Problem>(app.owners.read(owner).await?.settings) };
    let records = async { Ok(app.repositories.read(owner).await?) };
    let (settings, records) = tokio::try_join!(settings, records)?;
    let mut repositories: Vec<(String, RepositoryView)> = records
        .into_iter()
        .filter(|record| record.listed || chosen(&settings, record.repository.id))
        .map(|record| RepositoryView::new(record, &settings))
        .map(|repository| (repository.position(), repository))
        .filter(|(position, _)| after.as_ref().is_none_or(|after| position > after))
        .collect();
    repositories.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let more = repositories.len() > limit;
    repositories.truncate(limit);
    let last = repositories.last().filter(|_| more);
    let next = last.map(|(position, _)| position);
    Ok(Json(RepositoryList {
        next_cursor: app.cursors.seal(paging, next, now).await?,
        repositories: repositories
            .into_iter()
            .map(|(_, repository)| repository)
            .collect(),
    }))
}

fn chosen(settings: &Settings, repository: RepositoryId) -> bool {
    settings.repository_selection == RepositorySelection::Selected && settings.covers(repository)
}
