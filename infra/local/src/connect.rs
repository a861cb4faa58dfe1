//! Connects owners to an installation of the GitHub App, as an onboarding service would.

use std::sync::Arc;

use bytes::Bytes;
use domain::Timestamp;
use domain::finding::{InvalidIdentity, Repository, RepositoryId};
use domain::installation::{InstallationId, InstallationRepository};
use domain::owner::Owner;

use github_simulator::Simulator;
use serde_json::json;
use store::erasure::{ErasureError, Erasures};
use store::owners::{Owners, OwnersError};
use store::repositories::{Listing, Repositories, RepositoriesError};
use store::table::Table;

use crate::functions::{Functions, InvokeError};

/// Writes the rows of a connected owner.
#[derive(Debug)]
pub struct Connector {
    owners: Owners,
    erasures: Erasures,
    repositories: Repositories,
    source: Source,
}

/// Where the description of the installation comes from.
#[derive(Debug)]
enum Source {
    /// The simulator, in this process; reading it counts as no request.
    Simulator(Connection),
    /// GitHub itself, through the `connect` function.
    Function(Arc<Functions>),
}

/// The rows to write.
#[derive(Clone, Debug)]
struct Connection {
    installation: InstallationId,
    listings: Vec<Listing>,
}

/// Why an owner could not be connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The integration could not be read or written.
    #[error(transparent)]
    Owner(#[from] OwnersError),
    /// The owner's erasure could not be read.
    #[error(transparent)]
    Erasure(#[from] ErasureError),
    /// The repositories could not be written.
    #[error(transparent)]
    Repositories(#[from] RepositoriesError),
    /// The `connect` function failed.
    #[error(transparent)]
    Function(#[from] InvokeError),
    /// The simulator has only one installation.
    #[error("the GitHub simulator has no installation {0}")]
    NoSuchInstallation(InstallationId),
}

impl Connector {
    /// Connects owners to this simulator's installation.
    pub fn simulated(simulator: &Simulator, table: Table) -> Result<Self, InvalidIdentity> {
        let listings = simulator
            .repositories()
            .into_iter()
            .map(simulated)
            .collect::<Result<_, _>>()?;
        let connection = Connection {
            installation: InstallationId::new(simulator.installation_id()),
            listings,
        };
        Ok(Self::new(Source::Simulator(connection), table))
    }

    /// Connects owners to any installation that GitHub reports.
    pub fn real(functions: Arc<Functions>, table: Table) -> Self {
        Self::new(Source::Function(functions), table)
    }

    fn new(source: Source, table: Table) -> Self {
        Self {
            owners: Owners::new(table.clone()),
            erasures: Erasures::new(table.clone()),
            repositories: Repositories::new(table),
            source,
        }
    }

    /// Connects the owner to the named installation, or else to the simulator's. Changes nothing if the owner is
    /// connected to it already, is being erased, or, with GitHub itself, if no installation is named.
    pub async fn connect(
        &self,
        owner: &Owner,
        installation: Option<InstallationId>,
        now: Timestamp,
    ) -> Result<(), ConnectError> {
        let default = match &self.source {
            Source::Simulator(connection) => Some(connection.installation),
            Source::Function(_) => None,
        };
        let Some(installation) = installation.or(default) else {
            return Ok(());
        };
        let found = self.owners.read(owner).await?.integration;
        let same = found.is_some_and(|integration| integration.installation == installation);
        // A stack killed between the two writes below leaves an owner without repositories; connect it again.
        if same && !self.repositories.read(owner).await?.is_empty() {
            return Ok(());
        }
        // An owner that is being erased still needs a token, to read the erasure's status.
        let erasure = self.erasures.read(owner, now).await?;
        if erasure.is_some_and(|erasure| erasure.completed_at.is_none()) {
            return Ok(());
        }
        let connection = match &self.source {
            Source::Simulator(connection) if connection.installation == installation => {
                connection.clone()
            }
            Source::Simulator(_) => return Err(ConnectError::NoSuchInstallation(installation)),
            Source::Function(functions) => {
                let request = json!({"owner": owner.to_string(), "installationId": installation});
                let payload = Bytes::from(request.to_string());
                functions.invoke("connect", payload).await?;
                return Ok(());
            }
        };
        // The owner first: repositories are recorded only for a connected owner.
        let connected = self.owners.connect(owner, installation, true, now);
        match connected.await {
            // The erasure was requested after the read above.
            Err(OwnersError::BeingErased) => return Ok(()),
            connected => connected?,
        }
        self.repositories
            .record(owner, &connection.listings, now)
            .await?;
        Ok(())
    }
}

fn simulated(found: github_simulator::Repository) -> Result<Listing, InvalidIdentity> {
    let repository = Repository {
        id: RepositoryId::new(found.id),
        name: found.full_name.try_into()?,
    };
    Ok(Listing {
        id: repository.id,
        listed: Some(InstallationRepository {
            repository,
            private: found.private,
            archived: found.archived,
        }),
        attempt: None,
    })
}
