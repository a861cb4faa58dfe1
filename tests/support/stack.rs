//! The local stack as its own process, used from outside.

mod launch;
mod measured;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, sleep},
};

use crate::{Caller, backstage::Backstage};

pub use launch::{Launch, bench_binaries, binaries};

/// The longest wait for something to happen.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A running stack. Dropping it ends the stack and deletes its files, unless the caller chose the directory.
#[derive(Debug)]
pub struct Stack {
    process: Child,
    url: String,
    /// GitHub's address for the functions.
    github: String,
    /// The address of GitHub's local endpoints, which set faults and return records.
    github_desk: String,
    http: reqwest::Client,
    data: Data,
    /// The services behind the functions, past every injected fault.
    pub backstage: Backstage,
    _slot: SemaphorePermit<'static>,
}

/// Where a stack keeps its files.
#[derive(Debug)]
struct Data {
    directory: PathBuf,
    temporary: bool,
}

impl Drop for Data {
    fn drop(&mut self) {
        if self.temporary {
            // A leftover directory is harmless.
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

impl Stack {
    /// Starts a stack that keeps no data, with these additional options of `cargo local`.
    pub async fn start(options: &[&str]) -> Self {
        let launch = Launch::of_a_test(None, options).await;
        launch.start().await.expect("the stack starts")
    }

    /// Starts a stack on this directory, which stays.
    pub async fn start_on(data: &Path, options: &[&str]) -> Self {
        let launch = Launch::of_a_test(Some(data), options).await;
        launch.start().await.expect("the stack starts")
    }

    /// The output of a stack that must not start.
    pub async fn refusal(options: &[&str]) -> String {
        let launch = Launch::of_a_test(None, options).await;
        let started = launch.start().await;
        started.expect_err("the stack must not start")
    }

    /// The address of the API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// GitHub's address for the functions.
    pub fn github(&self) -> &str {
        &self.github
    }

    /// A caller with a token, connected to the simulator's installation.
    pub async fn caller(&self, claims: &Value) -> Caller {
        let answer = self.ask(Method::POST, "/local/tokens", claims).await;
        let token = answer["token"].as_str().expect("a token");
        let subject = claims["sub"].as_str().expect("a subject");
        Caller::new(&self.url, token, subject)
    }

    /// Gets a local endpoint.
    pub async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, &Value::Null).await
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Response {
        let at = if path.starts_with("/local/github/") {
            &self.github_desk
        } else {
            &self.url
        };
        let mut request = self.http.request(method, format!("{at}{path}"));
        if !body.is_null() {
            request = request.json(body);
        }
        request.send().await.expect("the stack answers")
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let answer = self.send(method, path, body).await;
        let status = answer.status();
        let text = answer.text().await.expect("a whole answer");
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Injects a fault between the functions and the data services.
    pub async fn fault(&self, fault: &Value) {
        self.ask(Method::POST, "/local/aws/faults", fault).await;
    }

    /// Changes a secret, by the last part of its ARN.
    pub async fn put_secret(&self, name: &str, text: &str) {
        let path = format!("/local/aws/secrets/{name}");
        self.ask(Method::PUT, &path, &text.into()).await;
    }

    /// Kills every process of a function. The next event starts another.
    pub async fn replace(&self, function: &str) {
        for pid in self.freeze(function).await {
            assert!(Self::signal(pid, "KILL"), "kill -KILL {pid}");
            eventually("the process is gone", async || !is_alive(pid)).await;
        }
    }

    /// Injects a fault into calls of GitHub.
    pub async fn github_fault(&self, fault: &Value) {
        self.ask(Method::POST, "/local/github/faults", fault).await;
    }

    /// Injects a fault into calls of the agent, or into its callbacks.
    pub async fn agent_fault(&self, fault: &Value) {
        self.ask(Method::POST, "/local/agent/faults", fault).await;
    }

    /// The agent's sessions, oldest first.
    pub async fn agent_sessions(&self) -> Vec<Value> {
        let sessions = self.get("/local/agent/sessions").await;
        sessions.as_array().expect("a list").clone()
    }

    /// Makes a session of the agent send a callback with this body. Returns the status of the response.
    pub async fn callback(&self, session: &str, body: &Value) -> Value {
        let path = format!("/local/agent/sessions/{session}/callback");
        self.ask(Method::POST, &path, body).await["answer"].clone()
    }

    /// Clears all faults.
    pub async fn heal(&self) {
        for service in ["aws", "github", "agent"] {
            let path = format!("/local/{service}/faults");
            self.ask(Method::DELETE, &path, &Value::Null).await;
        }
    }

    /// Changes GitHub's data, as another person would.
    pub async fn at_github(&self, method: Method, path: &str, body: &Value) -> Value {
        let path = format!("/local/github/{path}");
        self.ask(method, &path, body).await
    }

    /// Gets a local endpoint of GitHub's simulator.
    pub async fn github_local(&self, path: &str) -> Value {
        self.get(&format!("/local/github/{path}")).await
    }

    /// A repository's alerts as they are on GitHub now.
    pub async fn alerts(&self, repository: &str) -> Vec<Value> {
        let alerts = self.github_local(&format!("alerts/{repository}")).await;
        alerts.as_array().expect("a list").clone()
    }

    /// The response status of each call to GitHub whose path contains this text.
    pub async fn github_calls(&self, text: &str) -> Vec<u64> {
        let calls = self.github_requests().await.into_iter();
        calls
            .filter(|call| {
                call["path"]
                    .as_str()
                    .is_some_and(|path| path.contains(text))
            })
            .map(|call| call["status"].as_u64().unwrap_or_default())
            .collect()
    }

    /// The calls to GitHub: method, path and response status.
    pub async fn github_requests(&self) -> Vec<Value> {
        let calls = self.get("/local/github/requests").await;
        calls.as_array().expect("a list").clone()
    }

    /// The calls that each function's role refused.
    pub async fn refused_permissions(&self) -> BTreeMap<String, Vec<Value>> {
        let permissions = self.get("/local/aws/permissions").await;
        let permissions = permissions.as_object().expect("a map").iter();
        permissions
            .map(|(function, noted)| {
                let refused = noted["refused"].as_array().expect("a list");
                (function.clone(), refused.clone())
            })
            .collect()
    }

    /// Invokes a function with this payload, again while it is throttled. Returns `Err` with the error it reported.
    pub async fn invoke(&self, function: &str, payload: &Value) -> Result<Value, Value> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let mut answer = self.send(Method::POST, &path, payload).await;
        while answer.status() == StatusCode::TOO_MANY_REQUESTS {
            sleep(Duration::from_millis(100)).await;
            answer = self.send(Method::POST, &path, payload).await;
        }
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let failed = answer.headers().contains_key("x-amz-function-error");
        let answer = answer.json().await.expect("it is JSON");
        if failed { Err(answer) } else { Ok(answer) }
    }

    /// Runs the reconciler once. Returns its counts.
    pub async fn reconcile(&self) -> Value {
        let path = "/local/schedules/reconcile";
        self.ask(Method::POST, path, &Value::Null).await
    }

    /// The names of the dead-letter queues.
    pub async fn dead_letter_queues(&self) -> Vec<String> {
        let queues = self.get("/local/queues").await;
        let names = queues.as_array().expect("a list").iter();
        names
            .filter_map(|queue| queue["name"].as_str())
            .filter(|name| name.ends_with("DeadLetterQueue"))
            .map(str::to_owned)
            .collect()
    }

    /// The number of messages in a queue: visible, in flight and delayed.
    pub async fn depth(&self, name: &str) -> u64 {
        let queues = self.get("/local/queues").await;
        let queues = queues.as_array().expect("a list");
        let queue = queues.iter().find(|queue| queue["name"] == name);
        let queue = queue.expect("the queue is listed");
        ["visible", "inFlight", "delayed"]
            .iter()
            .filter_map(|state| queue[state].as_u64())
            .sum()
    }

    /// The functions' calls to the data services since the start or `forget_calls`.
    pub async fn calls(&self) -> Value {
        self.get("/local/aws/requests").await
    }

    /// Resets the counts of calls.
    pub async fn forget_calls(&self) {
        self.ask(Method::DELETE, "/local/aws/requests", &Value::Null)
            .await;
    }

    /// The directory of the stack's files.
    pub fn data(&self) -> &Path {
        &self.data.directory
    }

    /// The functions' logs so far, file by file.
    pub fn log_files(&self) -> impl Iterator<Item = String> {
        let files = std::fs::read_dir(self.data.directory.join("logs"));
        let files = files.expect("the functions log there");
        files.map(|file| {
            let path = file.expect("it can be listed").path();
            let bytes = std::fs::read(path).expect("a log can be read");
            // A process may be killed in the middle of a character.
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }

    /// The functions' logs so far.
    pub fn logs(&self) -> String {
        self.log_files().collect()
    }

    /// The functions' log lines with this message.
    pub fn logged(&self, message: &str) -> Vec<Value> {
        let logs = self.logs();
        let lines = logs
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter(|line: &Value| line["message"] == message)
            .collect()
    }

    /// The functions: their names, processes and counters.
    pub async fn functions(&self) -> Vec<Value> {
        let functions = self.get("/local/functions").await;
        functions.as_array().expect("a list").clone()
    }

    /// The processes of all functions.
    pub async fn function_pids(&self) -> Vec<u64> {
        self.functions().await.iter().flat_map(pids).collect()
    }

    /// Stops (`SIGSTOP`) every process of a function. Returns their ids.
    pub async fn freeze(&self, function: &str) -> Vec<u64> {
        let functions = self.functions().await;
        let function = functions.iter().find(|found| found["name"] == function);
        let frozen = pids(function.expect("it is listed"));
        for pid in &frozen {
            assert!(Self::signal(*pid, "STOP"), "kill -STOP {pid}");
        }
        frozen
    }

    /// Resumes stopped processes.
    pub fn thaw(frozen: &[u64]) {
        for pid in frozen {
            assert!(Self::signal(*pid, "CONT"), "kill -CONT {pid}");
        }
    }

    /// Sends a signal, named without `SIG`, to the stack's process or to one of its functions'.
    pub fn signal(pid: u64, signal: &str) -> bool {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &pid.to_string()])
            .stderr(std::process::Stdio::null())
            .status();
        sent.is_ok_and(|status| status.success())
    }

    /// The id of the stack's process.
    pub fn pid(&self) -> u64 {
        self.process.id().into()
    }

    /// Kills the whole stack (`SIGKILL`).
    pub fn kill(&mut self) {
        launch::end(&mut self.process);
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        launch::end(&mut self.process);
    }
}

fn pids(function: &Value) -> Vec<u64> {
    let pids = function["pids"].as_array().expect("a list").iter();
    pids.filter_map(Value::as_u64).collect()
}

/// Waits until the condition holds.
pub async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Whether a process of this id exists.
pub fn is_alive(pid: u64) -> bool {
    // A zombie is dead: its parent has only not reaped it.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
