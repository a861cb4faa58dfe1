//! The main job, shown: enable an owner, sync real alerts, and tell each command's way from admission to its outcome.
//!
//! It is a client of the public API like any other, and checks what it shows against the dataset.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use security_agent::finding::{FindingStatus, Severity};
use serde_json::{Value, json};

/// How slowly the simulator answers, so that a sync takes as long as with the real GitHub.
const GITHUB_DELAY: Duration = Duration::from_millis(700);
/// For how long a command is watched.
const PATIENCE: Duration = Duration::from_secs(180);

/// Why the demo did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The stack did not answer.
    #[error("no answer to {request}")]
    NoAnswer {
        /// What was asked.
        request: String,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// The stack answered something else than it should.
    #[error("{request} was answered with {status}: {body}")]
    Unexpected {
        /// What was asked.
        request: String,
        /// The status.
        status: StatusCode,
        /// The body.
        body: String,
    },
    /// The dataset cannot be read.
    #[error("cannot read {path}")]
    Dataset {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// What is shown is not what should be.
    #[error("{0}")]
    Wrong(String),
    /// Nobody reads what is shown.
    #[error("cannot write the report")]
    Output(#[from] io::Error),
}

/// What the dataset says should come out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    /// Repositories that answer with errors.
    special: Vec<String>,
    /// Findings by status.
    statuses: BTreeMap<&'static str, u64>,
    /// Open findings by severity.
    open: BTreeMap<&'static str, u64>,
}

impl Expected {
    fn read(dataset: &Path) -> Result<Self, DemoError> {
        let mut expected = Self::default();
        let special = dataset.join("special-repositories.json");
        if special.exists() {
            let entries = load(&special)?;
            let names = entries.as_array().into_iter().flatten();
            let names = names.filter_map(|entry| entry["repository"].as_str());
            expected.special.extend(names.map(str::to_owned));
        }
        for status in [
            FindingStatus::Open,
            FindingStatus::Fixed,
            FindingStatus::Ignored,
        ] {
            expected.statuses.insert(status.as_str(), 0);
        }
        for severity in Severity::ALL {
            expected.open.insert(severity.as_str(), 0);
        }
        let repositories = load(&dataset.join("installation-repositories.json"))?;
        for repository in repositories["repositories"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let name = repository["full_name"].as_str().unwrap_or_default();
            let file = dataset.join(format!("alerts/{}.json", name.replace('/', "__")));
            if expected.special.iter().any(|special| special == name) || !file.exists() {
                continue;
            }
            for alert in load(&file)?.as_array().into_iter().flatten() {
                expected.count(alert);
            }
        }
        Ok(expected)
    }

    fn count(&mut self, alert: &Value) {
        let status = match alert["state"].as_str() {
            Some("open") => "open",
            Some("fixed") => "fixed",
            _ => "ignored",
        };
        *self.statuses.entry(status).or_default() += 1;
        let severity = alert["security_vulnerability"]["severity"].as_str();
        let severity = Severity::ALL
            .iter()
            .find(|known| Some(known.as_str()) == severity);
        if let (Some(severity), "open") = (severity, status) {
            *self.open.entry(severity.as_str()).or_default() += 1;
        }
    }
}

fn load(path: &Path) -> Result<Value, DemoError> {
    let read = || Ok(serde_json::from_slice(&std::fs::read(path)?)?);
    read().map_err(|source: io::Error| DemoError::Dataset {
        path: path.to_owned(),
        source,
    })
}

/// Runs the demo against the stack at `url`. `dataset` is what the GitHub simulator serves, if it does.
pub async fn run(url: &str, dataset: Option<&Path>, out: &mut impl Write) -> Result<(), DemoError> {
    let expected = dataset.map(Expected::read).transpose()?;
    let began = Instant::now();
    let sub = format!("demo-{}", jiff::Timestamp::now().as_second());
    let mut client = Client {
        http: reqwest::Client::new(),
        url: url.to_owned(),
        token: None,
    };
    let token = json!({ "sub": sub, "orgs": [] });
    let token = client
        .call(Method::POST, "/local/tokens", Some(token), None)
        .await?;
    client.token = token["token"].as_str().map(str::to_owned);
    if expected.is_some() {
        let delay = GITHUB_DELAY.as_millis() as u64;
        let fault = json!({ "repository": "*", "operation": "*", "delayMs": delay });
        client
            .call(Method::POST, "/local/github/faults", Some(fault), None)
            .await?;
    }

    writeln!(
        out,
        "\nSecurity Agent, on this machine. The caller is user:{sub}."
    )?;
    let repositories = client.get("/v1/owners/me/repositories").await?;
    let all = list(&repositories["repositories"]);
    let special = expected
        .as_ref()
        .map(|expected| expected.special.clone())
        .unwrap_or_default();
    let good: Vec<&Value> = all
        .iter()
        .filter(|repository| !special.iter().any(|name| repository["fullName"] == **name))
        .collect();
    writeln!(
        out,
        "The GitHub App reaches {} repositories; {} of them answer with errors.\n",
        all.len(),
        all.len() - good.len()
    )?;

    writeln!(
        out,
        "1. Enable Security Agent for the {} good ones. That starts a sync:",
        good.len()
    )?;
    let ids: Vec<&Value> = good.iter().map(|repository| &repository["id"]).collect();
    let selected = json!({
        "enabled": true, "repositorySelection": "selected", "selectedRepositoryIds": ids,
    });
    let first = client.configure(selected).await?;
    let first = client.watch(&first, out).await?;
    client.show_freshness(out).await?;
    let summary = client.show_findings(out).await?;
    if first["status"] != "succeeded" {
        return Err(DemoError::Wrong(
            "the first sync should have succeeded".to_owned(),
        ));
    }
    if let Some(expected) = &expected {
        expected.check(&summary["findings"])?;
        writeln!(out, "   These are exactly the alerts of the dataset.\n")?;
    }

    if !special.is_empty() {
        writeln!(
            out,
            "2. Now all {} repositories. {} of them cannot be refreshed, and the command says so:",
            all.len(),
            special.len()
        )?;
        let everything = client
            .configure(json!({ "repositorySelection": "all" }))
            .await?;
        let ended = client.watch(&everything, out).await?;
        client.show_freshness(out).await?;
        if ended["status"] != "failed" || ended["message"].is_null() {
            return Err(DemoError::Wrong(
                "a sync of unreachable repositories should have failed, with its reason".to_owned(),
            ));
        }
        client.check_fresh(&good).await?;
        writeln!(
            out,
            "   What could be refreshed is fresh; what was configured is unchanged.\n"
        )?;
    }

    writeln!(out, "3. Nothing is forgotten. The history, newest first:")?;
    let history = client.get("/v1/owners/me/commands?limit=5").await?;
    for command in list(&history["commands"]) {
        writeln!(
            out,
            "   {}  {:<5} {:<20} {:<9} {}",
            text(&command["id"]),
            text(&command["type"]),
            text(&command["origin"]),
            text(&command["status"]),
            text(&command["resultCode"])
        )?;
    }
    if expected.is_some() {
        client
            .call(Method::DELETE, "/local/github/faults", None, None)
            .await?;
    }
    writeln!(out, "\nDone in {:.1} s.", began.elapsed().as_secs_f64())?;
    out.flush()?;
    Ok(())
}

impl Expected {
    fn check(&self, findings: &Value) -> Result<(), DemoError> {
        let shown =
            |counts: &Value, names: &BTreeMap<&'static str, u64>| -> BTreeMap<&'static str, u64> {
                names
                    .keys()
                    .map(|name| (*name, counts[*name].as_u64().unwrap_or_default()))
                    .collect()
            };
        let statuses = shown(findings, &self.statuses);
        let open = shown(&findings["openBySeverity"], &self.open);
        if (&statuses, &open) == (&self.statuses, &self.open) {
            return Ok(());
        }
        Err(DemoError::Wrong(format!(
            "the findings should be {:?} and {:?}, but are {statuses:?} and {open:?}",
            self.statuses, self.open
        )))
    }
}

/// A caller of the API.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

impl Client {
    async fn call(
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

    async fn get(&self, path: &str) -> Result<Value, DemoError> {
        self.call(Method::GET, path, None, None).await
    }

    /// Saves the configuration; gives the id of the sync that this started.
    async fn configure(&self, change: Value) -> Result<String, DemoError> {
        let path = "/v1/owners/me/config";
        let version = self.get(path).await?["version"].to_string();
        let saved = self
            .call(Method::PUT, path, Some(change), Some(&version))
            .await?;
        match saved["initialSync"]["command"]["id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => Err(DemoError::Wrong(format!(
                "saving started no sync: {}",
                saved["initialSync"]
            ))),
        }
    }

    /// Polls a command to its end, showing each change.
    async fn watch(&self, id: &str, out: &mut impl Write) -> Result<Value, DemoError> {
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
            if began.elapsed() > PATIENCE {
                return Err(DemoError::Wrong(format!(
                    "command {id} did not end in {PATIENCE:?}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn show_freshness(&self, out: &mut impl Write) -> Result<(), DemoError> {
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

    async fn show_findings(&self, out: &mut impl Write) -> Result<Value, DemoError> {
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

    /// The repositories that answer must be fresh, whatever became of the others.
    async fn check_fresh(&self, good: &[&Value]) -> Result<(), DemoError> {
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

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
