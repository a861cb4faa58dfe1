use std::error::Error as _;
use std::fs;
use std::path::Path;

use github_simulator::{AppKey, OpenError, Simulator};
use serde_json::{Value, json};

use crate::server::{Server, bundled, file, place};

#[tokio::test]
async fn special_repositories_answer_as_the_dataset_says() {
    let server = Server::start().await;
    let text = fs::read_to_string(bundled().join("special-repositories.json")).expect("bundled");
    let special: Vec<Value> = serde_json::from_str(&text).expect("a list");
    assert_eq!(special.len(), 6);
    for entry in special.iter().filter(|entry| entry["status"] != 301) {
        let alerts = format!(
            "/repos/{}/dependabot/alerts",
            entry["repository"].as_str().expect("a name")
        );
        let numbered = format!("/repositories/{}/dependabot/alerts", entry["id"]);
        let answers = [
            server.get(&alerts).await,
            server.get(&numbered).await,
            server.get(&format!("{alerts}/1")).await,
            server.dismiss(&format!("{alerts}/1")).await,
        ];
        for answer in answers {
            assert_eq!(
                (json!(answer.status), &answer.body),
                (entry["status"].clone(), &entry["body"])
            );
            for (name, value) in entry["headers"].as_object().expect("headers") {
                assert_eq!(answer.header(name), value);
            }
        }
    }
}

#[tokio::test]
async fn a_renamed_repository_redirects_to_its_new_path_here() {
    let server = Server::start().await;
    let renamed = "/repos/acme-appsec/renamed-service/dependabot/alerts";
    let list = server.get(&format!("{renamed}?per_page=5")).await;
    let place = format!(
        "{}/repositories/700000001/dependabot/alerts?per_page=5",
        server.base
    );
    assert_eq!(
        (list.status, list.header("location")),
        (301, place.as_str())
    );
    assert_eq!(list.body["url"], place);
    assert_eq!(server.get(&place).await.numbers().len(), 5);

    let one = server.get(&format!("{renamed}/3")).await;
    let moved = server.get(one.header("location")).await;
    assert_eq!((one.status, &moved.body["number"]), (301, &json!(3)));
}

#[tokio::test]
async fn a_dataset_needs_only_its_repository_listing() {
    let place = place("other");
    fs::create_dir(place.join("alerts")).expect("created");
    write(
        &place,
        "installation-repositories.json",
        &json!({"total_count": 2, "repositories": [
            {"id": 1, "full_name": "octo/app", "private": true},
            {"id": 2, "full_name": "octo/empty", "private": false, "archived": true},
        ]}),
    );
    let alerts = file("pygoat");
    write(&place, "alerts/octo__app.json", &json!(alerts));

    let server = Server::serve(&place, None).await;
    assert_eq!(
        server.get("/repos/Octo/APP/dependabot/alerts").await.body,
        json!(alerts)
    );
    assert_eq!(
        server.get("/repos/octo/empty/dependabot/alerts").await.body,
        json!([])
    );
    let listed = server.simulator.repositories();
    assert_eq!(
        (listed[0].id, listed[0].private, listed[0].archived),
        (1, true, false)
    );
    assert_eq!(
        (listed[1].full_name.as_str(), listed[1].archived),
        ("octo/empty", true)
    );
}

#[test]
fn an_invalid_dataset_is_refused_with_the_files_name() {
    let key = AppKey::generate().expect("a key");
    let place = place("wrong");
    let refused = |file: &str| {
        let error = Simulator::open(&place, None, &key).expect_err("not valid");
        let path = match &error {
            OpenError::Read { path, .. }
            | OpenError::Parse { path, .. }
            | OpenError::Invalid { path, .. }
            | OpenError::Write { path, .. } => path,
        };
        assert_eq!(path, &place.join(file));
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        format!("{error}: {cause}")
    };

    let listing = "installation-repositories.json";
    assert!(refused(listing).contains("cannot read"));
    write(
        &place,
        listing,
        &json!({"repositories": [{"id": 1, "private": true}]}),
    );
    assert!(refused(listing).contains("missing field `full_name`"));
    let app = json!({"id": 1, "full_name": "octo/app", "private": true});
    write(&place, listing, &json!({"repositories": [app, app]}));
    assert!(refused(listing).contains("listed twice"));
    write(&place, listing, &json!({"repositories": [app]}));

    fs::create_dir(place.join("alerts")).expect("created");
    let mut alert = file("pygoat").swap_remove(0);
    write(&place, "alerts/octo__app.json", &json!([alert, alert]));
    assert!(refused("alerts/octo__app.json").contains("alert 14 is listed twice"));
    alert["state"] = json!("asleep");
    write(&place, "alerts/octo__app.json", &json!([alert]));
    assert!(refused("alerts/octo__app.json").contains("asleep"));
    write(&place, "alerts/octo__app.json", &json!([]));

    write(
        &place,
        "special-repositories.json",
        &json!([{"repository": "octo/app", "status": 7}]),
    );
    assert!(refused("special-repositories.json").contains("octo/app: 7"));
    write(&place, "special-repositories.json", &json!([]));
    Simulator::open(&place, None, &key).expect("the dataset is valid now");
}

fn write(place: &Path, name: &str, content: &Value) {
    fs::write(place.join(name), content.to_string()).expect("written");
}
