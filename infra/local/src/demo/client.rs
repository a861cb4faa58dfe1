//! A client of the public API that prints the answers.

use std::io::Write;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use super::DemoError;

/// The longest time to watch a command or an analysis.
const WATCH_TIMEOUT: Duration = Duration::from_secs(180);
/// The polling interval.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A caller of the API.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) http: reqwest::Client,
    pub(super) url: String,
    pub(super) token: Option<String>,
}

impl Client {
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        version: Option<&str>,
    ) -> Result<Value, DemoError> {
        let request = format!("{method} {path}");
        let mut call = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            call = call.bearer_auth(token);
        }
        if let Some(version) = version {
            call = call.header("if-match", version);
        }
        if let Some(body) = body {
            call = call.json(&body);
        }
        let no_answer = |source| DemoError::NoAnswer {
            request: request.clone(),
            source,
        };
        let answer = call.send().await.map_err(no_answer)?;
        let status = answer.status();
        let body = answer.text().await.map_err(no_answer)?;
        if !status.is_success() {
            return Err(DemoError::Unexpected {
                request,
                status,
                body,
            });
        }
        Ok(serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, DemoError> {
        self.call(Method::GET, path, None, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Result<Value, DemoError> {
        self.call(Method::POST, path, Some(body), None).await
    }

    /// Saves the configuration; returns the id of the sync that this started.
    pub(super) async fn configure(&self, change: Value) -> Result<String, DemoError> {
        let path = "/v1/owners/me/config";
        let version = self.get(path).await?["version"].to_string();
        let saved = self
            .call(Method::PUT, path, Some(change), Some(&version))
            .await?;
        match saved["initialSync"]["command"]["id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => Err(DemoError::Wrong(format!(
                "saving the configuration started no sync: {}",
                saved["initialSync"]
            ))),
        }
    }

    /// Polls a command until it ends, and prints each change.
    pub(super) async fn watch(&self, id: &str, out: &mut impl Write) -> Result<Value, DemoError> {
        let began = Instant::now();
        let mut shown = String::new();
        loop {
            let command = self.get(&format!("/v1/owners/me/commands/{id}")).await?;
            let status = text(&command["status"]);
            let line = match command["progress"].as_object() {
                Some(progress) => format!(
                    "{status:<9} {} of {} repositories",
                    progress["done"], progress["total"]
                ),
                None => status.clone(),
            };
            if line != shown {
                writeln!(out, "   {:>5.1} s  {line}", began.elapsed().as_secs_f64())?;
                out.flush()?;
                shown = line;
            }
            if !matches!(status.as_str(), "accepted" | "running") {
                writeln!(
                    out,
                    "            {}, effect {}",
                    text(&command["resultCode"]),
                    text(&command["effect"])
                )?;
                if let Some(message) = command["message"].as_str() {
                    writeln!(out, "            {message}")?;
                }
                return Ok(command);
            }
            if began.elapsed() > WATCH_TIMEOUT {
                return Err(DemoError::Wrong(format!(
                    "command {id} did not end in {WATCH_TIMEOUT:?}"
                )));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Polls the analysis of a finding until it ends, and prints each change.
    pub(super) async fn watch_analysis(
        &self,
        finding: &str,
        out: &mut impl Write,
    ) -> Result<Value, DemoError> {
        let began = Instant::now();
        let mut shown = String::new();
        loop {
            let found = self
                .get(&format!("/v1/owners/me/findings/{finding}"))
                .await?;
            let analysis = &found["analysis"];
            let status = text(&analysis["status"]);
            if status != shown {
                let at = began.elapsed().as_secs_f64();
                writeln!(out, "   {at:>5.1} s  the analysis is {status}")?;
                out.flush()?;
                shown = status;
            }
            if !matches!(shown.as_str(), "pending" | "running") {
                return Ok(analysis.clone());
            }
            if began.elapsed() > WATCH_TIMEOUT {
                return Err(DemoError::Wrong(format!(
                    "the analysis of {finding} did not end in {WATCH_TIMEOUT:?}"
                )));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    pub(super) async fn show_freshness(&self, out: &mut impl Write) -> Result<(), DemoError> {
        let repositories = self.get("/v1/owners/me/repositories").await?;
        writeln!(out)?;
        for repository in list(&repositories["repositories"]) {
            if repository["inScope"] != true {
                continue;
            }
            let state = match repository["lastFailureCode"].as_str() {
                Some(code) => code.to_owned(),
                None => format!("refreshed {}", text(&repository["lastSucceededAt"])),
            };
            writeln!(out, "   {:<36} {state}", text(&repository["fullName"]))?;
        }
        writeln!(out)?;
        Ok(())
    }

    pub(super) async fn show_findings(&self, out: &mut impl Write) -> Result<Value, DemoError> {
        let summary = self.get("/v1/owners/me/summary").await?;
        let findings = &summary["findings"];
        let open = &findings["openBySeverity"];
        writeln!(
            out,
            "   {} open findings ({} critical, {} high, {} medium, {} low), {} fixed, {} ignored.",
            findings["open"],
            open["critical"],
            open["high"],
            open["medium"],
            open["low"],
            findings["fixed"],
            findings["ignored"]
        )?;
        let page = self
            .get("/v1/owners/me/findings?status=open&limit=3")
            .await?;
        writeln!(out, "   The most severe:")?;
        for finding in list(&page["findings"]) {
            writeln!(
                out,
                "   {:<8} {} {}: {}",
                text(&finding["severity"]),
                text(&finding["repository"]),
                text(&finding["package"]["name"]),
                text(&finding["title"])
            )?;
        }
        Ok(summary)
    }

    /// Checks that every repository that answers is fresh, whatever happened to the others.
    pub(super) async fn check_fresh(&self, good: &[Value]) -> Result<(), DemoError> {
        let repositories = self.get("/v1/owners/me/repositories").await?;
        let stale = list(&repositories["repositories"])
            .iter()
            .find(|repository| {
                good.iter().any(|known| known["id"] == repository["id"])
                    && (!repository["lastFailureCode"].is_null()
                        || repository["lastSucceededAt"].is_null())
            });
        match stale {
            None => Ok(()),
            Some(stale) => Err(DemoError::Wrong(format!(
                "{} should be fresh",
                stale["fullName"]
            ))),
        }
    }
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
