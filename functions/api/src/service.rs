//! `/health`: whether the service runs.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// The service's health.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Reports that the service answers. Does not check its dependencies.
#[utoipa::path(get, path = "/v1/health", operation_id = "readHealth", security(()),
    responses((status = 200, body = Health)))]
pub async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}
