use reqwest::Method;
use reqwest::header::{IF_NONE_MATCH, USER_AGENT};
use serde_json::json;

use crate::server::{PYGOAT, Server, ZEPPELIN};

#[tokio::test]
async fn the_app_gets_tokens_only_for_its_own_installation() {
    let server = Server::start().await;
    let minted = server.mint(&json!({})).await;
    assert_eq!(minted.status, 201);
    assert_eq!(
        minted.body["permissions"],
        json!({"contents": "read", "metadata": "read", "vulnerability_alerts": "write"})
    );
    assert_eq!(minted.body["repository_selection"], "selected");
    assert!(
        minted.body["token"]
            .as_str()
            .is_some_and(|token| token.starts_with("ghs_") && token.len() > 40)
    );

    let other = server
        .request(Method::POST, "/app/installations/1/access_tokens")
        .bearer_auth(server.app_token());
    assert_eq!(server.send(other).await.status, 404);
    let own = format!("/app/installations/{}", server.simulator.installation_id());
    let forged = server
        .request(Method::POST, &format!("{own}/access_tokens"))
        .bearer_auth("a.b.c");
    assert_eq!(server.send(forged).await.status, 401);

    let installation = server
        .send(
            server
                .request(Method::GET, &own)
                .bearer_auth(server.app_token()),
        )
        .await;
    assert_eq!(
        installation.body["permissions"]["vulnerability_alerts"],
        "write"
    );
    assert_eq!(installation.body["suspended_at"], json!(null));
    assert_eq!(installation.body["account"]["login"], "acme-appsec");
}

#[tokio::test]
async fn without_a_valid_token_nothing_is_shown() {
    let server = Server::start().await;
    let none = server.send(server.request(Method::GET, ZEPPELIN)).await;
    assert_eq!(
        (none.status, none.message()),
        (401, "Requires authentication")
    );
    let wrong = server
        .send(
            server
                .request(Method::GET, ZEPPELIN)
                .bearer_auth("ghs_wrong"),
        )
        .await;
    assert_eq!((wrong.status, wrong.message()), (401, "Bad credentials"));
    let app = server
        .send(
            server
                .request(Method::GET, ZEPPELIN)
                .bearer_auth(server.app_token()),
        )
        .await;
    assert_eq!(app.status, 401);

    assert_eq!(server.get(ZEPPELIN).await.status, 200);
    let revoked = server.local(Method::DELETE, "/tokens", &json!({})).await;
    assert_eq!(revoked.status, 204);
    assert_eq!(server.get(ZEPPELIN).await.message(), "Bad credentials");
}

#[tokio::test]
async fn a_narrowed_token_grants_only_what_it_names() {
    let server = Server::start().await;
    let narrowing =
        json!({"repositories": ["pygoat"], "permissions": {"vulnerability_alerts": "read"}});
    let minted = server.mint(&narrowing).await;
    assert_eq!(
        minted.body["repositories"].as_array().map(Vec::len),
        Some(1)
    );
    let token = minted.body["token"].as_str().expect("a token").to_owned();
    let send = async |method, path: &str| {
        let body = json!({"state": "dismissed", "dismissed_reason": "not_used"});
        server
            .send(server.request(method, path).bearer_auth(&token).json(&body))
            .await
    };

    assert_eq!(send(Method::GET, PYGOAT).await.status, 200);
    assert_eq!(send(Method::GET, ZEPPELIN).await.status, 404);
    assert_eq!(
        send(Method::GET, "/installation/repositories").await.body["total_count"],
        1
    );
    let refused = send(Method::PATCH, &format!("{PYGOAT}/14")).await;
    assert_eq!(
        (refused.status, refused.message()),
        (403, "Resource not accessible by integration")
    );
    assert_eq!(
        refused.header("x-accepted-github-permissions"),
        "vulnerability_alerts=write"
    );

    for beyond in [
        json!({"repositories": ["elsewhere"]}),
        json!({"repository_ids": [1]}),
        json!({"permissions": {"contents": "write"}}),
    ] {
        assert_eq!(server.mint(&beyond).await.status, 422, "{beyond}");
    }
}

#[tokio::test]
async fn a_request_without_a_user_agent_is_refused() {
    let server = Server::start().await;
    let request = server
        .authorized(Method::GET, ZEPPELIN)
        .header(USER_AGENT, "");
    assert_eq!(server.send(request).await.status, 200, "even an empty one");
    let bare = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let response = bare
        .get(format!("{}{ZEPPELIN}", server.base))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 403);
    assert!(
        response
            .text()
            .await
            .expect("a text")
            .contains("User-Agent header")
    );
}

#[tokio::test]
async fn a_304_does_not_count_against_the_rate_limit() {
    let server = Server::start().await;
    let first = server.get(PYGOAT).await;
    let tag = first.header("etag").to_owned();
    assert_eq!(
        (
            first.header("x-ratelimit-limit"),
            first.header("x-ratelimit-remaining")
        ),
        ("5000", "4999")
    );

    let again = server
        .authorized(Method::GET, PYGOAT)
        .header(IF_NONE_MATCH, &tag);
    let again = server.send(again).await;
    assert_eq!(
        (again.status, again.header("x-ratelimit-remaining")),
        (304, "4999")
    );
    assert_eq!(again.header("etag"), tag);

    let other = server.mint(&json!({})).await;
    let other = other.body["token"].as_str().expect("a token").to_owned();
    let request = server
        .request(Method::GET, PYGOAT)
        .bearer_auth(other)
        .header(IF_NONE_MATCH, &tag);
    assert_eq!(
        server.send(request).await.status,
        200,
        "another token makes another tag"
    );

    server.dismiss(&format!("{PYGOAT}/14")).await;
    let changed = server
        .authorized(Method::GET, PYGOAT)
        .header(IF_NONE_MATCH, &tag);
    assert_eq!(
        server.send(changed).await.status,
        200,
        "the list has changed"
    );
}

#[tokio::test]
async fn a_spent_rate_limit_is_reported() {
    let server = Server::start().await;
    server.simulator.set_rate_limit(2);
    assert_eq!(
        server.get(PYGOAT).await.header("x-ratelimit-remaining"),
        "1"
    );
    assert_eq!(
        server.get(PYGOAT).await.header("x-ratelimit-remaining"),
        "0"
    );
    let spent = server.get(PYGOAT).await;
    assert_eq!(
        (spent.status, spent.header("x-ratelimit-remaining")),
        (403, "0")
    );
    assert_eq!(
        spent.message(),
        "API rate limit exceeded for installation ID 51000001."
    );
    assert!(spent.header("x-ratelimit-reset").parse::<u64>().is_ok());
    let limits = server.get("/rate_limit").await;
    assert_eq!(
        (
            limits.status,
            &limits.body["resources"]["core"]["remaining"]
        ),
        (200, &json!(0))
    );
}
