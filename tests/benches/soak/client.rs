//! One command as a client sees it: asked for, repeated with its key when the answer is lost, polled to its end, and
//! held to everything that was said of it.

use std::time::Duration;

use domain::command::CommandId;
use fastrand::Rng;
use reqwest::StatusCode;
use serde_json::Value;
use tests::{Answer, Caller, command_id, is_over};
use tokio::time::{Instant, sleep};

use crate::Soak;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it repeats a request that may be repeated.
const TRIES: usize = 8;
/// How long it looks after a command at most: longer than any may take.
const LOOKS_FOR: Duration = Duration::from_secs(25 * 60);

/// What a client knows after it has asked.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// The command.
    Admitted(CommandId),
    /// It was told why not.
    Refused,
    /// No answer, and no key to ask again with: there may be a command.
    Lost,
}

/// What became of a command, as far as its client saw.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// It has ended.
    Ended,
    /// It went with its owner.
    Erased,
    /// The client does not look any more.
    Unknown,
}

/// Asks for a command, again and again if its key allows that.
pub(crate) async fn ask(
    soak: &Soak,
    caller: &Caller,
    body: &Value,
    key: Option<&str>,
    rng: &mut Rng,
) -> Asked {
    for _ in 0..TRIES {
        soak.tally.client("requests for commands");
        let answer = caller.post_within(PATIENCE, body, key).await;
        let (status, shown) = match &answer {
            Ok(answer) => (answer.status, told(answer)),
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
            soak.tally.client("answers lost for good");
            return Asked::Lost;
        }
        soak.tally.client("requests repeated with their key");
        sleep(Duration::from_millis(rng.u64(300..2_000))).await;
    }
    Asked::Lost
}

/// The command in an answer: of an admission, or of a refusal to queue it.
fn told(answer: &Answer) -> Option<&Value> {
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

/// Looks at a command, as often as it is told to, until it has ended.
pub(crate) async fn follow(soak: &Soak, caller: &Caller, id: CommandId, key: Option<&str>) -> Seen {
    let path = format!("commands/{id}");
    let deadline = Instant::now() + LOOKS_FOR;
    let (mut tag, mut last) = (None::<String>, None::<Value>);
    let mut pause = Duration::from_secs(1);
    while Instant::now() < deadline {
        sleep(pause).await;
        let seen = tag.as_deref().map(|tag| ("if-none-match", tag));
        let headers: Vec<(&str, &str)> = seen.into_iter().collect();
        soak.tally.client("looks at a command");
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
            StatusCode::NOT_MODIFIED => soak.tally.client("looks that showed nothing new"),
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
                let what = "1: a look at a command is answered";
                soak.tally
                    .hold(what, passing, || format!("{status} {}", answer.body));
            }
        }
    }
    Seen::Unknown
}

/// Remembers what was told. A command that could not be queued may yet be admitted by the same key.
fn note(soak: &Soak, caller: &Caller, view: &Value, key: Option<&str>) {
    let may_come_back = key.is_some() && view["resultCode"] == "QUEUE_ADMISSION_FAILED";
    if !may_come_back {
        let noted = caller.note(view);
        let what = "2: an ended command does not change, while it runs";
        soak.tally
            .hold(what, noted.is_ok(), || noted.err().unwrap_or_default());
    }
}

/// A command never goes back, but for one that could not be queued.
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
