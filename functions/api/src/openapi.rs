//! The API's description, generated from the handlers and their types. Generated on request, because it would take a
//! tenth of a process's start-up time.

use axum::Json;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

/// The OpenAPI document.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Security Agent",
        description = "Keeps an owner's Dependabot alerts as findings. Each action on them is a command, observable \
                       from its admission to one terminal outcome. `{owner}` is `me`, `user:<id>` or `org:<uuid>`, \
                       percent-encoded. A person whose id contains `?`, `#`, `%` or `+`, which gateways may misread even \
                       encoded, is written `me` or `user~` with the id's UTF-8 in base64url, without padding. Errors are \
                       RFC 9457 problems with a stable `code`.",
        license(name = "MIT")
    ),
    paths(
        crate::commands::admit,
        crate::commands::list,
        crate::commands::read,
        crate::findings::list,
        crate::findings::read,
        crate::repositories::list,
        crate::summary::read,
        crate::configuration::read,
        crate::configuration::write,
        crate::integration::read,
        crate::audit_events::list,
        crate::erasure::begin,
        crate::erasure::read,
        crate::callback::receive,
        crate::service::health,
        read
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
        let capability = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "The token that the launch gave the agent, for one finding and one attempt",
            ))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        components.add_security_scheme("capability", SecurityScheme::Http(capability));
    }
}

/// Returns this document.
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "readOpenApi", security(()),
    responses((status = 200, description = "An OpenAPI 3.1 document", body = serde_json::Value)))]
pub async fn read() -> Json<openapi::OpenApi> {
    Json(Document::openapi())
}
