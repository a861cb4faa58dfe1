//! `/integration`: an owner's connection to GitHub.

use axum::{Json, extract::State};
use domain::Timestamp;
use serde::Serialize;
use store::owners::Integration;
use utoipa::ToSchema;

use crate::{
    App,
    problem::{Problem, ProblemBody},
    scope::OwnerScope,
};

/// An owner's connection to an installation of the GitHub App.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Integration)]
pub struct IntegrationView {
    connected: bool,
    /// GitHub's id of the installation.
    installation_id: Option<u64>,
    /// Whether the App may read Dependabot alerts there; required to enable Security Agent.
    can_read_alerts: bool,
    /// When GitHub began to reject the App's credentials, if it does.
    #[schema(value_type = Option<String>, format = DateTime)]
    auth_invalid_at: Option<Timestamp>,
}

impl From<Integration> for IntegrationView {
    fn from(integration: Integration) -> Self {
        Self {
            connected: true,
            installation_id: Some(integration.installation.get()),
            can_read_alerts: integration.can_read_alerts,
            auth_invalid_at: integration.auth_invalid_at,
        }
    }
}

/// Returns an owner's connection to GitHub.
#[utoipa::path(get, path = "/v1/owners/{owner}/integration", operation_id = "readIntegration",
    params(("owner" = String, Path, description = "`me`, `user:<id>`, `user~<base64url of the id>` or `org:<uuid>`, percent-encoded")),
    responses(
        (status = 200, body = IntegrationView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json")
    ))]
pub async fn read(
    State(app): State<App>,
    scope: OwnerScope,
) -> Result<Json<IntegrationView>, Problem> {
    let record = app.owners.read(scope.owner()).await?;
    let integration = record.integration.map(IntegrationView::from);
    Ok(Json(integration.unwrap_or_default()))
}
