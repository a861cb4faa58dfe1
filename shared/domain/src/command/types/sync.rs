//! `sync`: refreshes the owner's findings from GitHub.

use crate::{
    command::{CommandKind, CommandQueue, Origin, argument::arguments},
    finding::RepositoryName,
};

arguments! {
    /// Refreshes the findings from GitHub.
    pub struct SyncFindings {
        /// The one repository to refresh, as `owner/name`. If missing, all in scope.
        pub repository: Option<RepositoryName> = "repository",
    }
}

impl CommandKind for SyncFindings {
    const NAME: &'static str = "sync";
    const DOC: &'static str = "Refreshes the findings from GitHub.";
    const QUEUE: CommandQueue = CommandQueue::Sync;
    const REQUESTED_ORIGINS: &'static [Origin] = &[Origin::Manual, Origin::DashboardRefresh];

    fn repository(&self) -> Option<&RepositoryName> {
        self.repository.as_ref()
    }
}

impl SyncFindings {
    /// A sync of every repository in scope.
    pub const fn all() -> Self {
        Self { repository: None }
    }
}
