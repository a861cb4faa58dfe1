//! The API's own description, generated from the handlers and their types.

use std::sync::Arc;

use axum::{
    Extension, Json,
    response::{IntoResponse as _, Response},
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

/// What the document says beside the routes.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Security Agent",
        description = "Keeps an owner's Dependabot alerts as findings. Each action on them is a command, observable \
                       from its admission to one terminal outcome. `{owner}` is `me`, `user:<id>` or `org:<uuid>`, \
                       percent-encoded; errors are RFC 9457 problems with a stable `code`.",
        license(name = "MIT OR Apache-2.0")
    ),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
pub struct Document;

#[derive(Debug)]
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The document, shared by all requests.
#[derive(Clone)]
pub struct Shared(Arc<openapi::OpenApi>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared(..)")
    }
}

impl From<openapi::OpenApi> for Shared {
    fn from(document: openapi::OpenApi) -> Self {
        Self(Arc::new(document))
    }
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "readOpenApi", security(()),
    responses((status = 200, description = "An OpenAPI 3.1 document", body = serde_json::Value)))]
pub async fn read(Extension(Shared(document)): Extension<Shared>) -> Response {
    Json(document.as_ref()).into_response()
}
