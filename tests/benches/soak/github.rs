//! GitHub, in this process: kills of the stack do not reach it, so its records are complete.

use std::path::{Path, PathBuf};

use github_simulator::{AppKey, Simulator};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Result;

/// The good repositories: those that GitHub lists without error.
pub(crate) const REPOSITORIES: [(u64, &str); 5] = [
    (700_000_001, "acme-appsec/zeppelin"),
    (700_000_002, "acme-appsec/nodegoat"),
    (700_000_003, "acme-appsec/security-agent-testbed"),
    (700_000_004, "acme-appsec/pygoat"),
    (700_000_005, "acme-appsec/docs-site"),
];
/// All owners share one installation. Its rate limit is set as a fault, never met by chance.
const REQUESTS_PER_HOUR: u32 = 10_000_000;

/// The simulator, behind a server.
#[derive(Debug)]
pub(crate) struct Github {
    simulator: Simulator,
    http: Client,
    /// The address of its API and of its local endpoints.
    pub(crate) url: String,
    /// The App's private key.
    pub(crate) key_file: PathBuf,
}

impl Github {
    pub(crate) async fn open(data: &Path) -> Result<Self> {
        let key_file = data.join("github-app.pem");
        let key = AppKey::load_or_generate(&key_file)?;
        let dataset = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/dependabot");
        let simulator = Simulator::open(&dataset, None, &key)?;
        simulator.set_rate_limit(REQUESTS_PER_HOUR);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = simulator.router().merge(simulator.local_router());
        tokio::spawn(async move {
            // It serves until this process ends.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            simulator,
            http: Client::builder().no_proxy().build()?,
            url,
            key_file,
        })
    }

    pub(crate) fn app_id(&self) -> u64 {
        self.simulator.app_id()
    }

    pub(crate) fn installation_id(&self) -> u64 {
        self.simulator.installation_id()
    }

    /// Invalidates every token issued so far.
    pub(crate) fn revoke_tokens(&self) {
        self.simulator.revoke_tokens();
    }

    /// Returns the alerts of a repository.
    pub(crate) async fn alerts(&self, repository: &str) -> Result<Vec<Value>> {
        let alerts = self
            .local(Method::GET, &format!("alerts/{repository}"), None)
            .await?;
        Ok(alerts.as_array().cloned().unwrap_or_default())
    }

    /// Returns one alert.
    pub(crate) async fn alert(&self, repository: &str, number: u64) -> Result<Value> {
        let path = format!("alerts/{repository}/{number}");
        self.local(Method::GET, &path, None).await
    }

    /// Reopens a dismissed alert, as a person on GitHub would.
    pub(crate) async fn reopen(&self, repository: &str, number: u64) -> Result<()> {
        let open = json!({"state": "open", "dismissed_at": null, "dismissed_by": null,
            "dismissed_reason": null, "dismissed_comment": null});
        let path = format!("alerts/{repository}/{number}");
        self.local(Method::PATCH, &path, Some(&open)).await?;
        Ok(())
    }

    async fn local(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut request = self
            .http
            .request(method, format!("{}/local/github/{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        Ok(request.send().await?.error_for_status()?.json().await?)
    }
}
