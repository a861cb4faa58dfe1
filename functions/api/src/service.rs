//! The service itself: whether it runs.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// That the service answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Says that the service answers. Asks no other service: what they do is seen from the requests that need them.
#[utoipa::path(get, path = "/v1/health", operation_id = "readHealth", security(()),
    responses((status = 200, body = Health)))]
pub async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}
