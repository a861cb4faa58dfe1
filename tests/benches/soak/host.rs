//! The stack as a process that is killed and restarted on its data and its address.

use std::{net::TcpListener, path::Path};

use reqwest::Client;
use serde_json::{Value, json};
use tests::{Caller, Launch, Stack};

use crate::{Result, arguments::TIMEOUTS, github::Github};

/// Ports outside the range of outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..30_000;
/// Attempts to start.
const STARTS: usize = 3;

#[derive(Debug)]
pub(crate) struct Host {
    launch: Launch,
    stack: Stack,
    installation: u64,
    /// Kills of the whole stack.
    pub(crate) kills: usize,
}

/// Where people get their tokens.
#[derive(Clone, Debug)]
pub(crate) struct TokenDesk {
    http: Client,
    url: String,
    installation: u64,
}

impl Host {
    /// Starts the stack with the account's concurrency; 0 is unlimited.
    pub(crate) async fn start(
        binaries: &Path,
        data: &Path,
        github: &Github,
        concurrency: u32,
    ) -> Result<Self> {
        let free = PORTS
            .into_iter()
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let port = free.ok_or("no port is free")?;
        let parameters = [
            format!("GithubAppId={}", github.app_id()),
            format!("AcceptedTimeoutSeconds={}", TIMEOUTS.accepted_seconds),
            format!("RunningTimeoutSeconds={}", TIMEOUTS.running_seconds),
        ];
        let parameters = parameters
            .into_iter()
            .map(|parameter| format!("--parameter={parameter}"));
        let options = [
            format!("--listen=127.0.0.1:{port}"),
            format!("--data={}", data.display()),
            format!("--github={}", github.url),
            "--partition-limits".to_owned(),
        ];
        let limit = (concurrency > 0).then(|| format!("--concurrency={concurrency}"));
        let key_file = github.key_file.display().to_string();
        let launch = Launch {
            binaries: binaries.to_owned(),
            options: options.into_iter().chain(parameters).chain(limit).collect(),
            environment: vec![("LOCAL_GITHUB_PRIVATE_KEY_FILE", key_file)],
            github_desk: Some(github.url.clone()),
        };
        let stack = launch.start().await?;
        Ok(Self {
            launch,
            stack,
            installation: github.installation_id(),
            kills: 0,
        })
    }

    pub(crate) const fn stack(&self) -> &Stack {
        &self.stack
    }

    pub(crate) fn url(&self) -> &str {
        self.stack.url()
    }

    pub(crate) fn pid(&self) -> u64 {
        self.stack.pid()
    }

    /// Kills everything without warning and restarts it on the remaining data.
    pub(crate) async fn kill_and_restart(&mut self) -> Result<()> {
        self.stack.kill();
        self.kills += 1;
        let mut tried = self.launch.start().await;
        for _ in 1..STARTS {
            if tried.is_ok() {
                break;
            }
            tried = self.launch.start().await;
        }
        self.stack = tried?;
        Ok(())
    }

    /// From the next start on, schedules run only on request.
    pub(crate) fn stop_the_clock(&mut self) {
        self.launch.options.push("--no-schedules".to_owned());
    }

    pub(crate) fn desk(&self) -> TokenDesk {
        TokenDesk {
            http: Client::new(),
            url: self.url().to_owned(),
            installation: self.installation,
        }
    }
}

impl TokenDesk {
    /// Returns a caller with a token, whose owners are connected to GitHub's installation.
    pub(crate) async fn caller(&self, mut claims: Value) -> Result<Caller> {
        claims["installation"] = json!(self.installation);
        let request = self.http.post(format!("{}/local/tokens", self.url));
        let answer = request.json(&claims).send().await?.error_for_status()?;
        let answer: Value = answer.json().await?;
        let token = answer["token"].as_str().ok_or("no token")?;
        let subject = claims["sub"].as_str().ok_or("no subject")?;
        Ok(Caller::new(&self.url, token, subject))
    }
}
