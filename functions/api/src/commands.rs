//! `/commands`: admits commands and shows their status and outcome.

mod list;
mod request;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::{
    Timestamp,
    command::{Command, CommandKey, IdempotencyKey},
    lifecycle::Status,
};
use store::ledger::NewCommand;

use crate::{
    App,
    admission::{Admission, admit as admit_command},
    body::JsonBody,
    command_view::CommandView,
    conditional::representation,
    failure::being_erased,
    gateway::Now,
    problem::{Code, Invalid, Problem, ProblemBody},
    scope::{OwnerScope, PathId},
};

pub use list::{__path_list, CommandList, list};
pub use request::CommandRequest;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Admits a command. A repeated request with the same `Idempotency-Key` returns the same command.
#[utoipa::path(post, path = "/v1/owners/{owner}/commands", operation_id = "admitCommand",
    params(
        ("owner" = String, Path, description = "`me`, `user:<id>`, `user~<base64url of the id>` or `org:<uuid>`, percent-encoded"),
        ("Idempotency-Key" = Option<String>, Header, description = "Identifies the request across retries: 1 to 255 visible ASCII characters")
    ),
    request_body = CommandRequest,
    responses(
        (status = 202, description = "The command is stored and queued", body = CommandView, headers(
            ("Location" = String, description = "Where to read its status"),
            ("Retry-After" = u64, description = "Seconds to wait before reading the status"),
            ("Idempotent-Replayed" = bool, description = "`true` if an earlier request with this key created the command")
        )),
        (status = 409, description = "The owner is being erased", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The command could not be queued and is in the body, or commands of its type are \
            paused and none was created", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json")
    ))]
pub async fn admit(
    State(app): State<App>,
    scope: OwnerScope,
    Now(now): Now,
    headers: HeaderMap,
    JsonBody(fields): JsonBody,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let CommandRequest { action, origin } = CommandRequest::read(fields)?;
    let new = NewCommand {
        owner: scope.owner().clone(),
        action,
        origin,
        actor: scope.actor(),
        key,
    };
    match admit_command(&app, new, now).await? {
        Admission::Accepted(command) => Ok(accepted(&scope, command)),
        Admission::Replayed(command) => {
            let mut response = accepted(&scope, command);
            let replayed = HeaderValue::from_static("true");
            response.headers_mut().insert(IDEMPOTENT_REPLAYED, replayed);
            Ok(response)
        }
        Admission::KeyReused => Err(Problem::new(
            Code::IdempotencyKeyReused,
            "This Idempotency-Key was used for another request. Use a new key for a new request.",
        )),
        Admission::Paused(kind) => Err(Problem::new(
            Code::CommandPaused,
            format!(
                "Commands of type {} are paused, and this one was not stored. Try again later; commands admitted \
                 earlier still run.",
                kind.as_str()
            ),
        )),
        Admission::BeingErased => Err(being_erased()),
        Admission::NoFinding => Err(Problem::not_found()),
        Admission::NotQueued(command) => Err(not_queued(command)),
    }
}

fn accepted(scope: &OwnerScope, command: Command) -> Response {
    let location = scope.path(format_args!("commands/{}", command.key.id));
    (
        StatusCode::ACCEPTED,
        [
            (header::LOCATION, location.as_str()),
            (header::RETRY_AFTER, "1"),
        ],
        axum::Json(CommandView::from(command)),
    )
        .into_response()
}

fn not_queued(command: Command) -> Problem {
    let detail = if command.status().is_terminal() {
        "The command was stored but could not be queued, so it failed. Send the request again; with the same \
         Idempotency-Key it retries this command."
    } else {
        "The command was stored, but it is unknown whether it was queued. It is retried shortly; check its status \
         before you send the request again."
    };
    Problem::new(Code::QueueAdmissionFailed, detail).about(command.into())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(given) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    IdempotencyKey::parse(given.to_str().unwrap_or_default())
        .map(Some)
        .map_err(|error| {
            let invalid = Invalid::new("/headers/idempotency-key", error.to_string());
            Problem::invalid(vec![invalid])
        })
}

/// Returns a command. While it is active, `Retry-After` says when to read it again.
#[utoipa::path(get, path = "/v1/owners/{owner}/commands/{id}", operation_id = "readCommand",
    params(
        ("owner" = String, Path, description = "`me`, `user:<id>`, `user~<base64url of the id>` or `org:<uuid>`, percent-encoded"),
        ("id" = String, Path, description = "The command's id"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the caller's copy")
    ),
    responses(
        (status = 200, body = CommandView, headers(
            ("ETag" = String, description = "Changes when the command changes"),
            ("Retry-After" = Option<u64>, description = "Seconds to wait before the next read, while the command is active")
        )),
        (status = 304, description = "The caller's copy is current"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json")
    ))]
pub async fn read(
    State(app): State<App>,
    scope: OwnerScope,
    PathId(id): PathId,
    Now(now): Now,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let key = CommandKey {
        owner: scope.owner().clone(),
        id: id.parse().map_err(|_| Problem::not_found())?,
    };
    let command = app.ledger.read(&key, now).await?;
    let command = command.ok_or_else(Problem::not_found)?;
    let look_again = look_again(&command, now);
    let mut response = representation(&headers, &CommandView::from(command))?;
    if let Some(seconds) = look_again {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

/// The longest `Retry-After`, in seconds: a rate limit's wait can end early.
const LONGEST_PAUSE: u64 = 60;

/// Seconds until a client should poll an active command again: 1 or 2 at first, up to 10 as it ages. `None` once it has
/// ended.
fn look_again(command: &Command, now: Timestamp) -> Option<u64> {
    match command.status() {
        Status::Accepted => Some(1),
        Status::Running => {
            let wait = command
                .state
                .waiting_until
                .map_or(0, |until| until.since(now).as_millis().div_ceil(1000));
            let running = now.since(command.started_at.unwrap_or(command.accepted_at));
            let pause = (2 + running.as_secs() / 15).min(10);
            let wait = u64::try_from(wait).unwrap_or(LONGEST_PAUSE);
            Some(wait.min(LONGEST_PAUSE).max(pause))
        }
        Status::Succeeded | Status::Failed | Status::NoOp => None,
    }
}
