//! An installation of the GitHub App, and the repositories it can access.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::finding::Repository;

/// An installation of the App: what an owner has connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstallationId(u64);

impl InstallationId {
    /// From GitHub's number.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// GitHub's number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A repository that an installation can access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallationRepository {
    /// Its id and name.
    pub repository: Repository,
    /// Whether it is private.
    pub private: bool,
    /// Whether it is archived, and so has no alerts.
    pub archived: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_is_written_as_its_number() {
        let installation = InstallationId::new(51_000_001);
        assert_eq!(installation.get(), 51_000_001);
        assert_eq!(installation.to_string(), "51000001");
    }
}
