//! Connects an owner to an installation of the GitHub App.
//!
//! Whoever may name an installation sees its alerts, so this is no route of the API: an operator invokes the function,
//! and IAM says who that may be. GitHub is asked what the installation is, and whether the App may read alerts there;
//! enabling Security Agent needs that. Doing it again is safe, and how a changed permission is noticed.

mod config;

use domain::{
    finding::Source,
    installation::InstallationId,
    owner::{InvalidOwner, Owner},
};
use github::{AlertsAccess, Budget, Github, GithubError};
use serde::{Deserialize, Serialize};
use store::{
    clock::Clock,
    owners::{Owners, OwnersError},
    repositories::{Listing, Repositories, RepositoriesError},
};
use tokio::time::Instant;
use tracing::info;

pub use config::Config;

/// What an operator asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// `user:<id>` or `org:<uuid>`.
    pub owner: String,
    /// GitHub's id of the installation, the number at the end of its settings' address.
    pub installation_id: InstallationId,
}

/// What the owner is connected to now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// As in the request.
    pub installation_id: InstallationId,
    /// Whether the App may read alerts there. If not, grant it that, accept it for the installation, and connect again.
    pub can_read_alerts: bool,
    /// How many repositories the installation reaches.
    pub repositories: usize,
}

/// The owner's connection is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The request names no owner.
    #[error("cannot connect {owner:?}")]
    Owner {
        /// What it names.
        owner: String,
        /// What is wrong with that.
        source: InvalidOwner,
    },
    /// GitHub does not say what the installation is.
    #[error(
        "cannot connect to installation {installation}: GitHub does not describe it to this App"
    )]
    Github {
        /// Which one.
        installation: InstallationId,
        /// Why.
        source: GithubError,
    },
    /// The integration could not be written, or the owner is being erased.
    #[error("the connection could not be written; it is safe to try again")]
    Write(#[from] OwnersError),
    /// The connection was written, but not all of its repositories.
    #[error("the connection was written, but not its repositories; it is safe to try again")]
    Repositories(#[from] RepositoriesError),
}

/// Connects owners.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Their integrations.
    pub owners: Owners,
    /// Their repositories.
    pub repositories: Repositories,
    /// Who describes installations.
    pub github: Github,
    /// The time.
    pub clock: Clock,
}

impl Connector {
    /// Connects the owner. GitHub must have described the installation by `deadline`.
    pub async fn connect(
        &self,
        request: Request,
        deadline: Instant,
    ) -> Result<Connection, ConnectError> {
        let owner: Owner = request
            .owner
            .parse()
            .map_err(|source| ConnectError::Owner {
                owner: request.owner,
                source,
            })?;
        let (installation, now) = (request.installation_id, self.clock.now());
        let (can_read_alerts, listings) = self
            .described(installation, Budget { now, deadline })
            .await
            .map_err(|source| ConnectError::Github {
                installation,
                source,
            })?;
        // Repositories are recorded of a connected owner only.
        self.owners
            .connect(&owner, installation, can_read_alerts, now)
            .await?;
        self.repositories.record(&owner, &listings, now).await?;
        info!(
            owner = owner.hashed(),
            github.installation = %installation,
            github.can_read_alerts = can_read_alerts,
            repositories = listings.len(),
            "an owner was connected"
        );
        Ok(Connection {
            installation_id: installation,
            can_read_alerts,
            repositories: listings.len(),
        })
    }

    async fn described(
        &self,
        installation: InstallationId,
        budget: Budget,
    ) -> Result<(bool, Vec<Listing>), GithubError> {
        let described = self.github.installation(installation, budget).await?;
        let listed = self
            .github
            .installation_repositories(installation, budget)
            .await?;
        let listings = listed.repositories.into_iter().map(|found| Listing {
            id: found.repository.id,
            listed: Some(found),
            attempt: None,
        });
        let readable = described.access(Source::Dependabot) != AlertsAccess::None
            && described.suspended_at.is_none();
        Ok((readable, listings.collect()))
    }
}
