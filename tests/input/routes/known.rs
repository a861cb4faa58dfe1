//! Requests that once did harm, and their answers now.

use super::request::{Asked, Request};

/// Each with its defect.
pub(crate) fn requests() -> Vec<(&'static str, Asked, u64)> {
    let read = |name: &str| Request::of(&format!("GET /v1/owners/{{owner}}/{name}"), "me");
    let with = |name: &str, value: &str| {
        let mut request = read("config");
        request.headers.push((name.to_owned(), value.to_owned()));
        Asked(request.event())
    };
    let querying = |query: &str| {
        let mut request = read("findings");
        query.clone_into(&mut request.query);
        Asked(request.event())
    };
    let mut not_base64 = Request::of("PUT /v1/owners/{owner}/config", "me");
    not_base64
        .headers
        .push(("if-match".to_owned(), "1".to_owned()));
    not_base64
        .headers
        .push(("content-type".to_owned(), "application/json".to_owned()));
    not_base64.body = Some(b"{".to_vec());
    let mut not_base64 = not_base64.event();
    not_base64["isBase64Encoded"] = true.into();
    vec![
        (
            "a host that no URL may have",
            with("host", "%2e%2e%2f"),
            200,
        ),
        (
            "a protocol that no URL may have",
            with("x-forwarded-proto", "a b"),
            200,
        ),
        (
            "a query that no URI may have",
            querying("status=a b\"<\u{fc}>#"),
            400,
        ),
        (
            "a body that is no base64, though it says so",
            Asked(not_base64),
            400,
        ),
    ]
}
