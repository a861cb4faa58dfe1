use std::fs::{self, OpenOptions};
use std::io::Write as _;

use reqwest::Method;
use serde_json::json;

use crate::server::{PYGOAT, Server, bundled, file, place};

#[tokio::test]
async fn a_dismissal_is_answered_and_listed_and_a_second_one_refused() {
    let server = Server::start().await;
    let before = file("pygoat").swap_remove(0);
    let path = format!("{PYGOAT}/14");
    let body = json!({"state": "dismissed", "dismissed_reason": "tolerable_risk", "dismissed_comment": "Known."});

    let dismissed = server.patch(&path, &body).await;
    assert_eq!(dismissed.status, 200);
    let mut expected = before.clone();
    for field in ["dismissed_at", "dismissed_by", "updated_at"] {
        assert_ne!(dismissed.body[field], before[field]);
        expected[field] = dismissed.body[field].clone();
    }
    expected["state"] = json!("dismissed");
    expected["dismissed_reason"] = json!("tolerable_risk");
    expected["dismissed_comment"] = json!("Known.");
    assert_eq!(dismissed.body, expected, "nothing else has changed");
    assert_eq!(dismissed.body["dismissed_at"], dismissed.body["updated_at"]);
    assert_eq!(
        dismissed.body["dismissed_by"]["login"],
        "security-agent[bot]"
    );
    assert_eq!(server.get(&path).await.body, expected);
    assert_eq!(
        server
            .get(&format!("{PYGOAT}?sort=updated&per_page=1"))
            .await
            .numbers(),
        [14]
    );

    let again = server.patch(&path, &body).await;
    assert_eq!(
        (again.status, again.message()),
        (409, "Alert 14 is already dismissed")
    );

    let reopened = server.patch(&path, &json!({"state": "open"})).await;
    let mut expected = before;
    expected["updated_at"] = reopened.body["updated_at"].clone();
    assert_eq!(reopened.body, expected);
}

#[tokio::test]
async fn a_fixed_alert_stays_fixed_and_a_bad_update_changes_nothing() {
    let server = Server::start().await;
    let alerts = file("pygoat");
    let fixed = alerts
        .iter()
        .find(|alert| alert["state"] == "fixed")
        .expect("one is fixed");
    let refused = server
        .dismiss(&format!("{PYGOAT}/{}", fixed["number"]))
        .await;
    assert_eq!(refused.status, 422);

    let request = server
        .authorized(Method::PATCH, &format!("{PYGOAT}/14"))
        .body("{");
    assert_eq!(server.send(request).await.status, 400);
    let unreasoned = server
        .patch(&format!("{PYGOAT}/14"), &json!({"state": "dismissed"}))
        .await;
    assert_eq!(unreasoned.status, 422);
    assert!(unreasoned.message().starts_with("Invalid request."));
    assert_eq!(server.dismiss(&format!("{PYGOAT}/99")).await.status, 404);
    assert_eq!(server.get(PYGOAT).await.body, json!(alerts));
}

#[tokio::test]
async fn exactly_one_of_many_concurrent_dismissals_succeeds() {
    let server = Server::start().await;
    let path = format!("{PYGOAT}/14");
    let (a, b, c) = tokio::join!(
        server.dismiss(&path),
        server.dismiss(&path),
        server.dismiss(&path)
    );
    let mut statuses = [a.status, b.status, c.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409]);
}

#[tokio::test]
async fn changes_survive_a_kill_even_during_a_write() {
    let state = place("state").join("deeper/github.jsonl");
    let server = Server::serve(&bundled(), Some(&state)).await;
    let dismissed = server.dismiss(&format!("{PYGOAT}/14")).await.body;
    server.dismiss(&format!("{PYGOAT}/13")).await;
    let reopened = server
        .patch(&format!("{PYGOAT}/13"), &json!({"state": "open"}))
        .await
        .body;
    drop(server);

    let mut torn = OpenOptions::new()
        .append(true)
        .open(&state)
        .expect("written");
    torn.write_all(b"{\"repository\":\"acme-appsec/pygoat\",\"al")
        .expect("torn");
    drop(torn);

    for start in ["first", "second"] {
        let server = Server::serve(&bundled(), Some(&state)).await;
        assert_eq!(
            server.get(&format!("{PYGOAT}/14")).await.body,
            dismissed,
            "{start} restart"
        );
        assert_eq!(
            server.get(&format!("{PYGOAT}/13")).await.body,
            reopened,
            "{start} restart"
        );
        assert_eq!(server.get(PYGOAT).await.numbers().len(), 14);
    }
    let lines = fs::read_to_string(&state).expect("kept");
    assert_eq!(lines.lines().count(), 2, "one line for each changed alert");
}

#[tokio::test]
async fn an_alert_can_change_upstream() {
    let server = Server::start().await;
    let local = "/alerts/acme-appsec/pygoat/14";
    let before = file("pygoat").swap_remove(0);
    assert_eq!(
        server.local(Method::GET, local, &json!({})).await.body,
        before
    );

    let change = json!({"state": "fixed", "fixed_at": "2026-10-01T00:00:00Z", "dependency": {"scope": null}});
    let changed = server.local(Method::PATCH, local, &change).await;
    let mut expected = before;
    expected["state"] = json!("fixed");
    expected["fixed_at"] = json!("2026-10-01T00:00:00Z");
    expected["dependency"]["scope"] = json!(null);
    assert_ne!(changed.body["updated_at"], expected["updated_at"]);
    expected["updated_at"] = changed.body["updated_at"].clone();
    assert_eq!(changed.body, expected);
    assert_eq!(server.get(&format!("{PYGOAT}/14")).await.body, expected);

    for wrong in [json!({"number": 3}), json!({"state": "odd"}), json!([])] {
        let refused = server.local(Method::PATCH, local, &wrong).await;
        assert_eq!(
            (refused.status, refused.header("content-type")),
            (400, "application/problem+json")
        );
    }
    let requests = server.local(Method::GET, "/requests", &json!({})).await;
    let counted: Vec<_> = requests
        .body
        .as_array()
        .expect("a list")
        .iter()
        .map(|call| &call["method"])
        .collect();
    assert_eq!(counted, ["POST", "GET"], "local calls are not GitHub's");
}
