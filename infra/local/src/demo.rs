//! The demo: enables an owner, syncs alerts, dismisses one finding, analyses another, and shows how a failed
//! command is reported. Prints each command from admission to outcome.
//!
//! It is an ordinary client of the public API, and compares what it shows with GitHub's data.

mod client;
mod dataset;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use client::{Client, list, text};
use dataset::Expected;

/// The simulator's delay, so that a sync takes as long as with GitHub itself.
const GITHUB_DELAY: Duration = Duration::from_millis(700);

/// Why the demo stopped early.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The stack did not answer.
    #[error("no answer to {request}")]
    NoAnswer {
        /// The request.
        request: String,
        /// The client's error.
        #[source]
        source: reqwest::Error,
    },
    /// The stack gave an unexpected answer.
    #[error("{request} was answered with {status}: {body}")]
    Unexpected {
        /// The request.
        request: String,
        /// The status.
        status: StatusCode,
        /// The body.
        body: String,
    },
    /// The dataset cannot be read.
    #[error("cannot read the dataset file {path}")]
    Dataset {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The API's data differs from what the demo expects.
    #[error("{0}")]
    Wrong(String),
    /// Standard output is closed.
    #[error("cannot write the report")]
    Output(#[from] io::Error),
}

/// What the steps of the demo share.
struct Stage<'a, W> {
    client: Client,
    out: &'a mut W,
    /// Every repository of the installation.
    all: Vec<Value>,
    /// The repositories that answer without an error.
    good: Vec<Value>,
    /// Whether GitHub is simulated: only then is its data known.
    simulated: bool,
}

/// Runs the demo against the stack at `url`. `dataset` is the GitHub simulator's dataset, if GitHub is simulated.
pub async fn run(url: &str, dataset: Option<&Path>, out: &mut impl Write) -> Result<(), DemoError> {
    let began = Instant::now();
    let special = dataset.map(dataset::special).transpose()?;
    let sub = format!("demo-{}", jiff::Timestamp::now().as_second());
    let mut client = Client {
        http: reqwest::Client::new(),
        url: url.to_owned(),
        token: None,
    };
    let token = json!({ "sub": sub, "orgs": [] });
    let token = client.post("/local/tokens", token).await?;
    client.token = token["token"].as_str().map(str::to_owned);
    if special.is_some() {
        let delay = GITHUB_DELAY.as_millis() as u64;
        let fault = json!({ "repository": "*", "operation": "*", "delayMs": delay });
        client.post("/local/github/faults", fault).await?;
    }
    let repositories = client.get("/v1/owners/me/repositories").await?;
    let all = list(&repositories["repositories"]).to_vec();
    let answers = |repository: &&Value| {
        let mut special = special.iter().flatten();
        !special.any(|name| repository["fullName"] == **name)
    };
    let good: Vec<Value> = all.iter().filter(answers).cloned().collect();
    writeln!(
        out,
        "\nSecurity Agent on this machine. The caller is user:{sub}.\n\
         The GitHub App reaches {} repositories; {} of them answer with errors.\n",
        all.len(),
        all.len() - good.len()
    )?;

    let mut stage = Stage {
        client,
        out,
        simulated: special.is_some(),
        all,
        good,
    };
    stage.enable_and_sync().await?;
    stage.dismiss().await?;
    stage.analyse().await?;
    stage.fail_plainly().await?;
    stage.look_back().await?;
    if stage.simulated {
        let faults = "/local/github/faults";
        stage
            .client
            .call(Method::DELETE, faults, None, None)
            .await?;
    }
    writeln!(out, "\nDone in {:.1} s.", began.elapsed().as_secs_f64())?;
    out.flush()?;
    Ok(())
}

impl<W: Write> Stage<'_, W> {
    async fn enable_and_sync(&mut self) -> Result<(), DemoError> {
        let count = self.good.len();
        writeln!(
            self.out,
            "1. Enable Security Agent for the {count} repositories that answer. Saving starts a sync:"
        )?;
        let ids: Vec<&Value> = self.good.iter().map(|found| &found["id"]).collect();
        let selected = json!({
            "enabled": true, "repositorySelection": "selected", "selectedRepositoryIds": ids,
        });
        let sync = self.client.configure(selected).await?;
        let ended = self.client.watch(&sync, self.out).await?;
        self.client.show_freshness(self.out).await?;
        let summary = self.client.show_findings(self.out).await?;
        must(&ended, "succeeded", "the first sync")?;
        if self.simulated {
            let names: Vec<String> = self.good.iter().map(|r| text(&r["fullName"])).collect();
            let expected = Expected::read(&self.client, &names).await?;
            expected.check(&summary["findings"])?;
            writeln!(self.out, "   These are exactly the alerts on GitHub.\n")?;
        }
        Ok(())
    }

    async fn dismiss(&mut self) -> Result<(), DemoError> {
        let Some(finding) = self.open_finding("low").await? else {
            return Ok(());
        };
        writeln!(self.out, "2. Dismiss a finding, first on GitHub:")?;
        self.show(&finding)?;
        let id = text(&finding["id"]);
        let command = json!({
            "type": "dismiss_finding", "findingId": id, "reason": "tolerable_risk", "comment": "Shown in the demo.",
        });
        let ended = self.command(command).await?;
        must(&ended, "succeeded", "the dismissal")?;
        let after = self
            .client
            .get(&format!("/v1/owners/me/findings/{id}"))
            .await?;
        writeln!(
            self.out,
            "   The finding is {}, {}, by {}.",
            text(&after["status"]),
            text(&after["ignoredReason"]),
            text(&after["ignoredBy"])
        )?;
        if after["status"] != "ignored" {
            return Err(DemoError::Wrong(format!("finding {id} should be ignored")));
        }
        if self.simulated {
            let (repository, number) = (text(&finding["repository"]), text(&finding["sourceId"]));
            let path = format!("/local/github/alerts/{repository}/{number}");
            let alert = self.client.get(&path).await?;
            if alert["state"] != "dismissed" {
                return Err(DemoError::Wrong(format!(
                    "alert {number} should be dismissed on GitHub"
                )));
            }
            writeln!(self.out, "   GitHub shows the alert as dismissed.")?;
        }
        writeln!(self.out)?;
        Ok(())
    }

    async fn analyse(&mut self) -> Result<(), DemoError> {
        let Some(finding) = self.open_finding("critical").await? else {
            return Ok(());
        };
        writeln!(
            self.out,
            "3. Analyse the most severe finding. The command ends when the agent has started:"
        )?;
        self.show(&finding)?;
        let id = text(&finding["id"]);
        let command = json!({"type": "start_analysis", "findingId": id});
        let ended = self.command(command).await?;
        must(&ended, "succeeded", "the launch")?;
        let analysis = self.client.watch_analysis(&id, self.out).await?;
        let result = &analysis["result"];
        if analysis["status"] != "completed" || result.is_null() {
            return Err(DemoError::Wrong(format!(
                "the analysis should have completed, but is {analysis}"
            )));
        }
        writeln!(
            self.out,
            "            {} ({} confidence), suggests {}\n            {}\n",
            text(&result["exploitability"]),
            text(&result["confidence"]),
            text(&result["suggestedAction"]),
            text(&result["summary"])
        )?;
        Ok(())
    }

    async fn fail_plainly(&mut self) -> Result<(), DemoError> {
        let unreachable = self.all.len() - self.good.len();
        if unreachable == 0 {
            return Ok(());
        }
        writeln!(
            self.out,
            "4. Sync all {} repositories. {unreachable} of them cannot be refreshed, and the command says so:",
            self.all.len(),
        )?;
        let everything = json!({ "repositorySelection": "all" });
        let sync = self.client.configure(everything).await?;
        let ended = self.client.watch(&sync, self.out).await?;
        self.client.show_freshness(self.out).await?;
        must(&ended, "failed", "a sync of unreachable repositories")?;
        if ended["message"].is_null() {
            return Err(DemoError::Wrong(
                "a failed command should have a message".to_owned(),
            ));
        }
        self.client.check_fresh(&self.good).await?;
        writeln!(
            self.out,
            "   The other repositories are fresh; the configuration is saved.\n"
        )?;
        Ok(())
    }

    async fn look_back(&mut self) -> Result<(), DemoError> {
        writeln!(self.out, "5. The history of commands, newest first:")?;
        let history = self.client.get("/v1/owners/me/commands?limit=5").await?;
        for command in list(&history["commands"]) {
            writeln!(
                self.out,
                "   {}  {:<15} {:<20} {:<9} {}",
                text(&command["id"]),
                text(&command["type"]),
                text(&command["origin"]),
                text(&command["status"]),
                text(&command["resultCode"])
            )?;
        }
        writeln!(self.out, "\n   The audit events:")?;
        let events = self.client.get("/v1/owners/me/audit-events").await?;
        for event in list(&events["auditEvents"]) {
            writeln!(
                self.out,
                "   {}  {:<18} {:<25} {}",
                text(&event["occurredAt"]),
                text(&event["action"]),
                text(&event["actor"]),
                text(&event["resourceId"])
            )?;
        }
        Ok(())
    }

    /// Returns the first open finding of this severity, or else of any severity.
    async fn open_finding(&self, severity: &str) -> Result<Option<Value>, DemoError> {
        for filter in [format!("&severity={severity}"), String::new()] {
            let path = format!("/v1/owners/me/findings?status=open&analysis=none&limit=1{filter}");
            let page = self.client.get(&path).await?;
            if let Some(finding) = list(&page["findings"]).first() {
                return Ok(Some(finding.clone()));
            }
        }
        Ok(None)
    }

    fn show(&mut self, finding: &Value) -> Result<(), DemoError> {
        writeln!(
            self.out,
            "   {} {} #{}: {}",
            text(&finding["severity"]),
            text(&finding["repository"]),
            text(&finding["sourceId"]),
            text(&finding["title"])
        )?;
        Ok(())
    }

    /// Creates a command and watches it until it ends.
    async fn command(&mut self, command: Value) -> Result<Value, DemoError> {
        let admitted = self.client.post("/v1/owners/me/commands", command).await?;
        self.client.watch(&text(&admitted["id"]), self.out).await
    }
}

fn must(command: &Value, status: &str, what: &str) -> Result<(), DemoError> {
    if command["status"] == status {
        return Ok(());
    }
    Err(DemoError::Wrong(format!(
        "{what} should have {status}, but is {command}"
    )))
}
