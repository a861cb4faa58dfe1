//! Rows as a sync writes them.

use domain::installation::InstallationRepository;
use domain::{
    Timestamp,
    finding::{
        AlertNumber, Finding, FindingId, FindingStatus, Package, Repository, RepositoryId, Severity,
    },
};
use store::{
    findings::Arrival,
    pace::Pace,
    repositories::{Listing, RepositoryOutcome},
};
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use super::{NOON, Stack, owner};

pub(crate) fn finding(
    repository: (u64, &str),
    number: u32,
    severity: Severity,
    status: FindingStatus,
    first_detected_at: Timestamp,
) -> Finding {
    Finding {
        id: FindingId {
            source: domain::finding::Source::Dependabot,
            repository: RepositoryId::new(repository.0),
            number: AlertNumber::new(number).expect("not zero"),
        },
        repository: repository.1.parse().expect("a name"),
        severity,
        status,
        ignored_reason: None,
        ignored_by: None,
        package: Package {
            ecosystem: "npm".to_owned(),
            name: "lodash".to_owned(),
        },
        vulnerable_version_range: "< 4.17.21".to_owned(),
        patched_version: Some("4.17.21".to_owned()),
        manifest_path: "package-lock.json".to_owned(),
        dependency_scope: None,
        ghsa_id: "GHSA-35jh-r3h4-6jhm".to_owned(),
        cve_id: Some("CVE-2021-23337".to_owned()),
        cvss_score: None,
        cwe_ids: vec!["CWE-77".to_owned(), "CWE-94".to_owned()],
        title: "Command Injection in lodash".to_owned(),
        description: "`lodash` is vulnerable.".to_owned(),
        url: format!(
            "https://github.com/{}/security/dependabot/{number}",
            repository.1
        ),
        first_detected_at,
        fixed_at: None,
        source_updated_at: first_detected_at,
    }
}

impl Stack {
    /// Records a repository of the installation as attempted at noon, with this outcome.
    pub(crate) async fn record(
        &self,
        (id, name): (u64, &str),
        listed: bool,
        outcome: &RepositoryOutcome,
    ) {
        let id = RepositoryId::new(id);
        let pass = Uuid::nil();
        let repository = |listed: bool| Listing {
            listed: listed.then(|| InstallationRepository {
                repository: Repository {
                    id,
                    name: name.parse().expect("a name"),
                },
                private: true,
                archived: false,
            }),
            id,
            attempt: Some(pass),
        };
        let repositories = &self.app.repositories;
        let (owner, listing) = (owner(), [repository(true)]);
        self.ensure_connected().await;
        repositories
            .record(&owner, &listing, NOON)
            .await
            .expect("recorded");
        if !listed {
            let listing = [repository(false)];
            repositories
                .record(&owner, &listing, NOON)
                .await
                .expect("recorded");
        }
        repositories
            .finish(&owner, id, pass, NOON, outcome)
            .await
            .expect("recorded");
    }

    /// Connects the owner: the store records repositories, and so findings, only for a connected owner.
    async fn ensure_connected(&self) {
        let record = self.app.owners.read(&owner()).await.expect("read");
        if record.integration.is_none() {
            self.connect(true).await;
        }
    }

    /// Stores findings of one repository at noon.
    pub(crate) async fn store(&self, findings: Vec<Finding>) {
        let repository = findings[0].id.repository;
        let name = findings[0].repository.clone();
        let count = findings.len();
        self.ensure_connected().await;
        let listing = Listing {
            listed: Some(InstallationRepository {
                repository: Repository {
                    id: repository,
                    name,
                },
                private: true,
                archived: false,
            }),
            id: repository,
            attempt: None,
        };
        let recorded = self
            .app
            .repositories
            .record(&owner(), &[listing], NOON)
            .await;
        recorded.expect("recorded");
        let stored = self
            .app
            .findings
            .store(
                &owner(),
                repository,
                findings,
                (Arrival::New, NOON),
                &Pace::new(Instant::now() + Duration::from_secs(60)),
            )
            .await;
        assert_eq!(stored.expect("stored").written, count);
    }
}

pub(crate) fn succeeded() -> RepositoryOutcome {
    RepositoryOutcome::Succeeded {
        watermarks: store::repositories::Watermarks::new(),
        complete: true,
    }
}
