//! Endpoints for tests and the local stack. GitHub has none of these.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::{Router, body::Body, routing};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::call::RepositoryPath;
use crate::faults::Fault;
use crate::version::ApiVersion;
use crate::{ChangeError, Simulator};

pub(crate) fn router(simulator: Simulator) -> Router {
    Router::new()
        .route(
            "/local/github/faults",
            routing::post(register_fault).delete(clear_faults),
        )
        .route("/local/github/requests", routing::get(list_requests))
        .route("/local/github/tokens", routing::delete(revoke_tokens))
        .route(
            "/local/github/alerts/{owner}/{repository}",
            routing::get(list_alerts).post(add_alert),
        )
        .route(
            "/local/github/alerts/{owner}/{repository}/{number}",
            routing::get(show_alert).patch(change_alert),
        )
        .with_state(simulator)
}

type Reply = Response<Body>;

async fn register_fault(State(simulator): State<Simulator>, body: Bytes) -> Result<Reply, Problem> {
    let body = parse(&body)?;
    let fault =
        Fault::parse(&body).map_err(|error| Problem::invalid(&error.pointer, error.message))?;
    simulator.world.faults.register(fault);
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn clear_faults(State(simulator): State<Simulator>) -> StatusCode {
    simulator.world.faults.clear();
    StatusCode::NO_CONTENT
}

async fn list_requests(State(simulator): State<Simulator>) -> Reply {
    Json(simulator.world.requests.list()).into_response()
}

async fn revoke_tokens(State(simulator): State<Simulator>) -> StatusCode {
    simulator.revoke_tokens();
    StatusCode::NO_CONTENT
}

async fn list_alerts(
    State(simulator): State<Simulator>,
    Path((owner, name)): Path<(String, String)>,
) -> Result<Reply, Problem> {
    let served = simulator
        .served(&named(&owner, &name))
        .ok_or_else(unknown)?;
    let alerts = served.alerts();
    let texts: Vec<_> = alerts
        .iter()
        .map(|alert| alert.text(ApiVersion::DEFAULT))
        .collect();
    Ok(Json(texts).into_response())
}

async fn show_alert(
    State(simulator): State<Simulator>,
    Path((owner, name, number)): Path<(String, String, u64)>,
) -> Result<Reply, Problem> {
    let served = simulator
        .served(&named(&owner, &name))
        .ok_or_else(unknown)?;
    let alerts = served.alerts();
    let alert = alerts.get(number).ok_or_else(unknown)?;
    Ok(Json(alert.text(ApiVersion::DEFAULT)).into_response())
}

/// Changes an alert as if someone else had: any fields, `updated_at` now unless given.
async fn change_alert(
    State(simulator): State<Simulator>,
    Path((owner, name, number)): Path<(String, String, u64)>,
    body: Bytes,
) -> Result<Reply, Problem> {
    let changes = object(&body)?;
    if changes.get("number").is_some_and(|given| given != number) {
        return Err(Problem::invalid("/number", "cannot change"));
    }
    on_disk(move || {
        let served = simulator
            .served(&named(&owner, &name))
            .ok_or_else(unknown)?;
        let changed = simulator.change_alert(served, number, Timestamp::now(), |_, now| {
            let mut dated = json!({"updated_at": now.to_string()});
            overlay(&mut dated, changes);
            Ok(dated)
        });
        let alert = changed?;
        Ok(Json(alert.text(ApiVersion::DEFAULT)).into_response())
    })
    .await
}

/// Adds an alert under the next number. What the body leaves out is that of a new, open alert;
/// `dependency`, `security_advisory` and `security_vulnerability` must be there.
async fn add_alert(
    State(simulator): State<Simulator>,
    Path((owner, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<Reply, Problem> {
    let given = object(&body)?;
    if given.get("number").is_some() {
        return Err(Problem::invalid("/number", "is assigned here"));
    }
    on_disk(move || {
        let served = simulator.served(&named(&owner, &name)).ok_or_else(unknown)?;
        let full_name = &served.repository.full_name;
        let added = simulator.add_alert(served, Timestamp::now(), |number, now| {
            let mut alert = json!({
                "number": number,
                "state": "open",
                "url": format!("https://api.github.com/repos/{full_name}/dependabot/alerts/{number}"),
                "html_url": format!("https://github.com/{full_name}/security/dependabot/{number}"),
                "created_at": now.to_string(),
                "updated_at": now.to_string(),
                "dismissal_request": null,
                "assignees": [],
                "dismissed_at": null,
                "dismissed_by": null,
                "dismissed_reason": null,
                "dismissed_comment": null,
                "fixed_at": null,
                "auto_dismissed_at": null,
            });
            overlay(&mut alert, given);
            alert
        });
        let alert = added?;
        Ok((StatusCode::CREATED, Json(alert.text(ApiVersion::DEFAULT))).into_response())
    })
    .await
}

async fn on_disk(
    work: impl FnOnce() -> Result<Reply, Problem> + Send + 'static,
) -> Result<Reply, Problem> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.unwrap_or_else(|error| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Err(Problem::new(status, error.to_string()))
    })
}

fn named(owner: &str, name: &str) -> RepositoryPath {
    RepositoryPath::Named(format!("{owner}/{name}"))
}

fn overlay(base: &mut Value, given: Value) {
    if let (Value::Object(base), Value::Object(given)) = (base, given) {
        base.extend(given);
    }
}

fn parse(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let detail = format!("the body is not JSON: {error}");
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })
}

fn object(body: &[u8]) -> Result<Value, Problem> {
    let body = parse(body)?;
    if body.is_object() {
        Ok(body)
    } else {
        Err(Problem::invalid("", "must be an object"))
    }
}

/// A refusal, RFC 9457.
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    detail: String,
    /// JSON pointer to what is wrong, and why.
    error: Option<(String, &'static str)>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            error: None,
        }
    }

    fn invalid(pointer: &str, message: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            detail: format!("{pointer} {message}").trim().to_owned(),
            error: Some((pointer.to_owned(), message)),
        }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NoSuchAlert => unknown(),
            ChangeError::Refused(answer) => {
                Self::new(answer.status, "the alert's state does not allow this")
            }
            ChangeError::Alert(error) => Self::new(StatusCode::BAD_REQUEST, error.to_string()),
            ChangeError::Journal(error) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("could not store the change: {error}"),
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Reply {
        let code = match self.status {
            StatusCode::BAD_REQUEST => "INVALID_REQUEST",
            StatusCode::NOT_FOUND => "NOT_FOUND",
            _ => "INTERNAL_ERROR",
        };
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": code,
        });
        if let Some((pointer, message)) = self.error {
            body["errors"] = json!([{"pointer": pointer, "message": message}]);
        }
        let media_type = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, media_type, body.to_string()).into_response()
    }
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no such repository or alert")
}
