//! An installation of the App, and the repositories it can access.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{json::null_as_default, source};
use domain::{
    Timestamp,
    finding::{Repository, RepositoryId, RepositoryName, Source},
    installation::{InstallationId, InstallationRepository},
};

/// An installation, as the App sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Its id.
    pub id: InstallationId,
    permissions: BTreeMap<String, String>,
    /// Since when it is suspended, if it is.
    pub suspended_at: Option<Timestamp>,
}

/// An installation's permission on the alerts of a source. Ordered: `Write` is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertsAccess {
    /// No permission, or one that this version does not know.
    None,
    /// The App may read alerts.
    Read,
    /// The App may read and dismiss alerts.
    Write,
}

impl<'de> Deserialize<'de> for Installation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            id: InstallationId,
            #[serde(default, deserialize_with = "null_as_default")]
            permissions: BTreeMap<String, String>,
            suspended_at: Option<Timestamp>,
        }
        let wire = Wire::deserialize(deserializer)?;
        Ok(Self {
            id: wire.id,
            permissions: wire.permissions,
            suspended_at: wire.suspended_at,
        })
    }
}

impl Installation {
    /// The permission on the alerts of this source.
    pub fn access(&self, source: Source) -> AlertsAccess {
        let permission = source::of(source).permission();
        match self.permissions.get(permission).map(String::as_str) {
            Some("read") => AlertsAccess::Read,
            Some("write") => AlertsAccess::Write,
            Some(_) | None => AlertsAccess::None,
        }
    }
}

/// Every repository an installation can access, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstallationRepositories {
    /// The repositories, in GitHub's order.
    pub repositories: Vec<InstallationRepository>,
    /// The number of entries that this version cannot read.
    pub unreadable: usize,
}

/// One page of repositories.
#[derive(Debug, Deserialize)]
pub(super) struct RepositoriesPage<'a> {
    #[serde(borrow)]
    repositories: Vec<&'a RawValue>,
}

impl RepositoriesPage<'_> {
    /// The repositories of the page; `None` for an entry that cannot be read.
    pub(super) fn read(&self) -> Vec<Option<InstallationRepository>> {
        #[derive(Deserialize)]
        struct Wire {
            id: RepositoryId,
            full_name: RepositoryName,
            private: bool,
            archived: Option<bool>,
        }
        let read = |raw: &&RawValue| {
            let wire: Wire = serde_json::from_str(raw.get()).ok()?;
            Some(InstallationRepository {
                repository: Repository {
                    id: wire.id,
                    name: wire.full_name,
                },
                private: wire.private,
                archived: wire.archived.unwrap_or(false),
            })
        };
        self.repositories.iter().map(read).collect()
    }
}

/// Collects all pages.
#[derive(Default)]
pub(super) struct Pages {
    found: InstallationRepositories,
    seen: HashSet<RepositoryId>,
}

impl Pages {
    /// Adds a page. Pages are numbered, so a repository that is added during the listing moves others to the next page,
    /// and they are listed twice.
    pub(super) fn add(&mut self, page: Vec<Option<InstallationRepository>>) {
        for entry in page {
            match entry {
                Some(entry) if self.seen.insert(entry.repository.id) => {
                    self.found.repositories.push(entry);
                }
                Some(_) => {}
                None => self.found.unreadable += 1,
            }
        }
    }

    pub(super) fn finish(self) -> InstallationRepositories {
        self.found
    }
}
