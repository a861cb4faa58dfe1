//! Endpoints for tests and the local stack. The real agent has none of these.

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::{Json, Router, routing};
use jiff::Timestamp;
use serde_json::{Value, json};
use simulation::{Effect, Fault, Problem};
use uuid::Uuid;

use crate::faults::Tampering;
use crate::session::{Session, State as SessionState};
use crate::sessions::Answered;
use crate::{Simulator, locked, on_disk};

pub(crate) fn router(simulator: Simulator) -> Router {
    Router::new()
        .route(
            "/local/agent/faults",
            routing::post(register_fault).delete(clear_faults),
        )
        .route("/local/agent/sessions", routing::get(list_sessions))
        .route(
            "/local/agent/sessions/{id}/callback",
            routing::post(send_callback),
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
    for effect in simulator.world.faults.clear() {
        if let Effect::Own(Tampering::Hold(lifted)) = effect {
            lifted.cancel();
        }
    }
    StatusCode::NO_CONTENT
}

async fn list_sessions(State(simulator): State<Simulator>) -> Reply {
    let sessions = locked(&simulator.world.sessions);
    let shown: Vec<Value> = sessions.iter().map(Session::shown).collect();
    drop(sessions);
    Json(shown).into_response()
}

/// Sends exactly this body to the session's callback URL, once, in any state and ignoring faults.
///
/// If the body reports an end, the session ends first, and its own callback is cancelled.
async fn send_callback(
    State(simulator): State<Simulator>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Reply, Problem> {
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "the session does not exist");
    let id: Uuid = id.parse().map_err(|_| unknown())?;
    // In a task of its own: once the session has ended, the callback must be sent even if the caller hangs up.
    let sending = tokio::spawn(send(simulator, id, body));
    let sent = sending
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)));
    match sent {
        Ok(Some(answer)) => Ok(Json(json!({"answer": answer.answer})).into_response()),
        Ok(None) => Err(unknown()),
        Err(error) => {
            let detail = format!("cannot store the session: {error}");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail))
        }
    }
}

async fn send(simulator: Simulator, id: Uuid, body: Bytes) -> std::io::Result<Option<Answered>> {
    let status = serde_json::from_slice::<Value>(&body)
        .ok()
        .and_then(|body| Some(body.get("status")?.as_str()?.to_owned()));
    let end = status.as_deref().and_then(SessionState::reported);
    let world = &simulator.world;
    let taken = on_disk(world, move |sessions| {
        let Some(target) = sessions.take_over(id, end)? else {
            return Ok(None);
        };
        Ok(Some((
            target,
            sessions.calling(id, status, Timestamp::now()),
        )))
    });
    let Some((target, call)) = taken.await? else {
        return Ok(None);
    };
    let answer = world.caller.call(&target, body).await;
    let answered = Answered { call, answer };
    on_disk(world, move |sessions| sessions.answered(id, &[answered])).await?;
    Ok(Some(answered))
}
