//! A simulator of GitHub's REST API for Dependabot alerts.
//!
//! It serves a dataset directory in GitHub's format to one installation of one GitHub App, and stores the changes
//! that callers make. The README lists what it simulates and what it does not.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use jiff::Timestamp;
use jsonwebtoken::DecodingKey;
use serde_json::Value;
use simulation::{Faults, Strike, locked};

mod alert;
mod alerts;
mod answer;
mod api;
mod app_key;
mod call;
mod dataset;
mod faults;
mod journal;
mod json;
mod local;
mod query;
mod rate_limit;
mod requests;
mod tokens;
mod version;

pub use app_key::{AppKey, AppKeyError};
pub use dataset::{OpenError, Repository};

use alert::Alert;
use alerts::Alerts;
use answer::Answer;
use call::{Call, RepositoryPath};
use dataset::{Dataset, Served};
use faults::Matching;
use journal::Journal;
use rate_limit::RateLimit;
use requests::Requests;
use tokens::{Permissions, Tokens};

const APP_ID: u64 = 1_200_001;
const APP_SLUG: &str = "security-agent";
const INSTALLATION_ID: u64 = 51_000_001;
const REQUESTS_PER_HOUR: u32 = 5_000;

/// GitHub, as one installation of one app sees it. Clones share one simulator.
#[derive(Clone)]
pub struct Simulator {
    world: Arc<World>,
}

struct World {
    app_verification: DecodingKey,
    permissions: Permissions,
    repositories: Vec<Served>,
    by_name: HashMap<String, usize>,
    by_id: HashMap<u64, usize>,
    journal: Mutex<Journal>,
    tokens: Tokens,
    rate_limit: RateLimit,
    faults: Faults<Matching>,
    requests: Requests,
}

impl Simulator {
    /// Loads and validates the dataset, then applies the changes in the state file.
    ///
    /// Without a state file, every start serves the dataset unchanged.
    pub fn open(dataset: &Path, state: Option<&Path>, app: &AppKey) -> Result<Self, OpenError> {
        let Dataset {
            repositories,
            permissions,
        } = Dataset::read(dataset)?;
        let (journal, saved) = match state {
            Some(path) => Journal::open(path)?,
            None => (Journal::ephemeral(), Vec::new()),
        };
        let keyed =
            |(index, served): (usize, &Served)| (served.repository.full_name.to_lowercase(), index);
        let numbered = |(index, served): (usize, &Served)| (served.repository.id, index);
        let simulator = Self {
            world: Arc::new(World {
                app_verification: app.decoding_key(),
                permissions,
                by_name: repositories.iter().enumerate().map(keyed).collect(),
                by_id: repositories.iter().enumerate().map(numbered).collect(),
                repositories,
                journal: Mutex::new(journal),
                tokens: Tokens::default(),
                rate_limit: RateLimit::new(REQUESTS_PER_HOUR),
                faults: Faults::default(),
                requests: Requests::default(),
            }),
        };
        for saved in saved {
            match simulator.served(&RepositoryPath::Named(saved.repository.clone())) {
                Some(served) => served.alerts_mut().put(Arc::new(saved.alert)),
                // The line stays in the file: the next start may serve another dataset.
                None => {
                    tracing::warn!(repository = %saved.repository, "the state file contains a repository that is not in the dataset");
                }
            }
        }
        Ok(simulator)
    }

    /// Sets the installation's rate limit in requests per hour (default 5,000) and starts a new hour.
    pub fn set_rate_limit(&self, requests_per_hour: u32) {
        self.world.rate_limit.set(requests_per_hour);
    }

    /// GitHub's API, to be served at the root of its own address.
    pub fn router(&self) -> Router {
        Router::new()
            .fallback(api::receive)
            .with_state(self.clone())
    }

    /// The endpoints under `/local/github`: register faults, list received requests, change alerts.
    pub fn local_router(&self) -> Router {
        local::router(self.clone())
    }

    /// The only installation.
    #[must_use]
    pub fn installation_id(&self) -> u64 {
        INSTALLATION_ID
    }

    /// The app's id, which its tokens must name as `iss`.
    #[must_use]
    pub fn app_id(&self) -> u64 {
        APP_ID
    }

    /// The installation's repositories, in the order GitHub lists them.
    #[must_use]
    pub fn repositories(&self) -> Vec<Repository> {
        let served = self.world.repositories.iter();
        served.map(|served| served.repository.clone()).collect()
    }

    /// Revokes all installation tokens.
    pub fn revoke_tokens(&self) {
        self.world.tokens.revoke_all();
    }

    fn served(&self, path: &RepositoryPath) -> Option<&Served> {
        let index = match path {
            RepositoryPath::Named(name) => self.world.by_name.get(&name.to_lowercase()),
            RepositoryPath::Numbered(id) => self.world.by_id.get(id),
        };
        self.world.repositories.get(*index?)
    }

    fn strike(&self, call: &Call) -> Option<Strike<Matching>> {
        let repository = call.repository();
        let name = repository.and_then(|path| match (self.served(path), path) {
            (Some(served), _) => Some(served.repository.full_name.as_str()),
            (None, RepositoryPath::Named(name)) => Some(name),
            (None, RepositoryPath::Numbered(_)) => None,
        });
        self.world.faults.strike((call.operation(), name))
    }

    /// Changes an alert, on disk first. Changes of one repository are serialized.
    fn change_alert(
        &self,
        served: &Served,
        number: u64,
        now: Timestamp,
        changes: impl FnOnce(&Alert, Timestamp) -> Result<Value, Answer>,
    ) -> Result<Arc<Alert>, ChangeError> {
        let mut alerts = served.alerts_mut();
        let alert = alerts.get(number).ok_or(ChangeError::NoSuchAlert)?;
        let changes = changes(alert, alerts.time_of_change(now)).map_err(ChangeError::Refused)?;
        let changed = alert.with(&changes).map_err(ChangeError::Alert)?;
        self.keep(served, &mut alerts, changed)
    }

    /// Adds an alert under the next number, on disk first.
    fn add_alert(
        &self,
        served: &Served,
        now: Timestamp,
        alert: impl FnOnce(u64, Timestamp) -> Value,
    ) -> Result<Arc<Alert>, ChangeError> {
        let mut alerts = served.alerts_mut();
        let alert = alert(alerts.next_number(), alerts.time_of_change(now));
        let added = Alert::parse(&alert.to_string()).map_err(ChangeError::Alert)?;
        self.keep(served, &mut alerts, added)
    }

    fn keep(
        &self,
        served: &Served,
        alerts: &mut Alerts,
        alert: Alert,
    ) -> Result<Arc<Alert>, ChangeError> {
        locked(&self.world.journal)
            .append(&served.repository.full_name, &alert)
            .map_err(ChangeError::Journal)?;
        let alert = Arc::new(alert);
        alerts.put(Arc::clone(&alert));
        Ok(alert)
    }
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Simulator")
            .field("repositories", &self.world.repositories.len())
            .finish_non_exhaustive()
    }
}

/// Why an alert was not changed.
#[derive(Debug, thiserror::Error)]
enum ChangeError {
    #[error("the alert does not exist")]
    NoSuchAlert,
    /// The alert's state does not allow the change; contains GitHub's answer.
    #[error("the alert's state does not allow the change")]
    Refused(Answer),
    #[error("the change would make the alert invalid")]
    Alert(#[source] serde_json::Error),
    #[error("cannot store the change")]
    Journal(#[source] io::Error),
}
