//! Requests as events of API Gateway, and their answers.

use std::collections::BTreeMap;

use api::gateway;
use axum::Router;
use domain::Timestamp;
use lambda_http::{Context, LambdaEvent};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::CALLER;

/// A request under construction.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) event: Value,
}

pub(crate) fn get(route: &str) -> Call {
    Call::new("GET", route)
}

pub(crate) fn post(route: &str) -> Call {
    Call::new("POST", route).header("content-type", "application/json")
}

pub(crate) fn put(route: &str) -> Call {
    Call::new("PUT", route).header("content-type", "application/json")
}

impl Call {
    /// A request of the default caller about its own owner.
    pub(crate) fn new(method: &str, route: &str) -> Self {
        let event = include_str!("../../../fixtures/http-api-event.json");
        let mut event: Value = serde_json::from_str(event).expect("a fixture");
        event["routeKey"] = format!("{method} {route}").into();
        event["requestContext"]["routeKey"] = event["routeKey"].clone();
        event["requestContext"]["http"]["method"] = method.into();
        Self { event }
            .claims(json!({"sub": CALLER, "email": "caller@example.org"}))
            .owner("me")
    }

    pub(crate) fn claims(mut self, claims: Value) -> Self {
        self.event["requestContext"]["authorizer"] =
            json!({"jwt": {"claims": claims, "scopes": null}});
        self
    }

    pub(crate) fn parameter(mut self, name: &str, value: &str) -> Self {
        self.event["pathParameters"][name] = value.into();
        self
    }

    pub(crate) fn owner(self, owner: &str) -> Self {
        self.parameter("owner", owner)
    }

    pub(crate) fn id(self, id: &str) -> Self {
        self.parameter("id", id)
    }

    pub(crate) fn query(mut self, query: &str) -> Self {
        self.event["rawQueryString"] = query.into();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.event["headers"][name] = value.into();
        self
    }

    pub(crate) fn body(self, body: Value) -> Self {
        self.text(&body.to_string())
    }

    pub(crate) fn text(mut self, body: &str) -> Self {
        self.event["body"] = body.into();
        self
    }

    pub(super) async fn send(mut self, router: Router, now: Timestamp) -> Answer {
        // The gateway decodes `rawPath`, so the function must not depend on it.
        let path = self.event["requestContext"]["routeKey"].as_str();
        let mut path = path
            .expect("a route")
            .split(' ')
            .next_back()
            .expect("a path")
            .to_owned();
        for (name, value) in self.event["pathParameters"]
            .as_object()
            .into_iter()
            .flatten()
        {
            path = path.replace(&format!("{{{name}}}"), value.as_str().expect("a text"));
        }
        self.event["rawPath"] = path.clone().into();
        self.event["requestContext"]["http"]["path"] = path.into();

        let event = serde_json::from_value(self.event).expect("an event");
        let event = LambdaEvent::new(event, Context::default());
        let answer = gateway::answer(router, event, now).await;
        let answer = serde_json::to_value(answer.expect("an answer")).expect("a JSON answer");
        Answer::read(&answer)
    }
}

/// An answer, as the gateway receives it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Answer {
    fn read(answer: &Value) -> Self {
        assert_eq!(answer["isBase64Encoded"], false, "JSON is text");
        let headers = answer["headers"].as_object().into_iter().flatten();
        let text = answer["body"].as_str().unwrap_or_default();
        Self {
            status: answer["statusCode"].as_u64().expect("a status"),
            headers: headers
                .map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()))
                .collect(),
            body: if text.is_empty() {
                Value::Null
            } else {
                serde_json::from_str(text).expect("JSON")
            },
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Checks the problem's shape and returns its code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u64) -> &str {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(self.body["status"], status);
        for member in ["type", "title", "detail", "code"] {
            assert!(self.body[member].is_string(), "{member} of {}", self.body);
        }
        self.body["code"].as_str().expect("a text")
    }

    /// Returns the pointers of a validation problem.
    #[track_caller]
    pub(crate) fn invalid(&self) -> Vec<&str> {
        assert_eq!(self.problem(400), "VALIDATION_FAILED");
        let errors = self.body["errors"].as_array().expect("errors");
        errors
            .iter()
            .inspect(|error| assert!(error["message"].is_string(), "{error}"))
            .map(|error| error["pointer"].as_str().expect("a pointer"))
            .collect()
    }

    /// Returns the ids of a list's entries.
    #[track_caller]
    pub(crate) fn ids(&self, plural: &str) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.body);
        let entries = self.body[plural].as_array().expect("a list");
        let id = |entry: &Value| match &entry["id"] {
            Value::String(id) => id.clone(),
            id => id.to_string(),
        };
        entries.iter().map(id).collect()
    }

    /// Returns the next page's cursor, ready for a query.
    pub(crate) fn next(&self) -> Option<String> {
        let cursor = self.body["nextCursor"].as_str()?;
        let decoded = percent_decode_str(cursor).decode_utf8().expect("UTF-8");
        assert_eq!(decoded, cursor, "a cursor needs no encoding");
        Some(cursor.to_owned())
    }
}
