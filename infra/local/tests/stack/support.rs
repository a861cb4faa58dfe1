//! A stack for one test.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use local::arguments::Arguments;
use local::stack::{Layout, Stack};
use local::start_error::StartError;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// How long to wait for an asynchronous effect.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct TestStack {
    pub(crate) http: Client,
    pub(crate) url: String,
    pub(crate) stack: Stack,
}

/// The folder of this package's built examples.
pub(crate) fn examples() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a file");
    let profile = test.ancestors().nth(2).expect("it lies in <profile>/deps");
    profile.join("examples")
}

pub(crate) fn dataset() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/dependabot")
}

pub(crate) async fn start(options: &[&str]) -> Result<TestStack, StartError> {
    let dataset = dataset();
    let always = [
        "local",
        "--ephemeral",
        "--no-build",
        "--no-schedules",
        "--listen=127.0.0.1:0",
        "--github",
        dataset.to_str().expect("the path is text"),
    ];
    let arguments = Arguments::parse_from(always.iter().chain(options));
    let layout = Layout {
        workspace: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probe"),
        binaries: examples(),
    };
    let stack = Stack::start(&arguments, &layout, |_| {}).await?;
    Ok(TestStack {
        http: Client::new(),
        url: stack.url(),
        stack,
    })
}

impl TestStack {
    pub(crate) async fn started() -> Self {
        start(&[]).await.expect("the stack starts")
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        let request = self.http.get(format!("{}{path}", self.url));
        request.send().await.expect("the gateway answers")
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.expect("the body is JSON")
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        request.send().await.expect("the gateway answers")
    }

    pub(crate) async fn delete(&self, path: &str) {
        let request = self.http.delete(format!("{}{path}", self.url));
        let answer = request.send().await.expect("the gateway answers");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{path}");
    }

    pub(crate) async fn token(&self) -> String {
        let request = json!({"sub": "auth0|5f7c", "orgs": [], "connect": false});
        let answer = self.post("/local/tokens", &request).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let answer: Value = answer.json().await.expect("the body is JSON");
        answer["token"].as_str().expect("a token").to_owned()
    }

    /// Invokes the probe. Returns `Err` with the error that it reported.
    pub(crate) async fn order(&self, order: &str) -> Result<Value, Value> {
        let path = "/2015-03-31/functions/probe/invocations";
        let answer = self.post(path, &json!({"do": order})).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let failed = answer.headers().contains_key("x-amz-function-error");
        let payload: Value = answer.json().await.expect("the body is JSON");
        if failed {
            Err(payload)
        } else {
            Ok(payload["done"].clone())
        }
    }

    pub(crate) async fn function(&self) -> Value {
        self.json("/local/functions").await[0].clone()
    }

    pub(crate) async fn pids(&self) -> Vec<u64> {
        let function = self.function().await;
        let pids = function["pids"].as_array().expect("a list");
        pids.iter().filter_map(Value::as_u64).collect()
    }

    pub(crate) async fn queue(&self, name: &str) -> Value {
        let queues = self.json("/local/queues").await;
        let queues = queues.as_array().expect("a list");
        let found = queues.iter().find(|queue| queue["name"] == name);
        found.expect("the queue is listed").clone()
    }
}

/// Waits until the condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Reports whether a process with this id is running.
pub(crate) fn is_alive(pid: u64) -> bool {
    // A zombie counts as dead: it only waits for its parent to reap it.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
