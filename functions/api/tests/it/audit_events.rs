//! `/audit-events`: the events of a save, and paging.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Call, NOON, Stack, get, put};

const EVENTS: &str = "/v1/owners/{owner}/audit-events";
const CONFIG: &str = "/v1/owners/{owner}/config";

async fn save(stack: &Stack, version: u64, body: Value) {
    let now = NOON + Duration::from_secs(version);
    let version = format!("\"{version}\"");
    let call = put(CONFIG).header("if-match", &version).body(body);
    let answer = stack.call_at(call, now).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

async fn events(stack: &Stack) -> Vec<Value> {
    let answer = stack.call(get(EVENTS)).await;
    assert_eq!(
        (answer.status, &answer.body["nextCursor"]),
        (200, &Value::Null)
    );
    answer.body["auditEvents"]
        .as_array()
        .expect("a list")
        .clone()
}

fn page(query: &str) -> Call {
    get(EVENTS).query(query)
}

#[tokio::test]
async fn a_save_records_each_change_once_and_nothing_unchanged() {
    let stack = Stack::connected().await;
    let mut seen = events(&stack).await.len();
    for (version, (body, expected)) in [
        (json!({"autoSync": true}), json!({})),
        (
            json!({"enabled": true}),
            json!({"enabled": [{"enabled": false}, {"enabled": true}]}),
        ),
        (json!({"enabled": true}), json!({})),
        (
            json!({"slaDays": {"low": 80, "high": 30}, "autoDismiss": {"enabled": true}}),
            json!({"config_changed": [
                {"slaDays": {"low": 90}, "autoDismiss": {"enabled": false}},
                {"slaDays": {"low": 80}, "autoDismiss": {"enabled": true}},
            ]}),
        ),
        (json!({}), json!({})),
        (
            json!({"enabled": false, "autoSync": false}),
            json!({
                "config_changed": [{"autoSync": true}, {"autoSync": false}],
                "disabled": [{"enabled": true}, {"enabled": false}],
            }),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let version = u64::try_from(version).expect("few");
        save(&stack, version, body.clone()).await;
        let all = events(&stack).await;
        let new = &all[..all.len() - seen];
        seen = all.len();
        let told: Value = new
            .iter()
            .map(|event| {
                let details = &event["details"];
                let action = event["action"].as_str().expect("a text");
                (action, json!([details["before"], details["after"]]))
            })
            .collect();
        assert_eq!(told, expected, "{body}");
        for event in new {
            let id = event["id"].as_str().expect("an id");
            let details = &event["details"];
            assert_eq!(
                *event,
                json!({
                    "id": id, "action": event["action"], "actor": "user:auth0|5f7c", "resourceType": "config",
                    "resourceId": "user:auth0|5f7c", "commandId": null,
                    "occurredAt": format!("2026-11-23T12:00:0{version}.000Z"),
                    "details": {"version": version + 1, "before": details["before"], "after": details["after"]},
                })
            );
        }
    }
}

#[tokio::test]
async fn a_refused_save_records_no_event() {
    let stack = Stack::start().await;
    for (version, body, status) in [
        ("\"1\"", json!({"autoSync": false}), 412),
        ("\"0\"", json!({"enabled": true}), 409),
        ("\"0\"", json!({"autoSync": 1}), 400),
    ] {
        let call = put(CONFIG).header("if-match", version).body(body);
        assert_eq!(stack.call(call).await.status, status);
    }
    assert_eq!(events(&stack).await, [] as [Value; 0]);
}

/// A stack with three events.
async fn with_events() -> Stack {
    let stack = Stack::start().await;
    for version in 0..3 {
        save(&stack, version, json!({"slaDays": {"low": 80 + version}})).await;
    }
    stack
}

#[tokio::test]
async fn events_are_paged_newest_first() {
    let stack = with_events().await;
    let all = stack.call(get(EVENTS)).await.ids("auditEvents");
    assert_eq!(all.len(), 3);
    for limit in 1..=3 {
        let mut found = Vec::new();
        let mut query = format!("limit={limit}");
        loop {
            let answer = stack.call(page(&query)).await;
            let ids = answer.ids("auditEvents");
            assert!(ids.len() <= limit);
            found.extend(ids);
            match answer.next() {
                Some(cursor) => query = format!("limit={limit}&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(found, all, "{limit} a page");
    }
    for query in ["limit=0", "limit=101", "limit=x", "action=enabled"] {
        let answer = stack.call(page(query)).await;
        assert_eq!(answer.problem(400), "VALIDATION_FAILED", "{query}");
    }
}

#[tokio::test]
async fn a_cursor_is_valid_for_its_owner_and_this_list_only() {
    let stack = with_events().await;
    let cursor = stack.call(page("limit=1")).await.next();
    let query = format!("cursor={}", cursor.expect("a second page"));
    let org = "6f1d1d3e-7a52-4c3b-9a55-0d0f3c1f7a10";
    stack.calls.take();
    for call in [
        page(&query).claims(json!({"sub": "somebody"})),
        page(&query)
            .claims(json!({"sub": "auth0|5f7c", "orgs": [org]}))
            .owner(&format!("org:{org}")),
        page(&format!("{query}A")),
        get("/v1/owners/{owner}/commands").query(&query),
        get("/v1/owners/{owner}/findings").query(&query),
    ] {
        assert_eq!(stack.call(call).await.problem(400), "INVALID_CURSOR");
    }
    assert_eq!(stack.calls.take(), [""; 0], "and nothing was read");
    let theirs = get(EVENTS).claims(json!({"sub": "somebody"}));
    assert_eq!(stack.call(theirs).await.ids("auditEvents"), [""; 0]);
    let foreign = get(EVENTS).owner("user:somebody");
    assert_eq!(stack.call(foreign).await.problem(404), "NOT_FOUND");
    assert_eq!(stack.call(page(&query)).await.ids("auditEvents").len(), 2);
}
