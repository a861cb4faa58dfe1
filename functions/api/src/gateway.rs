//! Converts an event of API Gateway (HTTP API, payload 2.0) to a request, and its response back.
//!
//! The event is sanitised before it is parsed. Its path is encoded again, because the gateway decodes paths and an owner's
//! id may contain `/`. Claims become text. Values that would make the adapter panic are removed or encoded, because a
//! caller could choose them.

use std::convert::Infallible;

use axum::{Router, extract::FromRequestParts, http::request::Parts};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::Timestamp;
use lambda_http::{
    Adapter, LambdaEvent, Request, Service as _, aws_lambda_events::apigw::ApiGatewayV2httpRequest,
    request::LambdaRequest,
};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use crate::problem::{Code, Problem};

/// All characters except RFC 3986's unreserved ones and `:`, which is harmless in a path and common in owners.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

/// Characters that a URI's query must not contain, though clients send them and the gateway passes them on.
const NOT_IN_QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

/// What the path of an owner begins with.
const OWNERS: &str = "/v1/owners/";

/// Encodes one segment of a path.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// One request, as the gateway sends it.
#[derive(Debug)]
pub struct Event(LambdaRequest);

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut event = Value::deserialize(deserializer)?;
        tame(&mut event);
        if let Some(claims) = event
            .pointer_mut("/requestContext/authorizer/jwt/claims")
            .and_then(Value::as_object_mut)
        {
            claims.retain(|_, claim| match claim {
                Value::String(_) => true,
                // API Gateway makes text of these, too. `null`, for one, must not become a subject's name.
                Value::Array(_) | Value::Number(_) => {
                    *claim = claim.to_string().into();
                    true
                }
                Value::Null | Value::Bool(_) | Value::Object(_) => false,
            });
        }
        if let Some(path) = path(&event) {
            event["rawPath"] = path.into();
        }
        ApiGatewayV2httpRequest::deserialize(event)
            .map(|event| Self(LambdaRequest::ApiGatewayV2(event)))
            .map_err(de::Error::custom)
    }
}

/// Returns the path, each segment encoded. `None` if no route was matched.
///
/// A decoded path does not tell the slashes of an owner's id from those around it. Only a caller's own id can contain one,
/// so a path that begins with it is about it, whichever route was matched. [`crate::scope`] authorises what results.
fn path(event: &Value) -> Option<String> {
    let path = decoded(event)?;
    let segments = |text: &str| text.split('/').map(segment).collect::<Vec<_>>().join("/");
    let own = event
        .pointer("/requestContext/authorizer/jwt/claims/sub")
        .and_then(Value::as_str)
        .map(|sub| format!("user:{sub}"));
    let below_own = own.and_then(|own| {
        let below = path.strip_prefix(OWNERS)?.strip_prefix(&own)?;
        (below.is_empty() || below.starts_with('/'))
            .then(|| format!("{OWNERS}{}{}", segment(&own), segments(below)))
    });
    Some(below_own.unwrap_or_else(|| segments(&path)))
}

/// Returns the matched route's path with its parameters, as the gateway decoded them. Not `rawPath`: that may begin with a
/// stage.
fn decoded(event: &Value) -> Option<String> {
    let route = event.pointer("/requestContext/routeKey")?.as_str()?;
    let (_, template) = route.split_once(' ')?;
    let segments = template.split('/').map(|part| {
        let name = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'));
        match name {
            None => Some(part),
            Some(name) => event["pathParameters"][name.trim_end_matches('+')].as_str(),
        }
    });
    segments
        .collect::<Option<Vec<_>>>()
        .map(|segments| segments.join("/"))
}

/// Removes what would make the adapter panic: it expects a host that is valid in a URL, a query that is valid in a URI,
/// and a body that is base64 if its flag says so.
fn tame(event: &mut Value) {
    // No handler uses these: links are relative.
    for (within, names) in [
        ("/headers", ["host", "x-forwarded-proto"].as_slice()),
        ("/requestContext", &["domainName"]),
    ] {
        if let Some(members) = event.pointer_mut(within).and_then(Value::as_object_mut) {
            members.retain(|name, _| !names.iter().any(|taken| name.eq_ignore_ascii_case(taken)));
        }
    }
    if let Some(query) = event["rawQueryString"].as_str() {
        event["rawQueryString"] = utf8_percent_encode(query, NOT_IN_QUERY).to_string().into();
    }
    let not_base64 = |body: &str| STANDARD.decode(body).is_err();
    if event["isBase64Encoded"] == true && event["body"].as_str().is_some_and(not_base64) {
        event["isBase64Encoded"] = false.into();
    }
}

/// Handles one event.
pub async fn answer(
    router: Router,
    event: LambdaEvent<Event>,
    now: Timestamp,
) -> Result<impl Serialize + Send, Infallible> {
    let (Event(event), context) = event.into_parts();
    let mut adapter = Adapter::from(lambda_http::service_fn(move |mut request: Request| {
        request.extensions_mut().insert(Now(now));
        router.clone().call(request)
    }));
    adapter.call(LambdaEvent::new(event, context)).await
}

/// The time of the request.
#[derive(Clone, Copy, Debug)]
pub struct Now(pub Timestamp);

impl<S: Sync> FromRequestParts<S> for Now {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().copied().ok_or_else(|| {
            tracing::error!("the request bypassed the gateway: it has no time");
            Problem::new(
                Code::Internal,
                "The request failed, and the operators have been notified.",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The event of a caller whose request matched this route.
    fn matched(sub: &str, route: &str, parameters: &Value) -> Value {
        json!({
            "rawPath": "/stage/is/not/read",
            "requestContext": {"routeKey": route, "authorizer": {"jwt": {"claims": {"sub": sub}}}},
            "pathParameters": parameters,
        })
    }

    const GREEDY: &str = "GET /v1/owners/{proxy+}";

    #[test]
    fn the_path_is_the_matched_route_with_its_parameters_encoded() {
        for (route, parameters, expected) in [
            (
                "GET /v1/owners/{owner}/commands/{id}",
                json!({"owner": "user:a|50%", "id": "\u{fc}"}),
                "/v1/owners/user:a%7C50%25/commands/%C3%BC",
            ),
            (GREEDY, json!({"proxy": "me/?/#"}), "/v1/owners/me/%3F/%23"),
            ("GET /v1/health", json!({}), "/v1/health"),
        ] {
            let event = matched("a", route, &parameters);
            assert_eq!(path(&event).as_deref(), Some(expected));
        }
    }

    #[test]
    fn the_callers_own_id_is_one_segment_whichever_route_was_matched() {
        for (sub, route, parameters, expected) in [
            (
                "oauth/google:117",
                GREEDY,
                json!({"proxy": "user:oauth/google:117/commands/1"}),
                "/v1/owners/user:oauth%2Fgoogle:117/commands/1",
            ),
            (
                "x/commands",
                GREEDY,
                json!({"proxy": "user:x/commands"}),
                "/v1/owners/user:x%2Fcommands",
            ),
            (
                "x/commands",
                "GET /v1/owners/{owner}/commands/{id}",
                json!({"owner": "user:x", "id": "commands"}),
                "/v1/owners/user:x%2Fcommands/commands",
            ),
            (
                "x",
                "GET /v1/owners/{owner}/commands/{id}",
                json!({"owner": "user:x", "id": "commands"}),
                "/v1/owners/user:x/commands/commands",
            ),
        ] {
            let event = matched(sub, route, &parameters);
            assert_eq!(path(&event).as_deref(), Some(expected), "{sub}");
        }
    }

    #[test]
    fn an_id_that_the_callers_only_resembles_stays_segments() {
        for sub in ["oauth", "oauth/goo", "oauth/google:117/c", "google:117"] {
            let event = matched(sub, GREEDY, &json!({"proxy": "user:oauth/google:117"}));
            let path = path(&event).expect("a route was matched");
            assert_eq!(path, "/v1/owners/user:oauth/google:117", "{sub}");
        }
    }

    proptest! {
        #[test]
        fn every_id_of_a_caller_is_found_in_a_decoded_path(sub in "[^\\p{Cc}]{1,20}", below in "(/[a-z]{1,4}){0,3}") {
            let event = matched(&sub, GREEDY, &json!({"proxy": format!("user:{sub}{below}")}));
            let expected = format!("/v1/owners/{}{below}", segment(&format!("user:{sub}")));
            prop_assert_eq!(path(&event), Some(expected));
        }
    }

    fn tamed(mut event: Value) -> Value {
        tame(&mut event);
        event
    }

    #[test]
    fn host_headers_are_removed_and_nothing_else() {
        let event = json!({
            "headers": {"Host": "%2e", "x-forwarded-proto": "a b", "X-Forwarded-For": "192.0.2.1", "if-match": "1"},
            "requestContext": {"domainName": "a b", "routeKey": "GET /v1/health"},
        });
        let expected = json!({
            "headers": {"X-Forwarded-For": "192.0.2.1", "if-match": "1"},
            "requestContext": {"routeKey": "GET /v1/health"},
        });
        let tamed = tamed(event);
        assert_eq!(tamed["headers"], expected["headers"]);
        assert_eq!(tamed["requestContext"], expected["requestContext"]);
    }

    #[test]
    fn a_query_becomes_valid_in_a_uri_and_keeps_its_meaning() {
        for (given, expected) in [
            ("status=open&cursor=a-b_%7C", "status=open&cursor=a-b_%7C"),
            ("a=b c\"<\u{fc}>#\n", "a=b%20c%22%3C%C3%BC%3E%23%0A"),
        ] {
            let tamed = tamed(json!({"rawQueryString": given}));
            assert_eq!(tamed["rawQueryString"], expected);
        }
    }

    #[test]
    fn a_body_counts_as_base64_only_if_flagged_and_decodable() {
        for (said, body, is) in [
            (true, "eyJhIjoxfQ==", true),
            (true, "{}", false),
            (false, "{}", false),
            (false, "eyJhIjoxfQ==", false),
        ] {
            let tamed = tamed(json!({"isBase64Encoded": said, "body": body}));
            assert_eq!(tamed["isBase64Encoded"], is, "{said}, {body}");
            assert_eq!(tamed["body"], body);
        }
    }

    #[test]
    fn without_a_matched_route_the_path_is_unchanged() {
        for event in [
            json!({}),
            json!({"requestContext": {"routeKey": "$default"}}),
            json!({"requestContext": {"routeKey": "GET /v1/{owner}"}}),
        ] {
            assert_eq!(path(&event), None, "{event}");
        }
    }
}
