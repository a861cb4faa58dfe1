//! Endpoints for tests and the local stack. GitHub has none of these.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::{Router, body::Body, routing};
use jiff::Timestamp;
use serde_json::{Value, json};
use simulation::{Fault, Problem};

use crate::call::RepositoryPath;
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
    let body = Problem::parsed(&body)?;
    simulator.world.faults.register(Fault::parse(&body)?);
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

/// Changes any fields of an alert, as someone else on GitHub would. `updated_at` is now unless given.
async fn change_alert(
    State(simulator): State<Simulator>,
    Path((owner, name, number)): Path<(String, String, u64)>,
    body: Bytes,
) -> Result<Reply, Problem> {
    let changes = object(&body)?;
    if changes.get("number").is_some_and(|given| given != number) {
        return Err(Problem::invalid("/number", "cannot be changed"));
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

/// Adds an alert under the next number. Missing fields get the values of a new, open alert; `dependency`,
/// `security_advisory` and `security_vulnerability` are required.
async fn add_alert(
    State(simulator): State<Simulator>,
    Path((owner, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<Reply, Problem> {
    let given = object(&body)?;
    if given.get("number").is_some() {
        return Err(Problem::invalid("/number", "is assigned by the simulator"));
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

fn object(body: &[u8]) -> Result<Value, Problem> {
    let body = Problem::parsed(body)?;
    if body.is_object() {
        Ok(body)
    } else {
        Err(Problem::invalid("", "must be an object"))
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NoSuchAlert => unknown(),
            ChangeError::Refused(answer) => {
                Self::new(answer.status, "the alert's state does not allow the change")
            }
            ChangeError::Alert(error) => Self::new(StatusCode::BAD_REQUEST, error.to_string()),
            ChangeError::Journal(error) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("cannot store the change: {error}"),
            ),
        }
    }
}

fn unknown() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "the repository or alert does not exist",
    )
}
