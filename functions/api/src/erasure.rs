//! `/erasure`: requests the erasure of an owner and shows its status. The erase function carries it out.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::{Timestamp, owner::Owner};
use runtime::queue::Message;
use serde::Serialize;
use store::erasure::Erasure;
use telemetry::chain;
use utoipa::ToSchema;

use crate::{
    App,
    gateway::Now,
    problem::{Code, Problem, ProblemBody},
    query::Query,
    scope::OwnerScope,
};

/// The status of an erasure.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Erasure)]
pub struct ErasureView {
    /// `user:<id>`.
    #[schema(value_type = String, example = "user:auth0|5f7c")]
    owner: Owner,
    status: ErasureStatus,
    /// When the erasure was requested.
    #[schema(value_type = String, format = DateTime)]
    requested_at: Timestamp,
    /// When the erasure was completed.
    #[schema(value_type = Option<String>, format = DateTime)]
    completed_at: Option<Timestamp>,
}

/// Whether data may be left.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasureStatus {
    /// Rows are being deleted.
    Running,
    /// Nothing is left.
    Completed,
}

impl ErasureView {
    fn new(owner: &Owner, erasure: Erasure) -> Self {
        Self {
            owner: owner.clone(),
            status: match erasure.completed_at {
                Some(_) => ErasureStatus::Completed,
                None => ErasureStatus::Running,
            },
            requested_at: erasure.requested_at,
            completed_at: erasure.completed_at,
        }
    }
}

/// Erases an owner: commands, repositories, findings, configuration, integration, audit events and idempotency records.
/// Only `user:` owners can be erased. A repeated request while the erasure runs changes nothing.
#[utoipa::path(delete, path = "/v1/owners/{owner}", operation_id = "eraseOwner",
    params(
        ("owner" = String, Path, description = "`me`, `user:<id>` or `user~<base64url of the id>`, percent-encoded"),
        ("confirm" = String, Query, description = "The owner once more, always as `user:<id>`, percent-encoded")
    ),
    responses(
        (status = 202, description = "The erasure is recorded and will be carried out", body = ErasureView, headers(
            ("Location" = String, description = "Where to read its status"),
            ("Retry-After" = u64, description = "Seconds to wait before reading the status")
        )),
        (status = 401, description = "The token's `auth_time` is more than 10 minutes ago: sign in again", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json")
    ))]
pub async fn begin(
    State(app): State<App>,
    scope: OwnerScope,
    Now(now): Now,
    query: Query,
) -> Result<Response, Problem> {
    let owner = scope.owner();
    if let Owner::Org(_) = owner {
        return Err(Problem::new(
            Code::NotErasable,
            "An organisation cannot be erased. Only a personal owner, user:<id>, can.",
        ));
    }
    confirmed(query, owner)?;
    if !scope.sign_in().is_recent(now) {
        return Err(Problem::new(
            Code::SignInTooOld,
            "Everything of an owner can be erased only within 10 minutes of signing in. Sign in again, then repeat the \
             request.",
        ));
    }
    let erasure = app.erasures.begin(owner, now).await?;
    tracing::info!(owner = %owner.hashed(), "the owner's erasure was requested");
    let message = Message::Erase {
        owner: owner.clone(),
        requested_at: erasure.requested_at,
    };
    // The tombstone is the outbox: if the message is lost, the reconciler sends another.
    let sent = app
        .sender
        .send(&app.erase_queue, &message, Duration::ZERO)
        .await;
    if let Err(error) = sent {
        tracing::warn!(owner = %owner.hashed(), error = %chain(&error), "cannot send the erasure's message; the reconciler sends it");
    }
    let location = scope.path("erasure");
    Ok((
        StatusCode::ACCEPTED,
        [
            (header::LOCATION, location.as_str()),
            (header::RETRY_AFTER, "5"),
        ],
        Json(ErasureView::new(owner, erasure)),
    )
        .into_response())
}

/// Refuses an erasure that does not name the owner once more: `me` alone is too easily sent.
fn confirmed(mut query: Query, owner: &Owner) -> Result<(), Problem> {
    if query.text("confirm") != Some(owner.to_string()) {
        query.refuse("confirm", "must be the owner that is erased, as user:<id>");
    }
    query.finish()
}

/// Returns the latest erasure, until 30 days after its completion.
#[utoipa::path(get, path = "/v1/owners/{owner}/erasure", operation_id = "readErasure",
    params(("owner" = String, Path, description = "`me`, `user:<id>` or `user~<base64url of the id>`, percent-encoded")),
    responses(
        (status = 200, body = ErasureView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json")
    ))]
pub async fn read(
    State(app): State<App>,
    scope: OwnerScope,
    Now(now): Now,
) -> Result<Json<ErasureView>, Problem> {
    let owner = scope.owner();
    let erasure = app.erasures.read(owner, now).await?;
    let erasure = erasure.ok_or_else(Problem::not_found)?;
    Ok(Json(ErasureView::new(owner, erasure)))
}
