//! One command as a client sees it: requested, retried with its key when the response is lost, polled to its end, and
//! checked against everything reported before.

use std::time::Duration;

use domain::command::CommandId;
use fastrand::Rng;
use reqwest::StatusCode;
use serde_json::Value;
use tests::{Answer, Caller, command_id, is_over};
use tokio::time::{Instant, sleep};

use crate::Soak;

/// The timeout of a client's request.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Attempts at a request that may be retried.
const TRIES: usize = 8;
/// How long a client polls a command at most: longer than any may take.
const LOOKS_FOR: Duration = Duration::from_secs(25 * 60);

/// What a client knows after its request.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// The admitted command.
    Admitted(CommandId),
    /// The request was refused.
    Refused,
    /// No response, and no key to retry with: there may be a command.
    Lost,
}

/// What happened to a command, as far as its client saw.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// The command has ended.
    Ended,
    /// The command was erased with its owner.
    Erased,
    /// The client has stopped polling.
    Unknown,
}

/// Requests a command, and retries if there is a key.
pub(crate) async fn ask(
    soak: &Soak,
    caller: &Caller,
    body: &Value,
    key: Option<&str>,
    rng: &mut Rng,
) -> Asked {
    for _ in 0..TRIES {
        soak.tally.client("requests for commands");
        let answer = caller.post_within(TIMEOUT, body, key).await;
        let (status, shown) = match &answer {
            Ok(answer) => (answer.status, command_in(answer)),
            Err(_) => (StatusCode::BAD_GATEWAY, None),
        };
        if let Some(view) = shown {
            note(soak, caller, view, key);
            let id = command_id(view);
            let is_stored_only = status == StatusCode::SERVICE_UNAVAILABLE;
            if !is_stored_only {
                return Asked::Admitted(id);
            }
            soak.tally.client("answered 503 with the command");
            if key.is_none() {
                return Asked::Admitted(id);
            }
        } else if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
            soak.tally.client(refusal(status));
            return Asked::Refused;
        } else if key.is_none() {
            soak.tally.client("responses lost for good");
            return Asked::Lost;
        }
        soak.tally.client("requests retried with their key");
        sleep(Duration::from_millis(rng.u64(300..2_000))).await;
    }
    Asked::Lost
}

/// Returns the command in a response, an admission or a refusal to queue it.
fn command_in(answer: &Answer) -> Option<&Value> {
    match answer.status {
        StatusCode::ACCEPTED => Some(&answer.body),
        StatusCode::SERVICE_UNAVAILABLE => answer
            .body
            .get("command")
            .filter(|command| command.is_object()),
        _ => None,
    }
}

const fn refusal(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "refused 404: no such finding",
        StatusCode::CONFLICT => "refused 409",
        StatusCode::UNPROCESSABLE_ENTITY => "refused 422: the key was used for another request",
        _ => "refused otherwise",
    }
}

/// Polls a command as often as `Retry-After` says, until it has ended.
pub(crate) async fn follow(soak: &Soak, caller: &Caller, id: CommandId, key: Option<&str>) -> Seen {
    let path = format!("commands/{id}");
    let deadline = Instant::now() + LOOKS_FOR;
    let (mut tag, mut last) = (None::<String>, None::<Value>);
    let mut pause = Duration::from_secs(1);
    while Instant::now() < deadline {
        sleep(pause).await;
        let seen = tag.as_deref().map(|tag| ("if-none-match", tag));
        let headers: Vec<(&str, &str)> = seen.into_iter().collect();
        soak.tally.client("polls of a command");
        let Ok(answer) = caller.try_get(&path, &headers).await else {
            pause = Duration::from_secs(2);
            continue;
        };
        let text = |name: &str| {
            answer
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let wait = text("retry-after").and_then(|seconds| seconds.parse().ok());
        pause = Duration::from_secs(wait.unwrap_or(2));
        match answer.status {
            StatusCode::NOT_MODIFIED => soak.tally.client("polls that returned 304"),
            StatusCode::OK => {
                let view = answer.body.clone();
                note(soak, caller, &view, key);
                if let Some(last) = &last {
                    goes_forward(soak, last, &view, key);
                }
                if is_over(&view) {
                    return Seen::Ended;
                }
                tag = text("etag").map(str::to_owned);
                last = Some(view);
            }
            StatusCode::NOT_FOUND => return Seen::Erased,
            status => {
                let passing = status.is_server_error();
                let what = "1: a poll of a command is answered";
                soak.tally
                    .hold(what, passing, || format!("{status} {}", answer.body));
            }
        }
    }
    Seen::Unknown
}

/// Records the reported state. The same key may yet admit a command that could not be queued.
fn note(soak: &Soak, caller: &Caller, view: &Value, key: Option<&str>) {
    let may_come_back = key.is_some() && view["resultCode"] == "QUEUE_ADMISSION_FAILED";
    if !may_come_back {
        let noted = caller.note(view);
        let what = "2: a reported outcome stays, while it runs";
        soak.tally
            .hold(what, noted.is_ok(), || noted.err().unwrap_or_default());
    }
}

/// Checks that a command never goes back, except one that could not be queued.
fn goes_forward(soak: &Soak, before: &Value, after: &Value, key: Option<&str>) {
    let rank = |view: &Value| match view["status"].as_str() {
        Some("accepted") => 0,
        Some("running") => 1,
        _ => 2,
    };
    let attempts = |view: &Value| view["attempts"].as_u64().unwrap_or_default();
    let forward = rank(before) <= rank(after) && attempts(before) <= attempts(after);
    soak.tally.hold(
        "2: a command never goes back",
        forward || key.is_some() && rank(before) == 2,
        || format!("{before} became {after}"),
    );
}
