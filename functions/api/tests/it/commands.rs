//! Reading commands.

use std::time::Duration;

use domain::{
    Timestamp,
    command::{CommandKey, LastError, Progress},
    lifecycle::{Stage, Waits},
    result_code::{Effect, ResultCode},
};
use serde_json::{Value, json};
use store::ledger::{Claim, Claimed, Ending, Outcome};

use crate::support::{Call, NOON, Stack, get, owner};

const COMMANDS: &str = "/v1/owners/{owner}/commands";
const COMMAND: &str = "/v1/owners/{owner}/commands/{id}";
const MINUTE: Duration = Duration::from_secs(60);

fn command(id: &str) -> Call {
    get(COMMAND).id(id)
}

async fn claim(stack: &Stack, id: &str, now: Timestamp) -> Claim {
    let key = CommandKey {
        owner: owner(),
        id: id.parse().expect("an id"),
    };
    match stack
        .app
        .ledger
        .claim(&key, Stage(0), now + MINUTE, now)
        .await
    {
        Ok(Claimed::Held(claim, _)) => claim,
        other => panic!("not claimed: {other:?}"),
    }
}

async fn settle(stack: &Stack, id: &str, now: Timestamp) {
    let claim = claim(stack, id, now).await;
    let ending = Ending {
        code: ResultCode::SyncPartialFailure,
        effect: Effect::Applied,
        last_error: Some(LastError::Repositories {
            failed: 1,
            total: 3,
        }),
        progress: Some(Progress { done: 3, total: 3 }),
    };
    let outcome = stack.app.ledger.settle(&claim, ending, now + MINUTE).await;
    assert!(matches!(outcome, Ok(Outcome::Applied(_))), "{outcome:?}");
}

#[tokio::test]
async fn an_ended_command_shows_its_outcome() {
    let stack = Stack::start().await;
    let id = stack.sync(NOON).await;
    settle(&stack, &id, NOON + MINUTE).await;
    let answer = stack.call(command(&id)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (200, None));
    assert_eq!(
        answer.body,
        json!({
            "id": id, "owner": "user:auth0|5f7c", "type": "sync", "origin": "manual", "repository": null,
            "findingId": null, "status": "failed", "resultCode": "SYNC_PARTIAL_FAILURE", "effect": "applied",
            "message": ResultCode::SyncPartialFailure.sentence(),
            "lastError": "1 of 3 repositories could not be refreshed", "progress": {"done": 3, "total": 3},
            "waitingUntil": null, "attempts": 1, "acceptedAt": "2026-11-23T12:00:00.000Z",
            "startedAt": "2026-11-23T12:01:00.000Z", "completedAt": "2026-11-23T12:02:00.000Z",
            "updatedAt": "2026-11-23T12:02:00.000Z", "expiresAt": "2026-12-23T12:02:00.000Z"
        })
    );
}

#[tokio::test]
async fn an_expired_command_is_absent_from_every_read() {
    let stack = Stack::start().await;
    let id = stack.sync(NOON).await;
    settle(&stack, &id, NOON).await;
    let later = NOON + MINUTE + 30 * 24 * 60 * MINUTE;
    let just_before = later - Duration::from_millis(1);
    assert_eq!(stack.call_at(command(&id), just_before).await.status, 200);
    assert_eq!(
        stack.call_at(command(&id), later).await.problem(404),
        "NOT_FOUND"
    );
    for query in ["", &format!("ids={id}")] {
        let answer = stack.call_at(get(COMMANDS).query(query), later).await;
        assert_eq!(answer.body, json!({"commands": [], "nextCursor": null}));
    }
}

#[tokio::test]
async fn a_poll_gets_a_retry_after() {
    let stack = Stack::start().await;
    let id = stack.sync(NOON).await;
    let pause = async |now: Timestamp| {
        let answer = stack.call_at(command(&id), now).await;
        answer.header("retry-after").map(str::to_owned)
    };
    assert_eq!(pause(NOON).await.as_deref(), Some("1"));
    let held = claim(&stack, &id, NOON).await;
    assert_eq!(pause(NOON).await.as_deref(), Some("2"));
    assert_eq!(pause(NOON + MINUTE).await.as_deref(), Some("6"));
    assert_eq!(pause(NOON + 20 * MINUTE).await.as_deref(), Some("10"));

    let at = NOON + MINUTE;
    let progress = Progress { done: 1, total: 3 };
    let limited = Some(LastError::RateLimited(at));
    let waiting = stack
        .app
        .ledger
        .continue_later(&held, at, Waits::UntilThen, Some(progress), limited, NOON)
        .await;
    assert!(matches!(waiting, Ok(Outcome::Applied(_))), "{waiting:?}");
    assert_eq!(pause(NOON).await.as_deref(), Some("60"));
    assert_eq!(
        pause(NOON + Duration::from_millis(30_500)).await.as_deref(),
        Some("30")
    );
    assert_eq!(pause(at).await.as_deref(), Some("6"));
    let body = stack.call(command(&id)).await.body;
    assert_eq!(body["waitingUntil"], "2026-11-23T12:01:00.000Z");
    assert_eq!(body["progress"], json!({"done": 1, "total": 3}));
}

#[tokio::test]
async fn a_poll_without_changes_has_no_body() {
    let stack = Stack::start().await;
    let id = stack.sync(NOON).await;
    let first = stack.call(command(&id)).await;
    let tag = first.header("etag").expect("a tag").to_owned();
    for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
        let answer = stack
            .call(command(&id).header("if-none-match", &known))
            .await;
        assert_eq!(
            (answer.status, &answer.body),
            (304, &Value::Null),
            "{known}"
        );
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    claim(&stack, &id, NOON).await;
    let changed = stack.call(command(&id).header("if-none-match", &tag)).await;
    assert_eq!(
        (changed.status, &changed.body["status"]),
        (200, &json!("running"))
    );
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
}

#[tokio::test]
async fn the_active_commands_are_those_that_have_not_ended() {
    let stack = Stack::start().await;
    let accepted = stack.sync(NOON).await;
    let ended = stack.sync(NOON + MINUTE).await;
    let running = stack.sync(NOON + 2 * MINUTE).await;
    settle(&stack, &ended, NOON + 3 * MINUTE).await;
    claim(&stack, &running, NOON + 3 * MINUTE).await;
    let active = stack.call(get(COMMANDS).query("state=active")).await;
    assert_eq!(active.ids("commands"), [running.clone(), accepted.clone()]);
    assert_eq!(active.body["nextCursor"], Value::Null);

    let first = stack
        .call(get(COMMANDS).query("state=active&limit=1"))
        .await;
    assert_eq!(first.ids("commands"), [running]);
    let next = first.next().expect("a second page");
    let rest = stack
        .call(get(COMMANDS).query(&format!("state=active&limit=1&cursor={next}")))
        .await;
    assert_eq!(rest.ids("commands"), [accepted]);
    assert_eq!(rest.next(), None);
}

#[tokio::test]
async fn commands_listed_by_id_are_the_owners_own() {
    let stack = Stack::start().await;
    let mine = stack.sync(NOON).await;
    let unknown = "01932b3a-5c00-7000-8000-000000000001";
    let query = format!("ids={unknown},{mine},{mine}");
    let answer = stack.call(get(COMMANDS).query(&query)).await;
    assert_eq!(answer.ids("commands"), [mine.as_str()]);
    assert_eq!(answer.body["nextCursor"], Value::Null);
    let stranger = get(COMMANDS)
        .query(&query)
        .claims(json!({"sub": "somebody"}));
    assert_eq!(stack.call(stranger).await.ids("commands"), [""; 0]);
}

#[tokio::test]
async fn the_history_is_paged_newest_first() {
    let stack = Stack::start().await;
    let mut admitted = Vec::new();
    for minute in 0..5 {
        admitted.insert(0, stack.sync(NOON + minute * MINUTE).await);
    }
    let whole = stack.call(get(COMMANDS)).await;
    assert_eq!(
        (whole.ids("commands"), whole.next()),
        (admitted.clone(), None)
    );
    let mut found = Vec::new();
    let mut query = "limit=2".to_owned();
    loop {
        let page = stack.call(get(COMMANDS).query(&query)).await;
        found.push(page.ids("commands"));
        assert!(found.len() < 5, "the history ends");
        let Some(next) = page.next() else { break };
        query = format!("limit=2&cursor={next}");
    }
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(found.concat(), admitted);
}
