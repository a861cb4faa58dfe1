//! Whatever the API is asked, it neither panics nor answers 5xx. A refusal leaves every row and queue unchanged and is
//! a problem document without internals. Reading writes nothing, and whatever was accepted can be read again.

mod known;
mod request;
mod valid;

use std::{cell::RefCell, collections::BTreeMap};

use api::{
    gateway::{self, Event},
    problem::Code,
};
use lambda_http::{Context, LambdaEvent};
use serde_json::{Value, json};
use tests::NOON;

use crate::{
    explore::{cases, explore, on_a_large_stack},
    scene::{CALLER, GONE, MARK, OPEN, PENDING, RUNNING, STRANGER, Scene, attempt, changed, user},
    secrets::SECRET_TEXTS,
};
use request::{Asked, Known, Operation, requests, strays};

pub(crate) use request::Request;

/// What a refusal must not reveal: the services behind the function, the place of its code, and its secrets.
const INTERNALS: [&str; 12] = [
    "dynamo",
    "127.0.0.1",
    "localhost",
    "arn:",
    "amazon",
    ".rs",
    "panic",
    "src/",
    "sqlite",
    "test-",
    "cursor-key",
    "callback-keys",
];

/// An answer as API Gateway receives it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    headers: BTreeMap<String, String>,
    text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("an answer is JSON")
    }
}

impl Scene {
    pub(crate) async fn ask(&self, event: &Value) -> Answer {
        // For an event that the function cannot parse, the platform answers 500.
        let event: Event = serde_json::from_value(event.clone()).expect("the event is understood");
        let event = LambdaEvent::new(event, Context::default());
        let answer = gateway::answer(self.router.clone(), event, NOON).await;
        let answer = serde_json::to_value(answer.expect("an answer")).expect("it is JSON");
        let headers = serde_json::from_value(answer["headers"].clone());
        Answer {
            status: answer["statusCode"].as_u64().expect("a status"),
            headers: headers.expect("headers are texts"),
            text: answer["body"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Sends the request, checks what holds for every answer, and returns its status.
    async fn ask_and_check(&self, Asked(event): &Asked) -> u64 {
        self.begin_case().await;
        let sent = self.queues.sent();
        let answer = self.ask(event).await;
        assert!(answer.status < 500, "{answer:?}");
        assert_eq!(
            answer.headers.get("cache-control").map(String::as_str),
            Some("no-store")
        );
        self.check_told(event, &answer);

        let rows = self.rows().await;
        let changed = changed(&self.seeds, &rows);
        let sent = self.queues.sent() - sent;
        let method = &event["requestContext"]["http"]["method"];
        if answer.status >= 300 || method == "GET" {
            assert_eq!((changed, sent), (Vec::new(), 0), "{answer:?}");
        } else if !changed.is_empty() {
            let strangers = changed.iter().filter(|(pk, _)| pk.contains(STRANGER));
            assert_eq!(strangers.count(), 0, "{answer:?}");
            self.check_readable().await;
        }
        self.end_case(&rows).await;
        answer.status
    }

    fn check_told(&self, event: &Value, answer: &Answer) {
        if event["requestContext"]["http"]["method"] == "HEAD" {
            return assert_eq!(answer.text, "");
        }
        let Answer {
            status,
            headers,
            text,
        } = answer;
        // The answer may repeat what the caller sent.
        let said = event.to_string();
        for untold in SECRET_TEXTS.iter().chain([&MARK]) {
            assert!(
                !text.contains(untold) || said.contains(untold),
                "{answer:?}"
            );
        }
        if *status < 400 {
            return;
        }
        assert_eq!(
            headers["content-type"], "application/problem+json",
            "{answer:?}"
        );
        let told = text.to_ascii_lowercase();
        for internal in INTERNALS {
            assert!(
                !told.contains(internal) || said.contains(internal),
                "{internal}: {answer:?}"
            );
        }
        let problem = answer.json();
        assert_eq!(problem["status"], *status);
        let code = Code::ALL
            .iter()
            .find(|code| problem["code"] == code.as_str());
        let code = code.expect("a documented code");
        assert_eq!(u64::from(code.status().as_u16()), *status, "{answer:?}");
        for member in ["type", "title", "detail"] {
            assert!(
                problem[member]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{answer:?}"
            );
        }
    }

    /// Checks that everybody can read all of theirs.
    pub(crate) async fn check_readable(&self) {
        for sub in [CALLER, GONE] {
            for path in [
                "commands",
                "commands?state=active",
                "findings",
                "repositories",
                "summary",
                "config",
                "integration",
                "audit-events",
                "erasure",
            ] {
                let (path, query) = path.split_once('?').unwrap_or((path, ""));
                let route = format!("GET /v1/owners/{{owner}}/{path}");
                let mut request = Request::of(&route, "me");
                query.clone_into(&mut request.query);
                request.claims = Some(json!({"sub": sub}));
                let answer = self.ask(&request.event()).await;
                let there = [200, 404].contains(&answer.status);
                assert!(there, "then GET {path} of {}: {answer:?}", user(sub));
            }
        }
    }

    async fn document(&self) -> Value {
        let document = self
            .ask(&Request::of("GET /v1/openapi.json", "me").event())
            .await;
        document.json()
    }

    /// Cursors and capabilities, invalid ones included.
    async fn known(&self) -> Known {
        let mut known = Known {
            callback_tokens: vec![
                self.capability(RUNNING, attempt(RUNNING), 3_600).await,
                self.capability(PENDING, attempt(PENDING), 3_600).await,
                self.capability(RUNNING, attempt(PENDING), 3_600).await,
                self.capability(OPEN, attempt(OPEN), 3_600).await,
                self.capability(77, attempt(77), i64::from(i32::MAX)).await,
                self.capability(RUNNING, attempt(RUNNING), 0).await,
            ],
            cursors: Vec::new(),
        };
        let flipped = known.callback_tokens[0].replace('.', ".A");
        known.callback_tokens.push(flipped);
        for (sub, list) in [
            (CALLER, "commands"),
            (CALLER, "findings"),
            (CALLER, "audit-events"),
            (STRANGER, "commands"),
        ] {
            let mut request = Request::of(&format!("GET /v1/owners/{{owner}}/{list}"), "me");
            "limit=1".clone_into(&mut request.query);
            request.claims = Some(json!({"sub": sub}));
            let answer = self.ask(&request.event()).await.json();
            let cursor = answer["nextCursor"].as_str().map(str::to_owned);
            known.cursors.extend(cursor);
        }
        assert!(known.cursors.len() >= 3, "{known:?}");
        known
    }
}

#[test]
fn any_request_is_answered_or_refused_without_harm() {
    on_a_large_stack(async || {
        let scene = Scene::set().await;
        let (operations, known) = (
            Operation::all_of(&scene.document().await),
            scene.known().await,
        );
        assert!(operations.len() >= 16, "{operations:?}");
        for operation in &operations {
            let (accepted, refused) = (RefCell::new(0), RefCell::new(0));
            let requests = requests(operation, &known);
            // Rare requests are given more tries.
            for _ in 0..5 {
                explore(cases(40), 1, &requests, async |asked| {
                    match scene.ask_and_check(&asked).await {
                        200..400 => *accepted.borrow_mut() += 1,
                        _ => *refused.borrow_mut() += 1,
                    }
                })
                .await;
                let both = *accepted.borrow() > 0 && *refused.borrow() > 0;
                if both || !operation.can_refuse() {
                    break;
                }
            }
            // Otherwise the requests would show nothing of the operation.
            let (accepted, refused) = (accepted.take(), refused.take());
            assert!(accepted > 0, "{} {refused} times refused", operation.id);
            assert!(
                refused > 0 || !operation.can_refuse(),
                "{} {accepted} times accepted",
                operation.id
            );
        }
    });
}

#[test]
fn known_harmful_requests_do_no_harm() {
    on_a_large_stack(async || {
        let scene = Scene::set().await;
        for (what, asked, status) in known::requests() {
            assert_eq!(scene.ask_and_check(&asked).await, status, "{what}");
        }
    });
}

#[test]
fn an_unknown_route_is_refused_without_harm() {
    on_a_large_stack(async || {
        let scene = Scene::set().await;
        explore(cases(60), 1, &strays(), async |event| {
            let status = scene.ask_and_check(&event).await;
            assert!(
                [404, 405].contains(&status) || event.0["rawPath"] == "/v1/health",
                "{status}"
            );
        })
        .await;
    });
}
