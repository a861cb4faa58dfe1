//! One owner requests another owner's commands and findings.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Caller, Stack, TIMEOUT};

use crate::{oracle, scene::Scene};

#[tokio::test]
async fn fault_36_another_owners_data_looks_like_data_that_does_not_exist() {
    let scene = Scene::set().await;
    let id = scene.ada.sync().await;
    scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    let finding = scene.ada.all("findings").await[0]["id"].clone();
    let finding = finding.as_str().expect("an id");
    let bob = scene.another("bob").await;
    let guessed = "01932b3a-5c00-7000-8000-000000000001";
    let absent = bob.get(&format!("commands/{guessed}")).await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    assert_eq!(absent.body["code"], "NOT_FOUND");
    let ada = scene.ada.encoded();
    for path in [
        format!("me/commands/{id}"),
        "me/commands/1".to_owned(),
        format!("me/findings/{finding}"),
        format!("{ada}/commands/{id}"),
        format!("{ada}/commands/{guessed}"),
        format!("{ada}/commands"),
        format!("{ada}/findings/{finding}"),
        format!("{ada}/repositories"),
        format!("{ada}/summary"),
        format!("{ada}/config"),
        format!("{ada}/integration"),
    ] {
        let answer = bob.request(Method::GET, &path, &[], None, TIMEOUT).await;
        let answer = answer.expect("the API answers");
        assert_eq!(
            (answer.status, answer.body),
            (absent.status, absent.body.clone()),
            "{path}"
        );
    }
    let body = json!({"type": "sync"});
    let path = format!("{ada}/commands");
    let posted = bob
        .request(Method::POST, &path, &[], Some(&body), TIMEOUT)
        .await;
    let posted = posted.expect("the API answers");
    assert_eq!(
        (posted.status, posted.body),
        (absent.status, absent.body.clone())
    );
    assert_eq!(scene.ada.all("commands").await.len(), 1);
    oracle::check(&scene.stack, &[&scene.ada, &bob]).await;
}

#[tokio::test]
async fn a_claim_that_is_not_a_list_of_uuids_gives_no_organisation() {
    let stack = Stack::start(&[]).await;
    let org = "7f1a3c52-9d0e-4b7a-8a3e-0d8c1f2b4a60";
    for (orgs, status) in [
        (json!([org]), StatusCode::OK),
        (json!(format!("[\"{org}\"]")), StatusCode::OK),
        (json!([format!("Evil {org}")]), StatusCode::NOT_FOUND),
        (json!([org, "Evil"]), StatusCode::NOT_FOUND),
        (json!(format!("my team {org}")), StatusCode::NOT_FOUND),
        (
            json!([{"note": format!("x {org} y")}]),
            StatusCode::NOT_FOUND,
        ),
    ] {
        let claims = json!({"sub": "mallory", "connect": false, "claims": {"orgs": orgs}});
        let mallory = stack.caller(&claims).await;
        let path = format!("org:{org}/config");
        let read = mallory.request(Method::GET, &path, &[], None, TIMEOUT);
        let read = read.await.expect("the API answers");
        assert_eq!(read.status, status, "{orgs}: {}", read.body);
    }
}

/// Subjects, and each one's owner as its person writes it in a path. Some look like other owners' resources.
const WRITTEN: [(&str, &str); 8] = [
    ("oauth/google:117", "user:oauth%2Fgoogle:117"),
    ("oauth", "user:oauth"),
    ("a%2Fb", "user:a%252Fb"),
    ("a/b", "user:a%2Fb"),
    ("a?b", "user~YT9i"),
    ("a", "user:a"),
    ("x/commands", "user:x%2Fcommands"),
    ("x", "user:x"),
];

#[tokio::test]
async fn an_owner_with_any_id_is_reached_and_reaches_nobody_else() {
    let stack = Stack::start(&[]).await;
    let send = async |caller: &Caller, method: Method, path: &str, body: Option<&Value>| {
        let answer = caller.request(method, path, &[], body, TIMEOUT);
        answer.await.expect("the API answers")
    };
    let mut owners = Vec::new();
    for (sub, written) in WRITTEN {
        let caller = stack.caller(&json!({"sub": sub})).await;
        let list = format!("{written}/commands");
        let admitted = send(&caller, Method::POST, &list, Some(&json!({"type": "sync"}))).await;
        assert_eq!(admitted.status, StatusCode::ACCEPTED, "{}", admitted.body);
        assert_eq!(admitted.body["owner"], format!("user:{sub}"));
        let location = admitted.headers["location"].to_str().expect("a path");
        let command = location.strip_prefix("/v1/owners/").expect("of an owner");
        owners.push((
            caller,
            list,
            command.to_owned(),
            admitted.body["id"].clone(),
        ));
    }
    for (caller, list, command, id) in &owners {
        let polled = send(caller, Method::GET, command, None).await;
        assert_eq!((polled.status, &polled.body["id"]), (StatusCode::OK, id));
        let listed = send(caller, Method::GET, list, None).await;
        assert_eq!(listed.body["commands"][0]["id"], *id, "{list}");
        assert_eq!(listed.body["commands"].as_array().map(Vec::len), Some(1));
        let others = owners.iter().filter(|(_, other, ..)| other != list);
        for path in others.flat_map(|(_, list, command, _)| [list, command]) {
            let refused = send(caller, Method::GET, path, None).await;
            // What is `user:x` and its commands to one caller is a person's id to another.
            let refusal = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
            assert!(
                refusal.contains(&refused.status),
                "{list} at {path}: {}",
                refused.body
            );
        }
    }
    // The gateway takes this for `user:a`, so it must not be answered as if it were.
    let (of_a_question, ..) = &owners[4];
    let cut = send(
        of_a_question,
        Method::DELETE,
        "user:a%3Fb?confirm=user:a?b",
        None,
    )
    .await;
    assert_eq!(cut.status, StatusCode::NOT_FOUND, "{}", cut.body);

    let (erased, ..) = &owners[6];
    let path = "user:x%2Fcommands?confirm=user:x/commands";
    let begun = send(erased, Method::DELETE, path, None).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.body);
    assert_eq!(begun.body["owner"], "user:x/commands");
    let (neighbour, list, ..) = &owners[7];
    let kept = send(neighbour, Method::GET, list, None).await;
    assert_eq!(kept.body["commands"].as_array().map(Vec::len), Some(1));
}
