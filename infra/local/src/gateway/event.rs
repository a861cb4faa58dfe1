//! A request as API Gateway passes it to a function: payload format 2.0 of an HTTP API.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, COOKIE, HOST, USER_AGENT};
use http::request::Parts;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::routes::{Matched, decoded, key};

/// Facts in the event that are not part of the request itself.
#[derive(Debug)]
pub(super) struct Circumstances<'a> {
    pub(super) account: &'a str,
    pub(super) source: IpAddr,
    pub(super) port: u16,
    pub(super) now: Timestamp,
    /// The claims of the caller's token, if the route has an authorizer.
    pub(super) claims: Option<Map<String, Value>>,
}

/// Builds the event for one request.
pub(super) fn event(
    matched: &Matched<'_>,
    parts: &Parts,
    body: &Bytes,
    circumstances: Circumstances<'_>,
) -> Value {
    let route_key = key(matched.route);
    let host = text(&parts.headers, &HOST);
    // Unlike REST APIs, HTTP APIs pass the path decoded.
    let path = &matched.path;
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": headers(&parts.headers, &circumstances),
        "requestContext": {
            "accountId": circumstances.account,
            "apiId": "local",
            "domainName": host,
            "domainPrefix": host.split('.').next().unwrap_or_default(),
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": circumstances.source.to_string(),
                "userAgent": text(&parts.headers, &USER_AGENT),
            },
            "requestId": Uuid::new_v4().simple().to_string(),
            "routeKey": route_key,
            "stage": "$default",
            "time": circumstances.now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": circumstances.now.as_millisecond(),
        },
        "isBase64Encoded": false,
    });
    // Like API Gateway, omit members without content.
    if !matched.parameters.is_empty() {
        event["pathParameters"] = json!(matched.parameters);
    }
    if let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) {
        event["queryStringParameters"] = json!(query_parameters(query));
    }
    let cookies = cookies(&parts.headers);
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if let Some(claims) = circumstances.claims {
        event["requestContext"]["authorizer"] =
            json!({"jwt": {"claims": flattened(claims), "scopes": null}});
    }
    if !body.is_empty() {
        match std::str::from_utf8(body) {
            Ok(body) if is_text(&parts.headers) => event["body"] = json!(body),
            Ok(_) | Err(_) => {
                event["body"] = json!(STANDARD.encode(body));
                event["isBase64Encoded"] = json!(true);
            }
        }
    }
    event
}

/// Lower-case names; values of the same name joined by a comma; without cookies.
fn headers(sent: &HeaderMap, circumstances: &Circumstances<'_>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in sent.iter().filter(|(name, _)| *name != COOKIE) {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|values| {
                values.push(',');
                values.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    let source = circumstances.source.to_string();
    headers
        .entry("x-forwarded-for".to_owned())
        .and_modify(|hops| {
            hops.push_str(", ");
            hops.push_str(&source);
        })
        .or_insert(source);
    headers.insert(
        "x-forwarded-port".to_owned(),
        circumstances.port.to_string(),
    );
    headers.insert("x-forwarded-proto".to_owned(), "http".to_owned());
    headers
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(|cookie| cookie.trim().to_owned())
        .filter(|cookie| !cookie.is_empty())
        .collect()
}

/// Decoded; values of the same name joined by a comma.
fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::<String, String>::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(&value.replace('+', " "));
        parameters
            .entry(decoded(&name.replace('+', " ")))
            .and_modify(|values| {
                values.push(',');
                values.push_str(&value);
            })
            .or_insert(value);
    }
    parameters
}

/// Makes text of claims as API Gateway does: as Go prints values, so a list is `[a b]`, without quotes.
fn flattened(claims: Map<String, Value>) -> BTreeMap<String, String> {
    fn text(value: &Value) -> String {
        let joined = |parts: Vec<String>| parts.join(" ");
        match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => format!("[{}]", joined(items.iter().map(text).collect())),
            Value::Object(members) => {
                let members = members.iter();
                let members = members.map(|(name, value)| format!("{name}:{}", text(value)));
                format!("map[{}]", joined(members.collect()))
            }
            Value::Null => "<nil>".to_owned(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
        }
    }
    claims
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

/// Reports whether API Gateway passes a body of this type unchanged; it encodes others as base64.
fn is_text(headers: &HeaderMap) -> bool {
    const TEXT: [&str; 5] = [
        "text/",
        "application/json",
        "application/javascript",
        "application/xml",
        "application/problem+json",
    ];
    let content_type = text(headers, &CONTENT_TYPE).to_ascii_lowercase();
    content_type.is_empty() || TEXT.iter().any(|text| content_type.starts_with(text))
}

fn text(headers: &HeaderMap, name: &http::HeaderName) -> String {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::{Method, Request};
    use lambda_http::{RequestExt, request::RequestContext};

    use super::super::routes::Routes;
    use super::*;
    use crate::template::{Access, Route};

    fn routes() -> Routes {
        let paths = ["/v1/owners/{owner}/commands", "/v1/owners/{proxy+}"];
        let routes = paths.map(|path| Route {
            method: Some(Method::POST),
            path: path.to_owned(),
            function: "api".to_owned(),
            access: Access::Token("Writers".to_owned()),
        });
        Routes::new(routes.into())
    }

    fn event_of(request: Request<Bytes>, claims: Option<Value>) -> Value {
        let (parts, body) = request.into_parts();
        let routes = routes();
        let matched = routes.find(&parts.method, parts.uri.path());
        event(
            &matched.expect("a route"),
            &parts,
            &body,
            Circumstances {
                account: "000000000000",
                source: IpAddr::V4(Ipv4Addr::LOCALHOST),
                port: 8787,
                now: "2026-11-23T14:05:06Z".parse().expect("a time"),
                claims: claims.and_then(|claims| claims.as_object().cloned()),
            },
        )
    }

    fn post(path: &str) -> http::request::Builder {
        Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", "127.0.0.1:8787")
    }

    #[test]
    fn lambda_http_parses_the_event_as_the_sent_request() {
        let sent = post("/v1/owners/user:a%2Fb/commands?ids=1&ids=2&cursor=a%2Bb")
            .header("content-type", "application/json")
            .header("x-list", "1")
            .header("x-list", "2")
            .header("cookie", "a=1; b=2")
            .body(Bytes::from_static(b"{\"type\":\"sync\"}"))
            .expect("a request");
        let event = event_of(
            sent,
            Some(
                json!({"sub": "a/b", "orgs": ["x", "y"], "exp": 5, "odd": [{"note": "a b"}, null]}),
            ),
        );

        let read = lambda_http::request::from_str(&event.to_string()).expect("a 2.0 event");

        assert_eq!(read.method(), Method::POST);
        assert_eq!(read.raw_http_path(), "/v1/owners/user:a/b/commands");
        let parameters = read.path_parameters();
        assert_eq!(parameters.first("proxy"), Some("user:a/b/commands"));
        assert_eq!(
            read.query_string_parameters().all("ids"),
            Some(vec!["1", "2"])
        );
        assert_eq!(read.query_string_parameters().first("cursor"), Some("a+b"));
        assert_eq!(read.headers()["x-list"], "1,2");
        assert_eq!(read.headers()["cookie"], "a=1; b=2");
        assert_eq!(read.body().as_ref(), b"{\"type\":\"sync\"}");
        let RequestContext::ApiGatewayV2(context) = read.request_context() else {
            panic!("an HTTP API's context");
        };
        assert_eq!(
            context.route_key.as_deref(),
            Some("POST /v1/owners/{proxy+}")
        );
        assert_eq!(context.time.as_deref(), Some("23/Nov/2026:14:05:06 +0000"));
        assert_eq!(context.time_epoch, 1_795_442_706_000);
        let claims = context
            .authorizer
            .and_then(|authorizer| authorizer.jwt)
            .expect("claims")
            .claims;
        assert_eq!(claims["orgs"], "[x y]");
        assert_eq!(claims["exp"], "5");
        assert_eq!(claims["odd"], "[map[note:a b] <nil>]");
    }

    #[test]
    fn a_binary_body_is_encoded() {
        let sent = post("/v1/owners/a/commands")
            .header("content-type", "application/octet-stream")
            .body(Bytes::from_static(&[0xff, 0x00]))
            .expect("a request");
        let event = event_of(sent, None);
        assert_eq!(event["isBase64Encoded"], true);
        let read = lambda_http::request::from_str(&event.to_string()).expect("a 2.0 event");
        assert_eq!(read.body().as_ref(), [0xff, 0x00]);
    }

    #[test]
    fn the_event_omits_absent_parts_of_a_request() {
        let sent = post("/v1/owners/a/commands")
            .body(Bytes::new())
            .expect("a request");
        let event = event_of(sent, None);
        for name in ["body", "cookies", "queryStringParameters"] {
            assert!(event.get(name).is_none(), "{name}");
        }
        assert!(event["requestContext"].get("authorizer").is_none());
    }
}
