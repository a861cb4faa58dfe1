//! One owner requests another owner's commands and findings.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::{Stack, TIMEOUT};

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
