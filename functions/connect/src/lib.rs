//! Connects an owner to an installation of the GitHub App.
//!
//! Choosing an installation gives access to its alerts, so this is not a route of the API: an operator invokes the
//! function, and IAM decides who may. The function asks GitHub whether the App may read the installation's alerts,
//! which enabling Security Agent requires. Connecting again is safe, and updates the permission.

mod config;

use domain::{
    finding::Source,
    installation::InstallationId,
    owner::{InvalidOwner, Owner},
};
use github::{AlertsAccess, Budget, Github, GithubError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{
    clock::Clock,
    owners::{Owners, OwnersError},
    repositories::{Listing, Repositories, RepositoriesError},
};
use tokio::time::Instant;
use tracing::info;

pub use config::Config;

/// An operator's request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// `user:<id>` or `org:<uuid>`.
    pub owner: String,
    /// GitHub's id of the installation: the number at the end of its settings page's URL.
    pub installation_id: InstallationId,
}

/// The owner's connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// As in the request.
    pub installation_id: InstallationId,
    /// Whether the App may read alerts there. If not, grant the App that permission, accept it for the installation,
    /// and connect again.
    pub can_read_alerts: bool,
    /// The number of repositories that the installation can access.
    pub repositories: usize,
}

/// Why the owner could not be connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The request is not one. serde's error would repeat parts of it, and errors are logged.
    #[error(
        r#"cannot connect: the request must be {{"owner":"user:<id>","installationId":<number>}}"#
    )]
    Request,
    /// The request does not name an owner. Its text may be a person's and is not repeated, because errors are logged.
    #[error("cannot connect: the request's owner is invalid")]
    Owner(#[source] InvalidOwner),
    /// GitHub does not describe the installation.
    #[error(
        "cannot connect to installation {installation}: GitHub does not describe it to this App"
    )]
    Github {
        /// The installation.
        installation: InstallationId,
        /// Why.
        source: GithubError,
    },
    /// The owner is being erased.
    #[error(
        "OWNER_BEING_ERASED: cannot connect an owner whose data is being deleted; invoke the function again when the erasure is completed"
    )]
    BeingErased,
    /// The integration could not be written.
    #[error("cannot write the connection; invoke the function again")]
    Write(#[source] OwnersError),
    /// The connection was written, but not all of its repositories.
    #[error("connected, but cannot write the repositories; invoke the function again")]
    Repositories(#[from] RepositoriesError),
}

/// Connects owners.
#[derive(Clone, Debug)]
pub struct Connector {
    /// The owners' integrations.
    pub owners: Owners,
    /// The owners' repositories.
    pub repositories: Repositories,
    /// GitHub, which describes installations.
    pub github: Github,
    /// DynamoDB's time.
    pub clock: Clock,
}

impl Connector {
    /// Connects the owner that a [`Request`] names. GitHub must answer by `deadline`.
    pub async fn connect(
        &self,
        request: Value,
        deadline: Instant,
    ) -> Result<Connection, ConnectError> {
        let request = Request::deserialize(request).map_err(|_| ConnectError::Request)?;
        let owner: Owner = request.owner.parse().map_err(ConnectError::Owner)?;
        let (installation, now) = (request.installation_id, self.clock.now());
        let (can_read_alerts, listings) = self
            .described(installation, Budget { now, deadline })
            .await
            .map_err(|source| ConnectError::Github {
                installation,
                source,
            })?;
        // Connect first: the store records repositories only for a connected owner.
        self.owners
            .connect(&owner, installation, can_read_alerts, now)
            .await
            .map_err(|error| match error {
                OwnersError::BeingErased => ConnectError::BeingErased,
                error => ConnectError::Write(error),
            })?;
        self.repositories.record(&owner, &listings, now).await?;
        info!(
            owner = owner.hashed(),
            github.installation = %installation,
            github.can_read_alerts = can_read_alerts,
            repositories = listings.len(),
            "the owner is connected"
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
