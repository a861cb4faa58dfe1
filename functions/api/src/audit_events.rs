//! `/audit-events`: effects on an owner's data, and who caused them.

use axum::{Json, extract::State};
use domain::{Timestamp, command::CommandId};
use serde::Serialize;
use serde_json::{Map, Value};
use store::audit::{AuditAction, AuditEvent, AuditPosition, ResourceType};
use utoipa::ToSchema;

use crate::{
    App,
    cursor::Paging,
    gateway::Now,
    problem::{Problem, ProblemBody},
    query::{PAGE, Query},
    schema,
    scope::OwnerScope,
};

/// Audit events, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEventList {
    audit_events: Vec<AuditEventView>,
    /// The cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
}

/// An effect on the owner's data. Each effect has one event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEvent)]
pub struct AuditEventView {
    #[schema(format = "uuid")]
    id: String,
    #[schema(schema_with = schema::audit_action)]
    action: AuditAction,
    /// `user:<id>` of the person who asked, `security-agent` for automation, or `operator` for who connected the owner.
    #[schema(example = "user:auth0|5f7c")]
    actor: String,
    #[schema(schema_with = schema::resource_type)]
    resource_type: ResourceType,
    #[schema(example = "dependabot-700000001-42")]
    resource_id: String,
    /// The command that had the effect, if one did.
    #[schema(value_type = Option<String>, format = "uuid")]
    command_id: Option<CommandId>,
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Timestamp,
    /// Details of the action: codes, numbers and settings. What was changed has its fields in `before` and `after`, under
    /// the names that they have in a configuration or an integration, and no field that stayed the same. Of
    /// `selectedRepositoryIds` these are the `count`, and at most 20 of the ids that were `removed` and `added`.
    #[schema(value_type = Object)]
    details: Map<String, Value>,
}

impl From<AuditEvent> for AuditEventView {
    fn from(event: AuditEvent) -> Self {
        Self {
            id: event.id.to_string(),
            action: event.action,
            actor: event.actor.to_string(),
            resource_type: event.resource_type,
            resource_id: event.resource_id,
            command_id: event.command,
            occurred_at: event.occurred_at,
            details: event.details,
        }
    }
}

/// Lists audit events, newest first.
#[utoipa::path(get, path = "/v1/owners/{owner}/audit-events", operation_id = "listAuditEvents",
    params(
        ("owner" = String, Path, description = "`me`, `user:<id>`, `user~<base64url of the id>` or `org:<uuid>`, percent-encoded"),
        ("limit" = Option<u8>, Query, description = "1 to 100; default 50", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the previous page")
    ),
    responses(
        (status = 200, body = AuditEventList),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json")
    ))]
pub async fn list(
    State(app): State<App>,
    scope: OwnerScope,
    Now(now): Now,
    mut query: Query,
) -> Result<Json<AuditEventList>, Problem> {
    let limit = query.limit().unwrap_or(PAGE);
    let cursor = query.text("cursor");
    query.finish()?;
    let owner = scope.owner();
    let paging = Paging {
        owner,
        list: "audit-events",
        query: "",
    };
    let after = app
        .cursors
        .open(paging, cursor, AuditPosition::parse, now)
        .await?;
    let page = app.audit.list(owner, limit, after.as_ref()).await?;
    let next = page.next.as_ref().map(AuditPosition::as_str);
    Ok(Json(AuditEventList {
        next_cursor: app.cursors.seal(paging, next, now).await?,
        audit_events: page.events.into_iter().map(AuditEventView::from).collect(),
    }))
}
