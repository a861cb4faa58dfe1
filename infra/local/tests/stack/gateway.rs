//! The API and the local endpoints.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::TestStack;

#[tokio::test]
async fn the_function_gets_the_request_and_the_caller_its_answer() {
    let stack = TestStack::started().await;
    let token = stack.token().await;
    let url = format!("{}/owners/user:google%7C117/orders?limit=5", stack.url);
    let request = stack.http.post(url).bearer_auth(token).json(&json!({}));
    let answer = request.send().await.expect("the gateway answers");
    assert_eq!(answer.status(), StatusCode::CREATED);
    let answer: Value = answer.json().await.expect("the probe echoes");
    let event = &answer["event"];
    assert_eq!(event["pathParameters"]["owner"], "user:google|117");
    assert_eq!(event["queryStringParameters"]["limit"], "5");
    let claims = &event["requestContext"]["authorizer"]["jwt"]["claims"];
    assert_eq!(
        (&claims["sub"], &claims["orgs"]),
        (&json!("auth0|5f7c"), &json!("[]"))
    );
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_path_is_decoded_and_cut_before_it_is_matched() {
    let stack = TestStack::started().await;
    let token = stack.token().await;
    for (sent, route, path) in [
        (
            "user:oauth%2Fgoogle/orders",
            "POST /owners/{proxy+}",
            "/owners/user:oauth/google/orders",
        ),
        (
            "me/orders%3F/x",
            "POST /owners/{owner}/orders",
            "/owners/me/orders",
        ),
    ] {
        let url = format!("{}/owners/{sent}", stack.url);
        let request = stack.http.post(url).bearer_auth(&token).json(&json!({}));
        let answer = request.send().await.expect("the gateway answers");
        let answer: Value = answer.json().await.expect("the probe echoes");
        let event = &answer["event"];
        assert_eq!(
            (&event["routeKey"], &event["rawPath"]),
            (&json!(route), &json!(path))
        );
    }
    stack.stack.stop().await;
}

#[tokio::test]
async fn without_a_valid_token_only_open_routes_answer() {
    let stack = TestStack::started().await;
    assert_eq!(stack.get("/health").await.status(), StatusCode::CREATED);
    let refused = stack.post("/owners/me/orders", &json!({})).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    let problem: Value = refused.json().await.expect("a problem");
    assert_eq!(
        (&problem["code"], &problem["message"]),
        (&json!("UNAUTHORIZED"), &json!("Unauthorized"))
    );
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_path_without_a_route_is_not_found() {
    let stack = TestStack::started().await;
    for path in ["/", "/health/", "/owners/me/orders", "/local/nonsense"] {
        let answer = stack.get(path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        let body: Value = answer.json().await.expect("API Gateway's own message");
        assert_eq!(body, json!({"message": "Not Found"}));
    }
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_function_error_is_an_internal_server_error() {
    let stack = TestStack::started().await;
    let token = stack.token().await;
    let url = format!("{}/owners/me/orders", stack.url);
    let request = stack
        .http
        .post(url)
        .bearer_auth(token)
        .json(&json!({"do": "fail"}));
    let answer = request.send().await.expect("the gateway answers");
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_body_beyond_ten_megabytes_is_refused() {
    let stack = TestStack::started().await;
    let token = stack.token().await;
    let url = format!("{}/owners/me/orders", stack.url);
    let request = stack
        .http
        .post(url)
        .bearer_auth(token)
        .body(vec![b' '; 10 * 1024 * 1024 + 1]);
    let answer = request.send().await.expect("the gateway answers");
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_token_request_with_an_unknown_member_or_owner_is_refused() {
    let stack = TestStack::started().await;
    for request in [
        json!({"sub": "a", "admin": true}),
        json!({"sub": ""}),
        json!({"sub": "a", "orgs": ["acme"]}),
        json!({}),
    ] {
        let answer = stack.post("/local/tokens", &request).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{request}");
    }
    stack.stack.stop().await;
}

#[tokio::test]
async fn without_an_issuer_dashboard_users_choose_who_they_are() {
    let stack = TestStack::started().await;
    let told: Value = stack
        .get("/dashboard.json")
        .await
        .json()
        .await
        .expect("JSON");
    assert_eq!(told, json!({"module": "/local/sign-in.js"}));
    let module = stack.get("/local/sign-in.js").await;
    assert_eq!(module.status(), StatusCode::OK);
    assert_eq!(
        module.headers()["content-type"],
        "text/javascript; charset=utf-8"
    );
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_schedule_runs_when_asked() {
    let stack = TestStack::started().await;
    let answer = stack.post("/local/schedules/probe", &json!({})).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.expect("the probe echoes");
    assert_eq!(answer["event"]["source"], "aws.scheduler");
    let unknown = stack.post("/local/schedules/nobody", &json!({})).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_web_page_of_another_origin_can_give_no_order() {
    let stack = TestStack::started().await;
    let order = || {
        let path = "/2015-03-31/functions/probe/invocations";
        let request = stack.http.post(format!("{}{path}", stack.url));
        request.body("{}")
    };
    let tokens = || stack.http.post(format!("{}/local/tokens", stack.url));
    let json = ("content-type", "application/json");
    let body = r#"{"sub":"a","connect":false}"#;
    for (what, request, status) in [
        (
            "a form's content type",
            order().header("content-type", "text/plain"),
            415,
        ),
        ("no content type", tokens().body(body), 415),
        (
            "another origin",
            order()
                .header(json.0, json.1)
                .header("origin", "http://evil.example"),
            403,
        ),
        (
            "no origin that can be named",
            tokens()
                .header(json.0, json.1)
                .header("origin", "null")
                .body(body),
            403,
        ),
        (
            "another name of this machine",
            tokens()
                .header(json.0, json.1)
                .header("host", "evil.example")
                .body(body),
            403,
        ),
        (
            "another origin, with a token's header",
            stack
                .http
                .get(format!("{}/health", stack.url))
                .header("origin", "http://evil.example"),
            403,
        ),
    ] {
        let answer = request.send().await.expect("the gateway answers");
        assert_eq!(answer.status(), status, "{what}");
    }
    let own = tokens().header(json.0, json.1).header("origin", &stack.url);
    let own = own.body(body).send().await.expect("the gateway answers");
    assert_eq!(own.status(), StatusCode::OK);
    assert_eq!(stack.function().await["invocations"], 0);
    stack.stack.stop().await;
}
