//! Without a configured issuer, the dashboard lets users on this machine choose who they are. The module that it
//! loads for this is served here, so the deployed page does not contain it.

use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header;
use serde_json::json;

/// Serves these paths in place of the dashboard's function.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route(
            "/dashboard.json",
            get(async || Json(json!({"module": "/local/sign-in.js"}))),
        )
        .route("/local/sign-in.js", get(module))
}

async fn module() -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (content_type, include_str!("sign_in.js")).into_response()
}
