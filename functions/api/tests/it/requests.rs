//! Invalid requests, which are refused before anything is read or written.

use serde_json::{Value, json};

use crate::support::{Call, Stack, get, post, put};

const COMMANDS: &str = "/v1/owners/{owner}/commands";
const CONFIG: &str = "/v1/owners/{owner}/config";

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let stack = Stack::start().await;
    let mut unrouted = get("$default");
    unrouted.event["requestContext"]["routeKey"] = "$default".into();
    assert_eq!(stack.call(unrouted).await.problem(404), "NOT_FOUND");
    let answer = stack.call(Call::new("DELETE", COMMANDS)).await;
    assert_eq!(answer.problem(405), "METHOD_NOT_ALLOWED");
    assert_eq!(
        answer.body["type"],
        "urn:security-agent:problem:method-not-allowed"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_body_has_a_size_limit_and_must_be_declared_as_json() {
    let stack = Stack::start().await;
    let longest = |length: usize| {
        let empty = json!({"type": "sync", "repository": ""}).to_string().len();
        json!({"type": "sync", "repository": "a".repeat(length - empty)})
    };
    let fits = stack.call(post(COMMANDS).body(longest(65_536))).await;
    assert_eq!(fits.invalid(), ["/repository"]);
    let too_long = stack.call(post(COMMANDS).body(longest(65_537))).await;
    assert_eq!(too_long.problem(413), "BODY_TOO_LARGE");

    let sync = json!({"type": "sync"});
    for declared in ["text/plain", "", "application/jsonx", "image/svg+json"] {
        let call = post(COMMANDS)
            .header("content-type", declared)
            .body(sync.clone());
        assert_eq!(
            stack.call(call).await.problem(415),
            "UNSUPPORTED_MEDIA_TYPE",
            "{declared}"
        );
    }
    let json = [
        "Application/JSON; charset=utf-8",
        "application/vnd.acme.command+json",
    ];
    for declared in json {
        let call = post(COMMANDS).header("content-type", declared);
        let answer = stack.call(call.body(sync.clone())).await;
        assert_eq!(answer.status, 202, "{declared}");
    }
    for text in ["", "{", "[]", "null", "\"sync\""] {
        let answer = stack.call(post(COMMANDS).text(text)).await;
        assert_eq!(answer.problem(400), "MALFORMED_BODY", "{text}");
    }
    assert_eq!(stack.services.sent().len(), json.len());
}

#[tokio::test]
async fn a_refused_command_lists_every_error() {
    let stack = Stack::start().await;
    for (body, pointers) in [
        (json!({}), vec!["/type"]),
        (json!({"type": "dismiss"}), vec!["/type"]),
        (json!({"type": "sync", "repo": "a/b"}), vec!["/repo"]),
        (json!({"type": "sync", "a/b~c": 1}), vec!["/a~1b~0c"]),
        (
            json!({"type": 1, "repository": "nope", "origin": "auto_dismiss"}),
            vec!["/origin", "/repository", "/type"],
        ),
        (
            json!({"type": "sync", "origin": "enable_initial_sync"}),
            vec!["/origin"],
        ),
    ] {
        let answer = stack.call(post(COMMANDS).body(body.clone())).await;
        let mut found = answer.invalid();
        found.sort_unstable();
        assert_eq!(found, pointers, "{body}");
    }
    let unknown = stack
        .call(post(COMMANDS).body(json!({"type": "reboot"})))
        .await;
    let message = unknown.body["errors"][0]["message"]
        .as_str()
        .expect("a text");
    assert!(message.contains("sync"), "{message} names the known types");

    for key in ["", "a b", &"k".repeat(256)] {
        let call = post(COMMANDS).header("idempotency-key", key);
        let answer = stack.call(call.body(json!({"type": "sync"}))).await;
        assert_eq!(answer.invalid(), ["/headers/idempotency-key"]);
    }
    assert_eq!(stack.services.sent(), []);
}

#[tokio::test]
async fn a_refused_query_lists_every_error() {
    let stack = Stack::start().await;
    for (route, query, pointers) in [
        (
            COMMANDS,
            "limit=0&state=done&page=2",
            vec!["/query/limit", "/query/page", "/query/state"],
        ),
        (COMMANDS, "limit=101", vec!["/query/limit"]),
        (COMMANDS, "limit=1&limit=2", vec!["/query/limit"]),
        (COMMANDS, "ids=nope", vec!["/query/ids"]),
        (COMMANDS, "ids=", vec!["/query/ids"]),
        (
            COMMANDS,
            "state=active&ids=01932b3a-5c00-7000-8000-000000000001",
            vec!["/query/ids"],
        ),
        (
            COMMANDS,
            "ids=01932b3a-5c00-7000-8000-000000000001&limit=5",
            vec!["/query/limit"],
        ),
        (
            "/v1/owners/{owner}/findings",
            "status=new&severity=bad&repository=x&analysis=maybe&colour=red",
            vec![
                "/query/analysis",
                "/query/colour",
                "/query/repository",
                "/query/severity",
                "/query/status",
            ],
        ),
        (
            "/v1/owners/{owner}/repositories",
            "sort=name",
            vec!["/query/sort"],
        ),
    ] {
        let answer = stack.call(get(route).query(query)).await;
        let mut found = answer.invalid();
        found.sort_unstable();
        assert_eq!(found, pointers, "{query}");
    }
    let many: Vec<_> = (0..101)
        .map(|n| format!("01932b3a-5c00-7000-8000-{n:012}"))
        .collect();
    let answer = stack
        .call(get(COMMANDS).query(&format!("ids={}", many.join(","))))
        .await;
    assert_eq!(answer.invalid(), ["/query/ids"]);
    let answer = stack
        .call(get(COMMANDS).query(&format!("ids={}", many[..100].join(","))))
        .await;
    assert_eq!(answer.ids("commands"), [""; 0]);
}

#[tokio::test]
async fn a_query_parameter_has_a_length_limit() {
    let stack = Stack::start().await;
    let cursor = |length: usize| get(COMMANDS).query(&format!("cursor={}", "x".repeat(length)));
    let read = stack.call(cursor(4_096)).await;
    assert_eq!(read.problem(400), "INVALID_CURSOR");
    for length in [4_097, 9_000] {
        let answer = stack.call(cursor(length)).await;
        assert_eq!(answer.invalid(), ["/query/cursor"], "{length}");
    }
}

#[tokio::test]
async fn a_list_of_errors_is_limited_in_length_and_content() {
    let stack = Stack::start().await;
    let unknown: serde_json::Map<String, Value> = (0..500)
        .map(|n| (format!("{n}{}", "x".repeat(60)), Value::Null))
        .collect();
    let call = put("/v1/owners/{owner}/config")
        .header("if-match", "0")
        .body(Value::Object(unknown));
    assert_eq!(stack.call(call).await.invalid().len(), 100);
    let long = json!({"type": "y".repeat(10_000)});
    let answer = stack.call(post(COMMANDS).body(long)).await;
    assert!(answer.body.to_string().len() < 1_000, "{}", answer.body);
}

#[tokio::test]
async fn a_body_means_one_thing_only() {
    let stack = Stack::connected().await;
    let id = "dependabot-7-42";
    for body in [
        r#"{"type":"dismiss_finding","type":"sync"}"#.to_owned(),
        r#"{"type":"sync","repository":"a/b","repository":null}"#.to_owned(),
        format!(r#"{{"type":"start_analysis","findingId":"{id}","findingId":"{id}"}}"#),
    ] {
        let answer = stack.call(post(COMMANDS).text(&body)).await;
        assert_eq!(answer.problem(400), "MALFORMED_BODY", "{body}");
    }
    for (body, pointers) in [
        (json!({"type": {"sync": null}}), vec!["/type"]),
        (
            json!({"type": "sync", "origin": {"manual": null}}),
            vec!["/origin"],
        ),
        (
            json!({"type": "dismiss_finding", "findingId": id, "reason": {"inaccurate": null}}),
            vec!["/reason"],
        ),
    ] {
        let answer = stack.call(post(COMMANDS).body(body.clone())).await;
        assert_eq!(answer.invalid(), pointers, "{body}");
    }
    let save = |body: &str| put(CONFIG).header("if-match", "*").text(body);
    let answer = stack.call(save(r#"{"slaDays":{"low":1,"low":2}}"#)).await;
    assert_eq!(answer.problem(400), "MALFORMED_BODY");
    let words = r#"{"repositorySelection":{"all":null},"analysisMode":{"deep":null},
        "autoAnalysis":{"minSeverity":{"all":null}},"autoDismiss":{"minConfidence":{"low":null}}}"#;
    let answer = stack.call(save(words)).await;
    assert_eq!(
        answer.invalid(),
        [
            "/repositorySelection",
            "/analysisMode",
            "/autoAnalysis/minSeverity",
            "/autoDismiss/minConfidence"
        ]
    );
    assert_eq!(stack.services.sent(), []);
}

#[tokio::test]
async fn an_encoded_body_or_another_charset_is_refused() {
    let stack = Stack::start().await;
    let sync = json!({"type": "sync"});
    let encoded = |coding: &str| post(COMMANDS).header("content-encoding", coding);
    for coding in ["gzip", "br", "identity, gzip", "x"] {
        let answer = stack.call(encoded(coding).body(sync.clone())).await;
        assert_eq!(answer.problem(400), "MALFORMED_BODY", "{coding}");
    }
    let declared = |charset: &str| {
        let declared = format!("application/json; charset={charset}");
        post(COMMANDS).header("content-type", &declared)
    };
    for charset in ["utf-16", "latin1", "\"utf-16\"", ""] {
        let answer = stack.call(declared(charset).body(sync.clone())).await;
        assert_eq!(answer.problem(415), "UNSUPPORTED_MEDIA_TYPE", "{charset}");
    }
    assert_eq!(stack.services.sent(), []);
    for call in [
        encoded("Identity"),
        encoded(""),
        declared("UTF-8"),
        declared("\"utf-8\""),
    ] {
        assert_eq!(stack.call(call.body(sync.clone())).await.status, 202);
    }
}
