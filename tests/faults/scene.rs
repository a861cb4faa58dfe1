//! A stack with one owner, Ada, who has enabled Security Agent for a few repositories.

use serde_json::json;
use tests::{Caller, Stack};

use crate::oracle;

/// A repository with 14 alerts, on one page.
pub(crate) const PYGOAT: (u64, &str) = (700_000_004, "acme-appsec/pygoat");
/// A repository with 317 alerts, on four pages.
pub(crate) const ZEPPELIN: (u64, &str) = (700_000_001, "acme-appsec/zeppelin");
/// A repository with 69 alerts, on one page.
pub(crate) const NODEGOAT: (u64, &str) = (700_000_002, "acme-appsec/nodegoat");

pub(crate) struct Scene {
    pub(crate) stack: Stack,
    pub(crate) ada: Caller,
}

impl Scene {
    /// Starts a stack with only Pygoat in scope.
    pub(crate) async fn set() -> Self {
        Self::with(&[], &[PYGOAT.0]).await
    }

    pub(crate) async fn with(options: &[&str], repositories: &[u64]) -> Self {
        let stack = Stack::start(options).await;
        let ada = ada(&stack).await;
        stack.backstage.enable(ada.owner(), repositories).await;
        Self { stack, ada }
    }

    /// Starts a stack with these repositories in scope, and syncs them.
    pub(crate) async fn synced(repositories: &[u64]) -> Self {
        let scene = Self::with(&[], repositories).await;
        let id = scene.ada.sync().await;
        scene.ada.ends_as(id, "SYNC_COMPLETED").await;
        scene
    }

    /// Adds an owner with Pygoat in scope.
    pub(crate) async fn another(&self, subject: &str) -> Caller {
        let caller = self.stack.caller(&json!({"sub": subject})).await;
        let owner = caller.owner();
        self.stack.backstage.enable(owner, &[PYGOAT.0]).await;
        caller
    }

    /// The number of requests to GitHub for Pygoat's alerts.
    pub(crate) async fn listings(&self) -> usize {
        let path = format!("/repos/{}/dependabot/alerts", PYGOAT.1);
        self.stack.github_calls(&path).await.len()
    }

    /// Checks the seven points.
    pub(crate) async fn holds(&self) {
        oracle::check(&self.stack, &[&self.ada]).await;
    }
}

/// A caller whose name, address and id are easy to find where they must not be.
pub(crate) async fn ada(stack: &Stack) -> Caller {
    let claims = json!({
        "sub": oracle::SUBJECT,
        "name": "Ada Canary",
        "email": "ada.canary@example.invalid",
    });
    stack.caller(&claims).await
}
