//! `/repositories`: the installation's repositories, and when each was last refreshed.

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

/// Repositories, sorted by name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryList {
    repositories: Vec<RepositoryView>,
    /// The cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
}

/// A repository and when it was last refreshed.
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
    /// Whether a full sync includes the repository.
    in_scope: bool,
    /// When a refresh was last attempted.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_attempted_at: Option<Timestamp>,
    /// When a refresh last succeeded.
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

    /// The sort key: the name without regard to case, then the id, because two repositories may have had the same name.
    fn position(&self) -> String {
        format!(
            "{}#{}",
            self.full_name.as_str().to_ascii_lowercase(),
            self.id
        )
    }
}

/// Lists the installation's repositories and selected repositories that have left it. Without `limit`, on one page.
#[utoipa::path(get, path = "/v1/owners/{owner}/repositories", operation_id = "listRepositories",
    params(
        ("owner" = String, Path, description = "`me`, `user:<id>`, `user~<base64url of the id>` or `org:<uuid>`, percent-encoded"),
        ("limit" = Option<u8>, Query, description = "1 to 100; without it, all are returned on one page", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the previous page")
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
