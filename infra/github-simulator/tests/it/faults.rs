use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{PYGOAT, Server, ZEPPELIN};

#[tokio::test]
async fn a_fault_hits_the_given_number_of_matching_calls() {
    let server = Server::start().await;
    server
        .fault(json!({
            "repository": "acme-appsec/pygoat", "operation": "list_alerts", "status": 503,
            "headers": {"Retry-After": "7"}, "body": {"message": "tired"}, "times": 2,
        }))
        .await;

    assert_eq!(server.get(ZEPPELIN).await.status, 200, "another repository");
    assert_eq!(
        server.get(&format!("{PYGOAT}/14")).await.status,
        200,
        "another operation"
    );
    let struck = server.get(PYGOAT).await;
    assert_eq!(
        (
            struck.status,
            struck.message(),
            struck.header("retry-after")
        ),
        (503, "tired", "7")
    );
    assert_eq!(
        server
            .get("/repositories/700000004/dependabot/alerts")
            .await
            .status,
        503,
        "by its number too"
    );
    assert_eq!(server.get(PYGOAT).await.status, 200, "exhausted");
}

#[tokio::test]
async fn a_fault_without_times_lasts_until_it_is_cleared() {
    let server = Server::start().await;
    server
        .fault(json!({"repository": "*", "operation": "*", "status": 502, "body": "<html></html>"}))
        .await;
    for _ in 0..3 {
        let struck = server.get(PYGOAT).await;
        assert_eq!(
            (struck.status, &struck.body),
            (502, &json!("<html></html>"))
        );
        assert_eq!(struck.header("content-type"), "text/html");
    }
    assert_eq!(server.mint(&json!({})).await.status, 502);
    assert_eq!(
        server
            .local(Method::DELETE, "/faults", &json!({}))
            .await
            .status,
        204
    );
    assert_eq!(server.get(PYGOAT).await.status, 200);
}

#[tokio::test]
async fn a_fault_can_hit_the_third_page() {
    let server = Server::start().await;
    server
        .fault(json!({"operation": "list_alerts", "status": 503, "after": 2, "times": 1}))
        .await;
    let mut statuses = Vec::new();
    let mut url = format!("{ZEPPELIN}?per_page=100");
    loop {
        let page = server.get(&url).await;
        statuses.push(page.status);
        match page.link("next") {
            Some(next) => url = next,
            None if page.status == 503 => {}
            None => break,
        }
    }
    assert_eq!(statuses, [200, 200, 503, 200, 200]);
}

#[tokio::test]
async fn a_delayed_call_is_still_performed() {
    let server = Server::start().await;
    server
        .fault(json!({"operation": "get_alert", "delayMs": 150, "times": 1}))
        .await;
    let start = Instant::now();
    assert_eq!(server.get(&format!("{PYGOAT}/14")).await.status, 200);
    assert!(start.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_undo_its_request() {
    let server = Server::start().await;
    let path = format!("{PYGOAT}/14");
    server
        .fault(json!({"operation": "update_alert", "delayMs": 1500, "times": 1}))
        .await;
    let body = json!({"state": "dismissed", "dismissed_reason": "not_used"});
    let hasty = server
        .authorized(Method::PATCH, &path)
        .json(&body)
        .timeout(Duration::from_millis(100));
    assert!(hasty.send().await.expect_err("too slow").is_timeout());
    assert_eq!(
        last_request(&server).await["status"],
        json!(null),
        "received, not answered"
    );

    let deadline = Instant::now() + Duration::from_secs(10);
    while server
        .local(Method::GET, "/alerts/acme-appsec/pygoat/14", &json!({}))
        .await
        .body["state"]
        == "open"
    {
        assert!(Instant::now() < deadline, "the request was undone");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_fault_can_make_a_change_and_replace_or_lose_its_answer() {
    let server = Server::start().await;
    server
        .fault(json!({"operation": "update_alert", "status": 502, "apply": true, "times": 1}))
        .await;
    server
        .fault(json!({"operation": "update_alert", "effect": "drop_response", "times": 1}))
        .await;

    assert_eq!(server.dismiss(&format!("{PYGOAT}/14")).await.status, 502);
    assert_eq!(
        server.get(&format!("{PYGOAT}/14")).await.body["state"],
        "dismissed"
    );

    let body = json!({"state": "dismissed", "dismissed_reason": "not_used"});
    let path = format!("{PYGOAT}/13");
    let lost = server
        .authorized(Method::PATCH, &path)
        .json(&body)
        .send()
        .await;
    assert!(lost.is_err(), "not even a status arrives: {lost:?}");
    assert_eq!(last_request(&server).await["status"], 200);
    assert_eq!(server.get(&path).await.body["state"], "dismissed");
}

#[tokio::test]
async fn a_change_is_recorded_whatever_the_answer() {
    let server = Server::start().await;
    let path = format!("{PYGOAT}/14");
    let fault = |status: u16, apply: bool| json!({"operation": "update_alert", "status": status, "apply": apply, "times": 1});
    server.fault(fault(200, false)).await;
    server.fault(fault(502, true)).await;
    let body = json!({"state": "dismissed", "dismissed_reason": "not_used", "dismissed_comment": "By hand."});

    assert_eq!(server.patch(&path, &body).await.status, 200);
    let pretended = last_request(&server).await;
    assert_eq!(pretended.get("changed"), None, "{pretended}");
    assert_eq!(server.patch(&path, &body).await.status, 502);
    assert_eq!(last_request(&server).await["changed"], body);
    assert_eq!(server.patch(&path, &body).await.status, 409);
    let refused = last_request(&server).await;
    assert_eq!(refused.get("changed"), None, "{refused}");
    server.get(&path).await;
    let read = last_request(&server).await;
    assert_eq!(read.get("changed"), None, "{read}");
}

#[tokio::test]
async fn an_invalid_fault_names_its_field_and_registers_nothing() {
    let server = Server::start().await;
    let refused = server
        .local(
            Method::POST,
            "/faults",
            &json!({"operation": "*", "status": 42}),
        )
        .await;
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (400, "application/problem+json")
    );
    assert_eq!(refused.body["errors"][0]["pointer"], "/status");
    assert_eq!(server.get(PYGOAT).await.status, 200);
}

#[tokio::test]
async fn requests_are_listed_with_their_query_and_status() {
    let server = Server::start().await;
    server.get(&format!("{PYGOAT}?per_page=2")).await;
    let call = last_request(&server).await;
    assert_eq!(
        (&call["method"], &call["path"]),
        (&json!("GET"), &json!(format!("{PYGOAT}?per_page=2")))
    );
    assert_eq!(call["status"], 200);
    let at = call["at"].as_str().expect("a time");
    assert!(
        at.ends_with('Z') && at.len() == "2026-01-01T00:00:00.000Z".len(),
        "{at}"
    );
}

async fn last_request(server: &Server) -> Value {
    let listed = server.local(Method::GET, "/requests", &json!({})).await;
    listed
        .body
        .as_array()
        .and_then(|calls| calls.last())
        .cloned()
        .expect("one request at least")
}
