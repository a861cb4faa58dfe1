//! No caller reaches an owner that the verified claims do not name.

use serde_json::json;

use crate::support::{NOON, Stack, get, post};

const ORG: &str = "6f1d1d3e-7a52-4c3b-9a55-0d0f3c1f7a10";
const COMMANDS: &str = "/v1/owners/{owner}/commands";
const COMMAND: &str = "/v1/owners/{owner}/commands/{id}";

#[tokio::test]
async fn another_owner_is_answered_like_an_unknown_resource() {
    let stack = Stack::start().await;
    let id = stack.sync(NOON).await;
    let unknown = stack
        .call(get(COMMAND).id("01932b3a-5c00-7000-8000-000000000001"))
        .await;
    assert_eq!(unknown.problem(404), "NOT_FOUND");

    let stranger = json!({"sub": "auth0|5f7d"});
    let foreign = get(COMMAND)
        .id(&id)
        .owner("user:auth0|5f7c")
        .claims(stranger.clone());
    assert_eq!(stack.call(foreign).await.body, unknown.body);
    let own = get(COMMAND).id(&id).claims(stranger);
    assert_eq!(stack.call(own).await.body, unknown.body);
    for owner in [
        "user:",
        "org:1",
        "you",
        "user:a\u{1}b",
        &format!("org:{ORG}"),
        "..",
    ] {
        let answer = stack.call(get(COMMANDS).owner(owner)).await;
        assert_eq!(answer.body, unknown.body, "{owner}");
    }
    assert_eq!(
        stack.call(get(COMMAND).id("no id")).await.body,
        unknown.body
    );
}

#[tokio::test]
async fn nothing_is_written_for_another_owner() {
    let stack = Stack::start().await;
    let call = post(COMMANDS)
        .owner("user:somebody")
        .body(json!({"type": "sync"}));
    assert_eq!(stack.call(call).await.problem(404), "NOT_FOUND");
    assert_eq!(stack.services.sent(), []);
    let theirs = get(COMMANDS).claims(json!({"sub": "somebody"}));
    assert_eq!(stack.call(theirs).await.ids("commands"), [""; 0]);
}

#[tokio::test]
async fn an_organisation_is_reached_through_each_form_of_the_claim() {
    let stack = Stack::start().await;
    let owner = format!("org:{ORG}");
    for orgs in [
        json!(format!("[{ORG} 0b8e4b38-4f0c-4d3e-8a43-2b9a4a8f9a11]")),
        json!(format!("[\"{ORG}\"]")),
        json!([ORG]),
    ] {
        let claims = json!({"sub": "a", "orgs": orgs, "exp": 1_795_435_200});
        let call = post(COMMANDS)
            .owner(&owner)
            .claims(claims)
            .body(json!({"type": "sync"}));
        let answer = stack.call(call).await;
        assert_eq!(answer.status, 202, "{orgs}: {}", answer.body);
        assert_eq!(answer.body["owner"], owner);
    }
}

#[tokio::test]
async fn one_entry_that_is_no_uuid_gives_no_organisation() {
    let stack = Stack::start().await;
    let other = "0b8e4b38-4f0c-4d3e-8a43-2b9a4a8f9a11";
    for orgs in [
        json!(ORG),
        json!([format!("Evil {ORG}")]),
        json!([ORG, "Evil"]),
        json!([{"note": format!("x {ORG} y")}]),
        json!({"note": ORG}),
        json!(format!("[Evil {ORG}]")),
        json!(format!("my team {ORG}")),
        json!(format!("[map[note:x {ORG} y]]")),
        json!(format!("[{ORG}  {other}]")),
        json!(format!("[{ORG}, {other}]")),
        json!(format!("[\"{ORG}\", null]")),
    ] {
        let claims = json!({"sub": "a", "orgs": orgs});
        let call = post(COMMANDS)
            .owner(&format!("org:{ORG}"))
            .claims(claims.clone())
            .body(json!({"type": "sync"}));
        assert_eq!(stack.call(call).await.problem(404), "NOT_FOUND", "{orgs}");
        let own = stack.call(get(COMMANDS).claims(claims)).await;
        assert_eq!(own.ids("commands"), [""; 0], "the caller stays themselves");
    }
    assert_eq!(stack.services.sent(), []);
}

#[tokio::test]
async fn the_location_works_for_an_owner_with_any_character() {
    let stack = Stack::start().await;
    for (sub, written) in [
        ("oauth/google:117", "user:oauth%2Fgoogle:117"),
        ("auth0|5f7c", "user:auth0%7C5f7c"),
        ("50%2F a+b?c#d", "user:50%252F%20a%2Bb%3Fc%23d"),
        ("ünïcode", "user:%C3%BCn%C3%AFcode"),
    ] {
        let owner = format!("user:{sub}");
        let claims = json!({"sub": sub});
        let call = post(COMMANDS).owner(&owner).claims(claims.clone());
        let answer = stack.call(call.body(json!({"type": "sync"}))).await;
        assert_eq!(answer.status, 202, "{sub}: {}", answer.body);
        let id = answer.body["id"].as_str().expect("an id");
        let location = format!("/v1/owners/{written}/commands/{id}");
        assert_eq!(answer.header("location"), Some(location.as_str()));
        let found = stack
            .call(get(COMMAND).owner(&owner).claims(claims).id(id))
            .await;
        assert_eq!((found.status, &found.body["owner"]), (200, &json!(owner)));
    }
}

#[tokio::test]
async fn requests_without_verified_claims_are_refused() {
    let stack = Stack::start().await;
    let mut call = get(COMMANDS);
    let context = call.event["requestContext"].as_object_mut();
    context.expect("a context").remove("authorizer");
    assert_eq!(stack.call(call).await.problem(500), "INTERNAL_ERROR");

    for claims in [
        json!({"email": "a@example.org"}),
        json!({"sub": null}),
        json!({"sub": true}),
        json!({"sub": {"a": "b"}}),
    ] {
        let answer = stack.call(get(COMMANDS).claims(claims.clone())).await;
        assert_eq!(answer.problem(403), "CALLER_NOT_IDENTIFIED", "{claims}");
    }
}
