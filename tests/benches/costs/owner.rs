//! An owner who uses the API.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    Result,
    stack::{Stack, answer},
};

/// The repositories that GitHub lists without error, and the number of their alerts.
pub(crate) const REPOSITORIES: [u64; 5] = [
    700_000_001,
    700_000_002,
    700_000_003,
    700_000_004,
    700_000_005,
];
pub(crate) const ALERTS: u64 = 486;
/// The time limit for a command.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The poll interval.
const POLL: Duration = Duration::from_millis(20);

pub(crate) struct Owner<'a> {
    stack: &'a Stack,
    name: String,
    token: String,
}

impl<'a> Owner<'a> {
    /// A new owner, connected to the simulator's installation but not configured.
    pub(crate) async fn connected(stack: &'a Stack, name: &str) -> Result<Self> {
        let issued = stack.post("/local/tokens", &json!({"sub": name})).await?;
        let token = issued["token"].as_str().ok_or("no token was issued")?;
        Ok(Self {
            stack,
            name: name.to_owned(),
            token: token.to_owned(),
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let path = format!("/v1/owners/me/{path}");
        self.stack.request(method, &path).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn configure(&self, change: &Value) -> Result<Value> {
        let request = self.request(Method::PUT, "config").header("if-match", "*");
        answer(request.json(change)).await
    }

    /// Selects the five repositories and enables the owner; returns the first sync.
    pub(crate) async fn enable(&self) -> Result<Value> {
        let chosen = json!({"enabled": true, "repositorySelection": "selected",
            "selectedRepositoryIds": REPOSITORIES});
        let saved = self.configure(&chosen).await?;
        match &saved["initialSync"]["command"] {
            Value::Null => Err(format!("enabling admitted no sync: {saved}").into()),
            command => Ok(command.clone()),
        }
    }

    /// Requests the erasure of all data.
    pub(crate) async fn erase(&self) -> Result<Value> {
        let path = format!("/v1/owners/me?confirm=user:{}", self.name);
        let request = self.stack.request(Method::DELETE, &path);
        answer(request.bearer_auth(&self.token)).await
    }

    /// Requests a command.
    pub(crate) async fn ask(&self, body: &Value, key: Option<&str>) -> Result<Value> {
        let mut request = self.request(Method::POST, "commands").json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        answer(request).await
    }

    /// Waits until a command has succeeded.
    pub(crate) async fn completed(&self, command: &Value) -> Result<Value> {
        let deadline = Instant::now() + TIMEOUT;
        let path = format!("commands/{}", id(command));
        loop {
            let command = self.get(&path).await?;
            match command["status"].as_str() {
                Some("succeeded") => return Ok(command),
                Some("accepted" | "running") if Instant::now() < deadline => sleep(POLL).await,
                _ => return Err(format!("a command did not succeed: {command}").into()),
            }
        }
    }

    /// Checks that every finding is stored.
    pub(crate) async fn has_every_finding(&self) -> Result<()> {
        let summary = self.get("summary").await?;
        let found = ["open", "fixed", "ignored"]
            .iter()
            .filter_map(|status| summary["findings"][status].as_u64())
            .sum::<u64>();
        if found == ALERTS {
            Ok(())
        } else {
            Err(format!("{found} findings instead of {ALERTS}: {summary}").into())
        }
    }
}

/// A command's id.
pub(crate) fn id(command: &Value) -> &str {
    command["id"].as_str().unwrap_or_default()
}
