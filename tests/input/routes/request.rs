//! Requests as API Gateway passes them on, generated for an operation of the served document.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::owner::Owner;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value, json};

use super::valid;
use crate::{
    json::{bodies, text, value},
    scene::{CALLER, GONE, ORGANISATION, STRANGER, user},
};

/// An operation of the document.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Its parameters' names by location.
    query: Vec<String>,
    headers: Vec<String>,
    takes_body: bool,
    /// Whether it has the common authorizer.
    has_caller: bool,
}

impl Operation {
    /// Every operation of a document.
    pub(crate) fn all_of(document: &Value) -> Vec<Self> {
        let paths = document["paths"].as_object().expect("paths").iter();
        paths
            .flat_map(|(path, item)| {
                let operations = item.as_object().expect("operations").iter();
                operations.map(|(method, operation)| Self::read(method, path, operation))
            })
            .collect()
    }

    fn read(method: &str, path: &str, operation: &Value) -> Self {
        let parameters = operation["parameters"].as_array();
        let named = |place: &str| {
            let parameters = parameters.into_iter().flatten();
            let here = parameters.filter(|parameter| parameter["in"] == place);
            here.map(|parameter| parameter["name"].as_str().expect("a name").to_owned())
                .collect()
        };
        Self {
            id: operation["operationId"].as_str().expect("an id").to_owned(),
            method: method.to_uppercase(),
            path: path.to_owned(),
            query: named("query"),
            headers: named("header"),
            takes_body: operation["requestBody"].is_object(),
            has_caller: operation["security"].is_null(),
        }
    }

    /// Returns whether any request for it could be refused.
    pub(crate) fn can_refuse(&self) -> bool {
        self.has_caller || self.takes_body
    }
}

/// Tokens and cursors that only the service can make.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Callback capabilities: one valid, the others stale, expired, or for nothing.
    pub(crate) callback_tokens: Vec<String>,
    /// Cursors of the caller's and of the stranger's lists.
    pub(crate) cursors: Vec<String>,
}

/// A request as API Gateway passes it on, printed so that it can be kept.
#[derive(Clone)]
pub(crate) struct Asked(pub(crate) Value);

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A request under construction: the contents of the event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) route: String,
    pub(crate) parameters: Map<String, Value>,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) claims: Option<Value>,
    pub(crate) body: Option<Vec<u8>>,
    /// Whether the body is sent as base64.
    pub(crate) encoded: bool,
}

impl Request {
    /// The caller's own request for a route.
    pub(crate) fn of(route: &str, owner: &str) -> Self {
        let parameters = json!({"owner": owner});
        Self {
            route: route.to_owned(),
            parameters: parameters.as_object().cloned().unwrap_or_default(),
            claims: Some(claims_of(CALLER)),
            ..Self::default()
        }
    }

    /// The event that API Gateway passes on.
    pub(crate) fn event(&self) -> Value {
        let event = include_str!("../../../functions/api/fixtures/http-api-event.json");
        let mut event: Value = serde_json::from_str(event).expect("a fixture");
        let (method, _) = self.route.split_once(' ').unwrap_or(("GET", ""));
        event["routeKey"] = self.route.clone().into();
        event["requestContext"]["routeKey"] = self.route.clone().into();
        event["requestContext"]["http"]["method"] = method.into();
        event["pathParameters"] = self.parameters.clone().into();
        event["rawQueryString"] = self.query.clone().into();
        for (name, value) in &self.headers {
            event["headers"][name.to_ascii_lowercase()] = value.clone().into();
        }
        if let Some(claims) = &self.claims {
            event["requestContext"]["authorizer"] =
                json!({"jwt": {"claims": claims, "scopes": null}});
        }
        if let Some(body) = &self.body {
            let text = std::str::from_utf8(body).ok().filter(|_| !self.encoded);
            event["isBase64Encoded"] = text.is_none().into();
            let encoded = || STANDARD.encode(body);
            event["body"] = text.map_or_else(encoded, str::to_owned).into();
        }
        event
    }
}

fn claims_of(sub: &str) -> Value {
    json!({"sub": sub, "email": "caller@example.org", "orgs": format!("[{ORGANISATION}]")})
}

/// Requests for an operation, most with few defects so that they get far.
pub(crate) fn requests(operation: &Operation, known: &Known) -> BoxedStrategy<Asked> {
    let parameters = (owners(), ids(&operation.path));
    let sent = (
        queries(operation, known),
        headers(operation, known),
        bodies_of(operation),
    );
    let route = format!("{} {}", operation.method, operation.path);
    let (has_id, has_caller) = (operation.path.contains("{id}"), operation.has_caller);
    // Only an owner who is being erased has an erasure to read.
    let gone = if operation.path.ends_with("/erasure") {
        16
    } else {
        2
    };
    (parameters, sent, claims(gone), base64_flag())
        .prop_map(move |((owner, id), (query, headers, body), claims, flag)| {
            let mut request = Request {
                route: route.clone(),
                query,
                headers,
                claims: has_caller.then_some(claims),
                encoded: flag == Flag::Set,
                body,
                ..Request::default()
            };
            if has_caller {
                request.parameters.insert("owner".to_owned(), owner.into());
            }
            if has_id {
                request.parameters.insert("id".to_owned(), id.into());
            }
            let mut event = request.event();
            match flag {
                Flag::Right | Flag::Set => {}
                Flag::Wrong => {
                    let encoded = event["isBase64Encoded"] == true;
                    event["isBase64Encoded"] = (!encoded).into();
                }
            }
            Asked(event)
        })
        .boxed()
}

/// Requests for unknown paths and methods.
pub(crate) fn strays() -> impl Strategy<Value = Asked> {
    let methods = select(vec![
        "GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS",
    ]);
    let paths = prop_oneof![
        line(&[]).prop_map(|text| format!("/{}", percent(&text))),
        line(&[]).prop_map(|text| format!("/v1/owners/me/{}", percent(&text))),
        Just("/".to_owned()),
        Just("/v1/owners/me/commands/".to_owned()),
        Just("//v1/health".to_owned()),
        Just("/V1/health".to_owned()),
    ];
    (
        methods,
        paths,
        claims(2),
        proptest::option::of(bodies(vec![json!({})], &[])),
    )
        .prop_map(|(method, path, claims, body)| {
            let request = Request {
                route: "$default".to_owned(),
                claims: Some(claims),
                body,
                ..Request::default()
            };
            let mut event = request.event();
            event["requestContext"]["http"]["method"] = method.into();
            event["requestContext"]["http"]["path"] = path.clone().into();
            event["rawPath"] = path.into();
            Asked(event)
        })
}

/// A text for the request line or the headers, for which API Gateway accepts 10,240 bytes in all.
fn line(words: &[&str]) -> impl Strategy<Value = String> + Clone + use<> {
    text(words).prop_map(|text| text.chars().take(2_000).collect())
}

fn percent(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn owners() -> impl Strategy<Value = String> {
    let own = prop_oneof![6 => Just("me".to_owned()), 2 => Just(user(CALLER).to_string())];
    let organisation = Owner::Org(ORGANISATION.parse().expect("a UUID"));
    let others = [user(STRANGER), user(GONE)].map(|owner| owner.to_string());
    let words = [
        "user:",
        "org:",
        "user:auth0|5f7c\0",
        "org:6F1D1D3E7A524C3B9A550D0F3C1F7A10",
    ];
    prop_oneof![
        14 => own,
        2 => Just(organisation.to_string()),
        1 => select(others.to_vec()),
        1 => line(&words),
    ]
}

fn ids(path: &str) -> BoxedStrategy<String> {
    let (near, far) = (valid::ids(path), line(&valid::WORDS));
    let mangled = (
        select(near.clone()),
        any::<prop::sample::Index>(),
        any::<char>(),
    )
        .prop_map(|(id, place, char)| {
            let mut chars: Vec<char> = id.chars().collect();
            let place = place.index(chars.len());
            chars[place] = char;
            chars.into_iter().collect()
        });
    prop_oneof![8 => select(near), 1 => mangled, 1 => far].boxed()
}

fn claims(gone: u32) -> impl Strategy<Value = Value> {
    let claim = select(vec!["sub", "email", "orgs", "exp", "aud"]);
    let odd = (claim, value(&[CALLER, ORGANISATION])).prop_map(|(name, value)| {
        let mut claims = claims_of(CALLER);
        claims[name] = value;
        claims
    });
    let without = json!({"orgs": [ORGANISATION]});
    prop_oneof![
        16 => Just(claims_of(CALLER)),
        gone => Just(claims_of(GONE)),
        1 => odd,
        1 => Just(without),
    ]
}

fn queries(operation: &Operation, known: &Known) -> BoxedStrategy<String> {
    let mut names = operation.query.clone();
    let odd_names = ["state", "limit", "cursor", "x", ""].map(str::to_owned);
    let cursors: Vec<&str> = known.cursors.iter().map(String::as_str).collect();
    let words = [&valid::WORDS[..], &cursors].concat();
    let odd = (line(&words), prop::bool::weighted(0.9)).prop_map(|(text, encoded)| match encoded {
        true => percent(&text),
        // Some clients send it so; API Gateway passes the query on unchanged.
        false => text,
    });
    if names.is_empty() {
        names.extend(odd_names.clone());
    }
    let named = select(names.clone()).prop_flat_map({
        let (odd, cursors) = (odd.clone().boxed(), known.cursors.clone());
        move |name| {
            let fitting = match name.as_str() {
                "cursor" => select(cursors.clone()).boxed(),
                _ => select(valid::query(&name))
                    .prop_map(|text| percent(&text))
                    .boxed(),
            };
            let value = prop_oneof![4 => fitting, 1 => odd.clone()];
            value.prop_map(move |value| format!("{name}={value}"))
        }
    });
    let stray =
        (select(odd_names.to_vec()), odd).prop_map(|(name, value)| format!("{name}={value}"));
    let pair = prop_oneof![8 => named, 1 => stray];
    prop_oneof![
        2 => Just(String::new()),
        3 => vec(pair, 1..=2).prop_map(|pairs| pairs.join("&")),
    ]
    .boxed()
}

fn headers(operation: &Operation, known: &Known) -> BoxedStrategy<Vec<(String, String)>> {
    // The values that a client may send: visible or non-ASCII characters, but no controls.
    let odd = |words: &[&str]| {
        line(words).prop_map(|text| text.chars().filter(|char| !char.is_control()).collect())
    };
    let one = |name: &str, fitting: Vec<String>| {
        let name = name.to_owned();
        let value =
            prop_oneof![12 => select(fitting), 1 => odd(&["\"2\"", "W/\"1\"", "*", "text/plain"])];
        value
            .prop_map(move |value: String| (name.clone(), value))
            .boxed()
    };
    let mut each: Vec<BoxedStrategy<Vec<(String, String)>>> = Vec::new();
    for name in &operation.headers {
        let given = one(name, valid::header(name));
        let given = prop::option::weighted(0.95, given);
        each.push(
            given
                .prop_map(|header| header.into_iter().collect())
                .boxed(),
        );
    }
    if operation.takes_body {
        let json = ["application/json", "application/json; charset=utf-8"].map(str::to_owned);
        each.push(
            one("content-type", json.to_vec())
                .prop_map(|header| vec![header])
                .boxed(),
        );
    }
    if !operation.has_caller {
        let bearer = known
            .callback_tokens
            .iter()
            .map(|token| format!("Bearer {token}"));
        let bearer = one("authorization", bearer.collect());
        each.push(bearer.prop_map(|header| vec![header]).boxed());
    }
    let stray = select(vec![
        "host",
        "x-forwarded-proto",
        "cookie",
        "content-length",
        "accept",
    ]);
    let stray = (stray, odd(&["a b", "[", "example.org:99999", "http://"]))
        .prop_map(|(name, value): (&str, String)| (name.to_owned(), value));
    (each, vec(stray, 0..=1), prop::bool::weighted(0.1))
        .prop_map(|(each, stray, strays)| {
            let stray = stray.into_iter().filter(|_| strays);
            each.into_iter().flatten().chain(stray).collect()
        })
        .boxed()
}

fn bodies_of(operation: &Operation) -> BoxedStrategy<Option<Vec<u8>>> {
    let samples = valid::bodies(&operation.id);
    assert!(
        !operation.takes_body || !samples.is_empty(),
        "there is no valid body for {}: add one to `valid::bodies`",
        operation.id
    );
    if samples.is_empty() {
        let stray = bodies(vec![json!({"enabled": true})], &[]);
        return prop::option::weighted(0.1, stray).boxed();
    }
    prop::option::weighted(0.95, bodies(samples, &valid::WORDS)).boxed()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flag {
    /// As the body is.
    Right,
    /// The body is base64 although it need not be.
    Set,
    /// The flag contradicts the body.
    Wrong,
}

fn base64_flag() -> impl Strategy<Value = Flag> {
    prop_oneof![30 => Just(Flag::Right), 3 => Just(Flag::Set), 1 => Just(Flag::Wrong)]
}
