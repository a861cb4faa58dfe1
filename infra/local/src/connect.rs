//! Connecting owners to the simulator's installation, as an onboarding service would.

use github_simulator::Simulator;
use security_agent::Timestamp;
use security_agent::finding::{InvalidIdentity, Repository, RepositoryId};
use security_agent::github::{InstallationId, InstallationRepository};
use security_agent::owner::Owner;
use security_agent::owners::{Owners, OwnersError};
use security_agent::repositories::{Listing, Repositories, RepositoriesError};
use security_agent::table::Table;

/// Writes what a connected owner has.
#[derive(Debug)]
pub struct Connector {
    owners: Owners,
    repositories: Repositories,
    installation: InstallationId,
    listings: Vec<Listing>,
}

/// Why an owner is not connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The integration could not be read or written.
    #[error(transparent)]
    Owner(#[from] OwnersError),
    /// The repositories could not be written.
    #[error(transparent)]
    Repositories(#[from] RepositoriesError),
}

impl Connector {
    /// Connects to the installation of this simulator.
    pub fn new(simulator: &Simulator, table: Table) -> Result<Self, InvalidIdentity> {
        let listings = simulator
            .repositories()
            .into_iter()
            .map(listing)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            owners: Owners::new(table.clone()),
            repositories: Repositories::new(table),
            installation: InstallationId::new(simulator.installation_id()),
            listings,
        })
    }

    /// Connects the owner. One that is connected already stays exactly as it is.
    pub async fn connect(&self, owner: &Owner, now: Timestamp) -> Result<(), ConnectError> {
        let found = self.owners.read(owner).await?.integration;
        if found.is_some_and(|integration| integration.installation == self.installation) {
            return Ok(());
        }
        // The repositories first: an owner that is connected has them.
        self.repositories.record(owner, &self.listings, now).await?;
        self.owners
            .connect(owner, self.installation, true, now)
            .await?;
        Ok(())
    }
}

fn listing(found: github_simulator::Repository) -> Result<Listing, InvalidIdentity> {
    let id = RepositoryId::new(found.id);
    Ok(Listing {
        listed: Some(InstallationRepository {
            repository: Repository {
                id,
                name: found.full_name.try_into()?,
            },
            private: found.private,
            archived: found.archived,
        }),
        id,
        attempt: None,
    })
}
