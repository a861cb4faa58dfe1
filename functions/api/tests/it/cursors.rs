//! A cursor is valid for one owner, one list and one query, and only unaltered.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use crate::support::{Call, NOON, Stack, get};

const COMMANDS: &str = "/v1/owners/{owner}/commands";

fn page(query: &str) -> Call {
    get(COMMANDS).query(query)
}

/// A stack with two commands, and the cursor of the page with the second.
async fn between() -> (Stack, String) {
    let stack = Stack::start().await;
    stack.sync(NOON).await;
    stack.sync(NOON).await;
    let cursor = stack
        .call(page("limit=1"))
        .await
        .next()
        .expect("a second page");
    (stack, cursor)
}

#[tokio::test]
async fn the_length_of_a_page_may_change_between_pages() {
    let (stack, cursor) = between().await;
    let rest = stack
        .call(page(&format!("limit=100&cursor={cursor}")))
        .await;
    assert_eq!(rest.ids("commands").len(), 1);
}

#[tokio::test]
async fn a_cursor_is_refused_for_another_owner_list_or_query() {
    let (stack, cursor) = between().await;
    let query = format!("cursor={cursor}");
    let org = "6f1d1d3e-7a52-4c3b-9a55-0d0f3c1f7a10";
    for call in [
        page(&query).claims(json!({"sub": "somebody"})),
        page(&query)
            .claims(json!({"sub": "auth0|5f7c", "orgs": [org]}))
            .owner(&format!("org:{org}")),
        page(&format!("state=active&{query}")),
        get("/v1/owners/{owner}/findings").query(&query),
        get("/v1/owners/{owner}/repositories").query(&query),
    ] {
        let event = call.event.to_string();
        assert_eq!(
            stack.call(call).await.problem(400),
            "INVALID_CURSOR",
            "{event}"
        );
    }
}

#[tokio::test]
async fn an_altered_cursor_is_refused_whichever_bit_was_changed() {
    let (stack, cursor) = between().await;
    let bytes = URL_SAFE_NO_PAD.decode(&cursor).expect("base64");
    for place in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[place] ^= 1;
        let query = format!("cursor={}", URL_SAFE_NO_PAD.encode(altered));
        assert_eq!(
            stack.call(page(&query)).await.problem(400),
            "INVALID_CURSOR",
            "{place}"
        );
    }
    for text in [
        "",
        "x",
        "====",
        &cursor[..cursor.len() - 4],
        &format!("{cursor}AAAA"),
    ] {
        let answer = stack.call(page(&format!("cursor={text}"))).await;
        assert_eq!(answer.problem(400), "INVALID_CURSOR", "{text}");
    }
}

#[tokio::test]
async fn a_refused_cursor_reads_nothing() {
    let (stack, cursor) = between().await;
    let answer = stack.call(page(&format!("cursor={cursor}"))).await;
    assert_eq!(answer.status, 200);
    // The table is gone, so a refusal instead of an error shows that nothing was read.
    stack
        .services
        .queue(crate::support::Queue::RefusesAsTheTableVanishes);
    let gone = crate::support::post(COMMANDS).body(json!({"type": "sync"}));
    assert_eq!(stack.call(gone).await.status, 503);
    let foreign = page(&format!("state=active&cursor={cursor}"));
    assert_eq!(stack.call(foreign).await.problem(400), "INVALID_CURSOR");
    assert_eq!(
        stack
            .call(page(&format!("cursor={cursor}")))
            .await
            .problem(503),
        "STORE_UNAVAILABLE"
    );
}

#[tokio::test]
async fn a_short_key_seals_and_opens_no_cursor() {
    for key in ["", "k", &"k".repeat(31)] {
        let stack = Stack::start().await;
        stack.services.cursor_key(key);
        stack.sync(NOON).await;
        stack.sync(NOON).await;
        for query in ["limit=1", "cursor=AAAA"] {
            let answer = stack.call(page(query)).await;
            assert_eq!(answer.problem(500), "INTERNAL_ERROR", "{query}");
        }
        assert_eq!(stack.call(page("")).await.ids("commands").len(), 2);
    }
    let stack = Stack::start().await;
    stack.services.cursor_key(&"k".repeat(32));
    stack.sync(NOON).await;
    stack.sync(NOON).await;
    assert!(stack.call(page("limit=1")).await.next().is_some());
}
