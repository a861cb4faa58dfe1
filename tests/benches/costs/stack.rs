//! The local stack as a child process, and its endpoints.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{Result, usage::Usage};

/// The time limit for the stack to stop, and for its queues to drain.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A running stack, stopped when it is dropped.
pub(crate) struct Stack {
    child: Child,
    http: Client,
    url: String,
}

impl Stack {
    pub(crate) fn start(binaries: &Path, options: &[&str]) -> Result<Self> {
        let mut child = Command::new(binaries.join("local"))
            .args(["--ephemeral", "--no-build", "--no-schedules"])
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ready = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut ready)?;
        }
        // Dropping it stops the child from here on.
        let mut stack = Self {
            child,
            http: Client::builder().no_proxy().build()?,
            url: String::new(),
        };
        let url = ready.trim_end().strip_prefix("ready ");
        url.ok_or("the local stack did not start")?
            .clone_into(&mut stack.url);
        Ok(stack)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        answer(self.request(Method::POST, path).json(body)).await
    }

    async fn delete(&self, path: &str) -> Result<()> {
        let answer = self.request(Method::DELETE, path).send().await?;
        answer.error_for_status()?;
        Ok(())
    }

    /// Resets the counters.
    pub(crate) async fn count_anew(&self) -> Result<()> {
        self.delete("/local/aws/requests").await
    }

    /// Returns a function's AWS requests since the reset.
    pub(crate) async fn usage(&self, function: &str) -> Result<Usage> {
        let all = self.get("/local/aws/requests").await?;
        Ok(Usage::read(&all["functions"][function]))
    }

    /// Counts the calls that GitHub has received.
    pub(crate) async fn github_calls(&self) -> Result<usize> {
        let calls = self.get("/local/github/requests").await?;
        Ok(calls.as_array().map_or(0, Vec::len))
    }

    /// Returns the processes of a function.
    pub(crate) async fn processes(&self, function: &str) -> Result<Vec<u64>> {
        let functions = self.get("/local/functions").await?;
        let found = functions
            .as_array()
            .and_then(|all| all.iter().find(|found| found["name"] == function));
        let pids = found.and_then(|found| found["pids"].as_array());
        let pids = pids.ok_or_else(|| format!("there is no function {function}"))?;
        Ok(pids.iter().filter_map(Value::as_u64).collect())
    }

    /// Delays the claims of sync workers, so that admitted commands stay as they are.
    pub(crate) async fn hold_workers(&self) -> Result<()> {
        let held = json!({"service": "dynamodb", "operation": "UpdateItem", "function": "sync",
            "effect": "delay", "delayMs": 5_000});
        self.post("/local/aws/faults", &held).await?;
        Ok(())
    }

    /// Delays every call to DynamoDB and SQS by 2 ms, and every call to GitHub by 40 ms.
    pub(crate) async fn slow_down(&self) -> Result<()> {
        for service in ["dynamodb", "sqs"] {
            let delay =
                json!({"service": service, "operation": "*", "effect": "delay", "delayMs": 2});
            self.post("/local/aws/faults", &delay).await?;
        }
        let delay = json!({"repository": "*", "operation": "*", "delayMs": 40});
        self.post("/local/github/faults", &delay).await?;
        Ok(())
    }

    /// Removes all delays and faults.
    pub(crate) async fn clear_faults(&self) -> Result<()> {
        self.delete("/local/aws/faults").await?;
        self.delete("/local/github/faults").await
    }

    /// Releases the agent's held callbacks.
    pub(crate) async fn clear_agent_faults(&self) -> Result<()> {
        self.delete("/local/agent/faults").await
    }

    /// Waits until the agent has made every callback.
    pub(crate) async fn analyses_settled(&self) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let sessions = self.get("/local/agent/sessions").await?;
            let owed = sessions.as_array().into_iter().flatten();
            if owed.clone().all(|session| session["settled"] == true) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("the agent sends no callback: {sessions}").into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until every queue with a consumer is empty.
    pub(crate) async fn idle(&self) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let queues = self.get("/local/queues").await?;
            let left = ["visible", "inFlight", "delayed"]
                .iter()
                .flat_map(|state| queues.as_array().into_iter().flatten().map(|q| &q[*state]))
                .filter_map(Value::as_u64)
                .sum::<u64>();
            if left == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{left} messages are not consumed: {queues}").into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // On a signal it cleans up; if it is killed, at least its functions end too.
        let asked = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Sends a request that must succeed.
pub(crate) async fn answer(request: RequestBuilder) -> Result<Value> {
    let answer = request.send().await?;
    let (status, url) = (answer.status(), answer.url().clone());
    let body = answer.text().await?;
    if status.is_success() {
        Ok(serde_json::from_str(&body)?)
    } else {
        Err(format!("{url} answered {status}: {body}").into())
    }
}
