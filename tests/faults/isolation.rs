//! One owner requests another owner's commands and findings.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::TIMEOUT;

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
