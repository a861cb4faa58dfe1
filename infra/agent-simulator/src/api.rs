//! The agent's API: receives launches and interruptions, applies faults, and answers.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::routing;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use simulation::{Effect, Strike, lose_answer};
use uuid::Uuid;

use crate::answer::Answer;
use crate::caller::TRACEPARENT;
use crate::faults::Operation;
use crate::request::{Launch, is_key};
use crate::sessions::Interruption;
use crate::{Simulator, delivery, locked};

const LARGEST_BODY: usize = 1024 * 1024;
const IDEMPOTENCY_KEY: &str = "idempotency-key";

pub(crate) fn router(simulator: Simulator) -> Router {
    Router::new()
        .route("/v1/sessions", routing::post(create_session))
        .route("/v1/sessions/{id}", routing::delete(interrupt_session))
        .fallback(async || no_such("path").into_response())
        .method_not_allowed_fallback(async || {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            Answer::refusal(
                status,
                "METHOD_NOT_ALLOWED",
                "The path does not support this method.",
            )
            .into_response()
        })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(simulator)
}

async fn create_session(
    State(simulator): State<Simulator>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    if let Some(key) = idempotency_key(&headers) {
        locked(&simulator.world.sessions).count(key);
    }
    let perform = move |simulator: &Simulator| simulator.launch(&headers, body);
    receive(simulator, Operation::CreateSession, perform).await
}

async fn interrupt_session(
    State(simulator): State<Simulator>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let perform = move |simulator: &Simulator| simulator.interrupt(&headers, &id);
    receive(simulator, Operation::InterruptSession, perform).await
}

/// Applies a fault to the call, if one matches, and answers it.
async fn receive(
    simulator: Simulator,
    operation: Operation,
    perform: impl FnOnce(&Simulator) -> Result<Answer, Answer> + Send + 'static,
) -> Response<Body> {
    // In a task of its own: a caller that hangs up must not undo its request.
    match tokio::spawn(proceed(simulator, operation, perform)).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "the task that answers a request panicked or was cancelled");
            server_error().into_response()
        }
    }
}

async fn proceed(
    simulator: Simulator,
    operation: Operation,
    perform: impl FnOnce(&Simulator) -> Result<Answer, Answer> + Send + 'static,
) -> Response<Body> {
    let effect = Strike::befall(simulator.world.faults.strike(operation)).await;
    if let Effect::AnswerInstead(answer) = effect {
        return answer.into_response();
    }
    // Blocking: a change waits for the disk.
    let performing = tokio::task::spawn_blocking(move || perform(&simulator));
    let (Ok(performed) | Err(performed)) = performing.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the task that performs a call panicked or was cancelled");
        Err(server_error())
    });
    match effect {
        Effect::PerformThenAnswer(answer) => answer.into_response(),
        Effect::LoseAnswer => lose_answer(),
        // `Own` effects can be registered for callbacks only, so none reaches this match.
        Effect::LetThrough | Effect::AnswerInstead(_) | Effect::Own(_) => performed.into_response(),
    }
}

impl Simulator {
    /// Creates one session per key: the first launch creates it, every later one gets the same ids.
    fn launch(
        &self,
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<Answer, Answer> {
        self.authenticate(headers)?;
        let key = idempotency_key(headers).ok_or_else(|| {
            let message = "Idempotency-Key must have 1 to 255 visible ASCII characters.";
            Answer::refusal(StatusCode::BAD_REQUEST, "IDEMPOTENCY_KEY_REQUIRED", message)
        })?;
        // Locked from lookup to write: two launches with one key must not both create a session.
        let mut sessions = locked(&self.world.sessions);
        if let Some(session) = sessions.replay(key).map_err(not_stored)? {
            return Ok(Answer::json(StatusCode::CREATED, &session.ids()));
        }
        let mut launch = parse(body)?;
        let trace = headers.get(TRACEPARENT).and_then(|it| it.to_str().ok());
        launch.callback.traceparent = trace.map(str::to_owned);
        let session = sessions
            .launch(key, launch, Timestamp::now())
            .map_err(not_stored)?;
        let (id, answer) = (session.cloud_agent_session_id, session.ids());
        drop(sessions);
        delivery::begin(&self.world, id);
        Ok(Answer::json(StatusCode::CREATED, &answer))
    }

    fn interrupt(&self, headers: &HeaderMap, id: &str) -> Result<Answer, Answer> {
        self.authenticate(headers)?;
        let id: Uuid = id.parse().map_err(|_| no_such("session"))?;
        let interruption = locked(&self.world.sessions)
            .interrupt(id)
            .map_err(not_stored)?;
        match interruption {
            Interruption::NotFound => return Err(no_such("session")),
            Interruption::Interrupted => delivery::begin(&self.world, id),
            Interruption::TooLate => {}
        }
        Ok(Answer::no_content())
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<(), Answer> {
        let is_known = bearer(headers).is_some_and(|token| {
            let digest: [u8; 32] = Sha256::digest(token).into();
            // Compares all bytes in constant time, so timing reveals nothing about the token.
            let pairs = digest.iter().zip(&self.world.token_digest);
            pairs.fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
        });
        if is_known {
            return Ok(());
        }
        let status = StatusCode::UNAUTHORIZED;
        let answer = Answer::refusal(status, "UNAUTHORIZED", "The bearer token is not valid.");
        let challenge = HeaderValue::from_static("Bearer");
        Err(answer.with(header::WWW_AUTHENTICATE, challenge))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    // Without this check, a simulator with an empty token would accept an empty bearer token.
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn idempotency_key(headers: &HeaderMap) -> Option<&str> {
    let key = headers.get(IDEMPOTENCY_KEY)?.to_str().ok()?;
    is_key(key).then_some(key)
}

fn parse(body: Result<Bytes, BytesRejection>) -> Result<Launch, Answer> {
    let body = body.map_err(|rejection| {
        Answer::refusal(
            rejection.status(),
            "UNREADABLE_BODY",
            &rejection.body_text(),
        )
    })?;
    let body: Value = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("The body is not valid JSON: {error}.");
        Answer::refusal(StatusCode::BAD_REQUEST, "INVALID_JSON", &message)
    })?;
    Launch::parse(&body).map_err(|error| {
        let message = format!("{} {}.", error.pointer, error.message);
        Answer::refusal(
            StatusCode::UNPROCESSABLE_ENTITY,
            "INVALID_REQUEST",
            message.trim(),
        )
    })
}

fn no_such(thing: &str) -> Answer {
    let message = format!("The {thing} does not exist.");
    Answer::refusal(StatusCode::NOT_FOUND, "NOT_FOUND", &message)
}

fn server_error() -> Answer {
    let message = "The simulator failed.";
    Answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", message)
}

fn not_stored(error: std::io::Error) -> Answer {
    tracing::error!(%error, "cannot store a session");
    server_error()
}
