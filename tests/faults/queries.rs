//! The log queries of the operators' pages, evaluated on lines that the real functions wrote.
//!
//! A query must select lines, and some selected line must have each field that the query names. The evaluator knows
//! the part of CloudWatch Logs Insights' language that the pages use; another word fails the test.

use std::{collections::BTreeSet, fs, path::Path};

use local::template::Template;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tests::eventually;

use crate::{analysing::callback_body, scene::Scene};

/// Fields whose values in the pages are examples: any line with the field matches.
const EXAMPLES: [&str; 5] = [
    "command.id",
    "trace.id",
    "owner",
    "requestId",
    "gatewayRequestId",
];
const COMMANDS: [&str; 5] = ["fields", "filter", "sort", "limit", "stats"];
/// Words within a command that name no field.
const WORDS: [&str; 9] = [
    "by",
    "and",
    "asc",
    "desc",
    "count",
    "pct",
    "max",
    "min",
    "ispresent",
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// Between backticks.
    Field(String),
    /// Between quotation marks.
    Text(String),
    Word(String),
    Mark(char),
}

fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '`' | '"' => {
                let (inside, _) = rest[1..].split_once(first).expect("it is closed");
                let token = if first == '`' {
                    Token::Field
                } else {
                    Token::Text
                };
                (token(inside.to_owned()), inside.len() + 2)
            }
            _ if first.is_ascii_alphanumeric() => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
                let word = &rest[..end.unwrap_or(rest.len())];
                (Token::Word(word.to_owned()), word.len())
            }
            mark => (Token::Mark(mark), mark.len_utf8()),
        };
        found.push(token);
        rest = rest[length..].trim_start();
    }
    found
}

#[derive(Debug)]
enum Condition {
    Present(String),
    Is(String, String),
    IsNot(String, String),
}

impl Condition {
    fn of(tokens: &[Token]) -> Self {
        use Token::{Field, Mark, Text, Word};
        match tokens {
            [Field(field), Mark('='), Text(_)] if EXAMPLES.contains(&&**field) => {
                Self::Present(field.clone())
            }
            [Field(field), Mark('='), Text(value) | Word(value)] => {
                Self::Is(field.clone(), value.clone())
            }
            [
                Field(field),
                Mark('!'),
                Mark('='),
                Text(value) | Word(value),
            ] => Self::IsNot(field.clone(), value.clone()),
            [Word(word), Mark('('), Field(field), Mark(')')] if word == "ispresent" => {
                Self::Present(field.clone())
            }
            other => panic!("{other:?} is not a condition that the evaluator knows"),
        }
    }

    fn holds(&self, line: &Value) -> bool {
        match self {
            Self::Present(field) => !line[field].is_null(),
            Self::Is(field, value) => plain(&line[field]).as_ref() == Some(value),
            Self::IsNot(field, value) => plain(&line[field]).is_some_and(|it| it != *value),
        }
    }
}

/// A value as the language compares it: 503 is "503".
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// A query of a page: what it selects, and the fields that it names.
#[derive(Debug)]
struct Query {
    place: String,
    conditions: Vec<Condition>,
    fields: BTreeSet<String>,
}

impl Query {
    fn of(place: String, text: &str) -> Self {
        let mut query = Self {
            place,
            conditions: Vec::new(),
            fields: BTreeSet::new(),
        };
        for stage in text.split('|') {
            let stage = tokens(stage);
            let (Some(Token::Word(command)), rest) = (stage.first(), &stage[1..]) else {
                panic!("{}: {stage:?} has no command", query.place);
            };
            assert!(COMMANDS.contains(&&**command), "{}: {command}", query.place);
            for token in rest {
                match token {
                    Token::Field(field) => {
                        query.fields.insert(field.clone());
                    }
                    Token::Word(word) => {
                        let known = WORDS.contains(&&**word) || word.parse::<u32>().is_ok();
                        assert!(
                            known,
                            "{}: {word} is neither a known word nor a field between backticks",
                            query.place
                        );
                    }
                    Token::Text(_) | Token::Mark(_) => {}
                }
            }
            if command == "filter" {
                let and = Token::Word("and".to_owned());
                let conditions = rest.split(|token| *token == and).map(Condition::of);
                query.conditions.extend(conditions);
            }
        }
        query
    }

    /// Why the query is wrong, given these lines.
    fn fault(&self, lines: &[Value]) -> Option<String> {
        let selected: Vec<&Value> = lines
            .iter()
            .filter(|line| self.conditions.iter().all(|it| it.holds(line)))
            .collect();
        if selected.is_empty() {
            return Some(format!(
                "{}: selects no line: {:?}",
                self.place, self.conditions
            ));
        }
        let has = |field: &&String| selected.iter().any(|line| !line[field.as_str()].is_null());
        let missing: Vec<_> = self.fields.iter().filter(|field| !has(field)).collect();
        (!missing.is_empty()).then(|| format!("{}: no selected line has {missing:?}", self.place))
    }
}

/// Every query of the operators' pages: a fenced text that begins with a command of the language.
fn queries() -> Vec<Query> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating");
    let pages = fs::read_dir(folder)
        .expect("the pages")
        .map(|page| page.expect("a page").path());
    let pages = pages.filter(|page| page.extension().is_some_and(|it| it == "md"));
    let mut found = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).expect("a readable page");
        let name = page
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let fenced = text.split("```").skip(1).step_by(2);
        for query in fenced.filter_map(|fence| fence.strip_prefix("text\n")) {
            if COMMANDS.iter().any(|it| query.starts_with(it)) {
                let first = query.lines().next().unwrap_or_default();
                found.push(Query::of(format!("{name}, {first}"), query));
            }
        }
    }
    found
}

/// A line as API Gateway writes it: the template's format, with a value for each variable.
fn access_line() -> Value {
    let template = include_str!("../../template.yaml");
    let template = Template::parse(template).expect("it is a template");
    let api = &template.document()["Resources"]["HttpApi"]["Properties"];
    let format = api["AccessLogSettings"]["Format"].as_str().expect("a text");
    let format: Map<String, Value> = serde_json::from_str(format).expect("a line of JSON");
    let valued = format.into_iter().map(|(field, variable)| {
        let value = match variable.as_str().expect("a variable") {
            "$context.routeKey" => "POST /v1/callbacks/analysis",
            "$context.status" => "401",
            _ => "something",
        };
        (field, value.into())
    });
    Value::Object(valued.collect())
}

/// A line that Lambda itself writes in the JSON format when an invocation fails. Nested fields have dotted names in
/// queries. Source: the schema of the Telemetry API, `platform.report`.
fn platform_line() -> Value {
    json!({
        "time": "2026-11-29T12:00:00.000Z",
        "type": "platform.report",
        "record.requestId": "6f7f0961-f83f-4aed-8a2b-0c6a8a0d7e5c",
        "record.status": "timeout",
        "record.errorType": "Runtime.ExitError",
        "record.metrics.durationMs": 30000,
        "record.metrics.maxMemoryUsedMB": 64,
    })
}

#[tokio::test]
async fn every_log_query_of_the_pages_selects_lines_with_its_fields() {
    let scene = Scene::synced(&[crate::scene::PYGOAT.0]).await;
    let finding = scene.open_findings().await.remove(0);
    let attempt = scene.analyse(&finding).await;
    scene.analysis_is(&finding, "completed").await;
    // A callback that comes late.
    let session = scene.session(attempt).await;
    let id = session["cloudAgentSessionId"].as_str().expect("an id");
    let late = callback_body(&session, "failed");
    assert_eq!(scene.stack.callback(id, &late).await, 202);
    let unsent =
        json!({"service": "sqs", "operation": "SendMessage", "function": "api", "effect": "error"});
    scene.stack.fault(&unsent).await;
    let refused = scene.ada.post(&json!({"type": "sync"}), None).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    // A callback without a token.
    let callback = reqwest::Client::new()
        .request(
            Method::POST,
            format!("{}/v1/callbacks/analysis", scene.stack.url()),
        )
        .json(&json!({}))
        .send();
    let callback = callback.await.expect("the API answers");
    assert_eq!(callback.status(), StatusCode::UNAUTHORIZED);

    let queries = queries();
    assert!(queries.len() >= 10, "{queries:?}");
    let faults = || {
        let logs = scene.stack.logs();
        let written = logs
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let lines: Vec<Value> = written.chain([access_line(), platform_line()]).collect();
        let faults = queries.iter().filter_map(|query| query.fault(&lines));
        faults.collect::<Vec<_>>()
    };
    // The last lines may still be on their way to the file.
    eventually("a callback's refusal is logged", async || {
        !scene.stack.logged("the request was refused").is_empty()
    })
    .await;
    assert_eq!(faults(), [""; 0]);
}

#[test]
fn a_query_for_a_field_or_message_that_nobody_writes_is_a_fault() {
    let lines = [json!({"message": "a line", "http.status": 503})];
    let fault = |text: &str| Query::of(String::new(), text).fault(&lines);
    assert_eq!(
        fault("filter `http.status` = 503 | stats count(*) by `message`"),
        None
    );
    assert_eq!(
        fault("filter `http.status` != \"200\" and ispresent(`message`)"),
        None
    );
    for wrong in [
        "filter `message` = \"another line\"",
        "fields `status`",
        "filter `http.status` = 500",
        "filter `message` = \"a line\" | sort `timestamp` desc",
    ] {
        assert!(fault(wrong).is_some(), "{wrong}");
    }
}
