//! Loads and validates the dataset directory; errors name the file.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use axum::http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::alert::Alert;
use crate::alerts::Alerts;
use crate::json;
use crate::tokens::Permissions;
use crate::version::ApiVersion;

/// Fields of a repository that API version 2026-03-10 removed.
const REMOVED_IN_2026_03_10: [&str; 3] = [
    "has_downloads",
    "master_branch",
    "use_squash_pr_title_as_default",
];

/// Why a simulator could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file is not JSON, or its JSON does not have the expected shape.
    #[error("invalid data in {path}, {place}: not a GitHub answer")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The position in the file.
        place: String,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// A file contradicts itself or another file.
    #[error("{path}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The contradiction.
        reason: String,
    },
    /// The state file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// A repository of the installation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Repository {
    /// GitHub's id, which does not change when the repository is renamed.
    pub id: u64,
    /// `owner/name`.
    pub full_name: String,
    /// Whether only members can see it.
    pub private: bool,
    /// Whether it is read-only.
    #[serde(default)]
    pub archived: bool,
}

/// A fixed answer to every request for the repository's alerts.
#[derive(Debug)]
pub(crate) struct SpecialAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Value,
}

/// A repository and its current alerts.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) repository: Repository,
    pub(crate) special: Option<SpecialAnswer>,
    alerts: RwLock<Alerts>,
    text: Box<RawValue>,
    text_2026_03_10: Box<RawValue>,
}

impl Served {
    pub(crate) fn alerts(&self) -> RwLockReadGuard<'_, Alerts> {
        self.alerts.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn alerts_mut(&self) -> RwLockWriteGuard<'_, Alerts> {
        self.alerts.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn text(&self, version: ApiVersion) -> &RawValue {
        match version {
            ApiVersion::V2022_11_28 => &self.text,
            ApiVersion::V2026_03_10 => &self.text_2026_03_10,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Dataset {
    pub(crate) repositories: Vec<Served>,
    pub(crate) permissions: Permissions,
}

#[derive(Deserialize)]
struct Listing {
    repositories: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Token {
    permissions: Permissions,
}

#[derive(Deserialize)]
struct Special {
    repository: String,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Value,
}

impl Dataset {
    pub(crate) fn read(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join("installation-repositories.json");
        let listing: Listing = parse(&path, &read(&path)?)?;
        let mut special = read_special(&directory.join("special-repositories.json"))?;
        let mut repositories = Vec::with_capacity(listing.repositories.len());
        let (mut ids, mut names) = (HashSet::new(), HashSet::new());
        for (index, text) in listing.repositories.iter().enumerate() {
            let malformed = |source| OpenError::Parse {
                path: path.clone(),
                place: format!("repositories[{index}]"),
                source,
            };
            let repository: Repository = serde_json::from_str(text.get()).map_err(malformed)?;
            let name = repository.full_name.to_lowercase();
            if !is_full_name(&name) || !ids.insert(repository.id) || !names.insert(name.clone()) {
                let reason = format!(
                    "repositories[{index}]: {:?} with id {} is not owner/name, or is listed twice",
                    repository.full_name, repository.id
                );
                return Err(OpenError::Invalid { path, reason });
            }
            let newer = json::without(text, &REMOVED_IN_2026_03_10).map_err(malformed)?;
            repositories.push(Served {
                special: special.remove(&name),
                alerts: RwLock::new(read_alerts(directory, &repository.full_name)?),
                repository,
                text: compacted(text).map_err(malformed)?,
                text_2026_03_10: compacted(&newer).map_err(malformed)?,
            });
        }
        for name in special.keys() {
            tracing::warn!(repository = %name, "special-repositories.json names a repository outside the installation");
        }
        warn_of_unlisted(directory, &repositories)?;
        Ok(Self {
            repositories,
            permissions: read_permissions(&directory.join("installation-token.json"))?,
        })
    }
}

/// The alerts file of a repository; a repository without one has no alerts.
fn alerts_path(directory: &Path, full_name: &str) -> PathBuf {
    let name = full_name.replacen('/', "__", 1);
    directory.join("alerts").join(format!("{name}.json"))
}

fn read_alerts(directory: &Path, full_name: &str) -> Result<Alerts, OpenError> {
    let path = alerts_path(directory, full_name);
    let mut alerts = Alerts::default();
    let Some(text) = read_optional(&path)? else {
        return Ok(alerts);
    };
    let texts: Vec<&RawValue> = parse(&path, &text)?;
    for (index, text) in texts.into_iter().enumerate() {
        let alert = Alert::parse(text.get()).map_err(|source| OpenError::Parse {
            path: path.clone(),
            place: format!("alert [{index}]"),
            source,
        })?;
        if alerts.get(alert.number()).is_some() {
            let reason = format!("alert {} is listed twice", alert.number());
            return Err(OpenError::Invalid { path, reason });
        }
        alerts.put(Arc::new(alert));
    }
    Ok(alerts)
}

fn read_special(path: &Path) -> Result<BTreeMap<String, SpecialAnswer>, OpenError> {
    let Some(text) = read_optional(path)? else {
        return Ok(BTreeMap::new());
    };
    let entries: Vec<Special> = parse(path, &text)?;
    let mut special = BTreeMap::new();
    for entry in entries {
        let invalid = |reason: String| OpenError::Invalid {
            path: path.to_owned(),
            reason: format!("{}: {reason}", entry.repository),
        };
        let status = StatusCode::from_u16(entry.status)
            .ok()
            .filter(|status| !status.is_informational())
            .ok_or_else(|| invalid(format!("{} is not a valid status", entry.status)))?;
        let mut headers = Vec::with_capacity(entry.headers.len());
        for (name, value) in &entry.headers {
            let (Ok(name), Ok(value)) = (name.parse(), value.parse()) else {
                return Err(invalid(format!(
                    "{name:?}: {value:?} is not a valid header"
                )));
            };
            headers.push((name, value));
        }
        let answer = SpecialAnswer {
            status,
            headers,
            body: entry.body,
        };
        special.insert(entry.repository.to_lowercase(), answer);
    }
    Ok(special)
}

/// The permissions of the installation.
///
/// The file contains the body of a token; the bundled dataset's grants only read access. Here, an installation that
/// may read alerts may also dismiss them; to get a token that may not, request narrower permissions.
fn read_permissions(path: &Path) -> Result<Permissions, OpenError> {
    let mut permissions = match read_optional(path)? {
        Some(text) => parse::<Token>(path, &text)?.permissions,
        None => Permissions::default(),
    };
    permissions.extend();
    Ok(permissions)
}

fn warn_of_unlisted(directory: &Path, repositories: &[Served]) -> Result<(), OpenError> {
    let folder = directory.join("alerts");
    let listed: BTreeSet<PathBuf> = repositories
        .iter()
        .map(|data| alerts_path(directory, &data.repository.full_name))
        .collect();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(OpenError::Read {
                path: folder,
                source,
            });
        }
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if !listed.contains(&path) {
            tracing::warn!(path = %path.display(), "ignoring an alerts file: the installation has no such repository");
        }
    }
    Ok(())
}

fn is_full_name(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    parts.len() == 2
        && parts
            .iter()
            .all(|part| !part.is_empty() && !part.starts_with('.'))
}

fn compacted(text: &RawValue) -> serde_json::Result<Box<RawValue>> {
    RawValue::from_string(json::compact(text.get()))
}

fn parse<'a, T: Deserialize<'a>>(path: &Path, text: &'a str) -> Result<T, OpenError> {
    serde_json::from_str(text).map_err(|source| OpenError::Parse {
        path: path.to_owned(),
        place: format!("line {}", source.line()),
        source,
    })
}

fn read(path: &Path) -> Result<String, OpenError> {
    fs::read_to_string(path).map_err(|source| OpenError::Read {
        path: path.to_owned(),
        source,
    })
}

fn read_optional(path: &Path) -> Result<Option<String>, OpenError> {
    match read(path) {
        Err(OpenError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
