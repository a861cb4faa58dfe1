//! `/config`: an owner's configuration. A save and the sync that it starts have separate outcomes: if the sync cannot
//! be admitted, the configuration stays saved, and the answer reports both.

mod change;
mod difference;

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use domain::{
    Timestamp,
    command::{Origin, SyncFindings},
    finding::RepositoryId,
    owner::Owner,
    settings::{RepositorySelection, Settings},
};
use serde::Serialize;
use store::{
    audit::{AuditAction, AuditEvent},
    ledger::NewCommand,
    owners::{OwnerRecord, Saved},
    table::Writes,
};
use telemetry::chain;
use utoipa::ToSchema;

use crate::{
    App,
    admission::{Admission, admit},
    body::JsonBody,
    command_view::CommandView,
    conditional::{Expected, if_match},
    failure::being_erased,
    gateway::Now,
    problem::{Code, Invalid, Problem, ProblemBody},
    scope::OwnerScope,
};

use difference::Difference;

pub use change::{AutoAnalysisChange, AutoDismissChange, ConfigChange, SlaDaysChange};

/// A configuration and its version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Config)]
pub struct ConfigView {
    #[serde(flatten)]
    #[schema(value_type = ConfigChange)]
    settings: Settings,
    /// Increases by one with each save; 0 before the first.
    version: u64,
}

/// The result of a save.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SavedConfig)]
pub struct SavedView {
    config: ConfigView,
    /// The sync that enabling or selecting other repositories starts; `null` if the save starts none.
    initial_sync: Option<InitialSync>,
}

/// Whether the sync was admitted. The configuration is saved in either case.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum InitialSync {
    /// The sync was admitted.
    Admitted {
        /// Always true.
        admitted: bool,
        /// The sync.
        command: Box<CommandView>,
    },
    /// The sync was not admitted. Start one later.
    NotAdmitted {
        /// Always false.
        admitted: bool,
        /// `QUEUE_ADMISSION_FAILED`; `COMMAND_PAUSED` while syncs are not admitted; `OWNER_BEING_ERASED` if the erasure
        /// was requested after the save.
        code: &'static str,
    },
}

/// Returns the configuration.
#[utoipa::path(get, path = "/v1/owners/{owner}/config", operation_id = "readConfig",
    params(("owner" = String, Path, description = "`me`, `user:<id>`, `user~<base64url of the id>` or `org:<uuid>`, percent-encoded")),
    responses(
        (status = 200, body = ConfigView, headers(("ETag" = String, description = "The version, for `If-Match`"))),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json")
    ))]
pub async fn read(State(app): State<App>, scope: OwnerScope) -> Result<Response, Problem> {
    let record = app.owners.read(scope.owner()).await?;
    let tag = tag(record.version);
    let view = ConfigView {
        settings: record.settings,
        version: record.version,
    };
    Ok(([(header::ETAG, tag)], Json(view)).into_response())
}

fn tag(version: u64) -> String {
    format!("\"{version}\"")
}

/// How often a save of any version is tried: each time it loses, another one was saved.
const TRIES: u32 = 10;

/// Saves the configuration. Omitted fields keep their value.
#[utoipa::path(put, path = "/v1/owners/{owner}/config", operation_id = "writeConfig",
    params(
        ("owner" = String, Path, description = "`me`, `user:<id>`, `user~<base64url of the id>` or `org:<uuid>`, percent-encoded"),
        ("If-Match" = String, Header, description = "The version that the save replaces, or `*`")
    ),
    request_body = ConfigChange,
    responses(
        (status = 200, description = "The configuration is saved, whether or not the sync was admitted", body = SavedView,
            headers(("ETag" = String, description = "The new version"))),
        (status = 412, description = "The configuration has changed since that version", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json")
    ))]
pub async fn write(
    State(app): State<App>,
    scope: OwnerScope,
    Now(now): Now,
    headers: HeaderMap,
    JsonBody(fields): JsonBody,
) -> Result<Response, Problem> {
    let owner = scope.owner();
    let expected = if_match(&headers)?;
    let change = ConfigChange::read(fields, expected)?;
    // A save of any version that loses against another is applied to what the other saved.
    let mut tries = match expected {
        Expected::Any => TRIES,
        Expected::Version(_) => 1,
    };
    let (before, settings, version) = loop {
        let record = async { Ok::<_, Problem>(app.owners.read(owner).await?) };
        let (record, known) = tokio::try_join!(record, known(&app, owner, &change))?;
        // First: the version is gone with the settings, and a conflict would invite another try.
        if record.being_erased {
            return Err(being_erased());
        }
        if !expected.admits(record.version) {
            return Err(conflict());
        }
        selectable(&change, &record.settings, &known)?;
        let settings = change.clone().apply(record.settings.clone());
        if settings.enabled {
            ready(&record)?;
        }
        let events = events(&scope, &record, &settings, now);
        let events = events.iter().fold(Writes::default(), |writes, event| {
            writes.and(app.audit.record(owner, event))
        });
        let saved = app.owners.save(owner, &settings, &record, events, now);
        tries -= 1;
        match saved.await? {
            Saved::Saved { version } => break (record.settings, settings, version),
            Saved::Conflict if tries > 0 => {}
            Saved::Conflict => return Err(conflict()),
            Saved::BeingErased => return Err(being_erased()),
        }
    };
    tracing::info!(
        owner = %owner.hashed(),
        config.version = version,
        config.enabled = settings.enabled,
        "the configuration was saved"
    );
    let initial_sync = if settings.enabled && (!before.enabled || rechosen(&before, &settings)) {
        Some(initial_sync(&app, &scope, now).await)
    } else {
        None
    };
    let view = SavedView {
        config: ConfigView { settings, version },
        initial_sync,
    };
    Ok(([(header::ETAG, tag(version))], Json(view)).into_response())
}

/// Returns a save's audit events: one for switching on or off, one for any other change. Each has what it changes,
/// before and after.
fn events(
    scope: &OwnerScope,
    before: &OwnerRecord,
    after: &Settings,
    now: Timestamp,
) -> Vec<AuditEvent> {
    let version = before.version + 1;
    let event = |action, changed: Difference| {
        AuditEvent::of_save(scope.owner(), version, action, scope.actor(), now)
            .with("before", changed.before)
            .with("after", changed.after)
    };
    let mut changed = Difference::between(&before.settings, after);
    let switched = changed.take("enabled").map(|switched| {
        let action = if after.enabled {
            AuditAction::Enabled
        } else {
            AuditAction::Disabled
        };
        event(action, switched)
    });
    let otherwise = (!changed.is_empty()).then(|| event(AuditAction::ConfigChanged, changed));
    switched.into_iter().chain(otherwise).collect()
}

fn conflict() -> Problem {
    Problem::new(
        Code::VersionConflict,
        "Somebody else saved the configuration since you read it. Read it again and repeat your change.",
    )
}

/// Returns the repositories that can be selected. Reads them only if the change selects some.
async fn known(
    app: &App,
    owner: &Owner,
    change: &ConfigChange,
) -> Result<BTreeSet<RepositoryId>, Problem> {
    if change.selected_repository_ids.is_none() {
        return Ok(BTreeSet::new());
    }
    let records = app.repositories.read(owner).await?;
    Ok(records.iter().map(|record| record.repository.id).collect())
}

/// Allows the installation's repositories, and those selected before: a repository that has left may stay selected.
fn selectable(
    change: &ConfigChange,
    before: &Settings,
    known: &BTreeSet<RepositoryId>,
) -> Result<(), Problem> {
    let chosen = change.selected_repository_ids.iter().flatten();
    let unknown: Vec<Invalid> = chosen
        .enumerate()
        .filter(|(_, id)| !known.contains(id) && !before.selected_repository_ids.contains(id))
        .map(|(place, id)| {
            let pointer = format!("/selectedRepositoryIds/{place}");
            Invalid::new(pointer, format!("the installation has no repository {id}"))
        })
        .collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Problem::invalid(unknown))
    }
}

/// Refuses to enable an owner whose integration cannot read alerts.
fn ready(record: &OwnerRecord) -> Result<(), Problem> {
    match &record.integration {
        None => Err(Problem::new(
            Code::IntegrationRequired,
            "Connect the owner to an installation of the GitHub App first.",
        )),
        Some(integration) if !integration.can_read_alerts => Err(Problem::new(
            Code::IntegrationPermissionMissing,
            "Grant the GitHub App permission to read Dependabot alerts first.",
        )),
        Some(_) => Ok(()),
    }
}

/// Whether the save changes which repositories are in scope.
fn rechosen(before: &Settings, after: &Settings) -> bool {
    match (before.repository_selection, after.repository_selection) {
        (_, RepositorySelection::All) => before.repository_selection != RepositorySelection::All,
        (RepositorySelection::All, RepositorySelection::Selected) => true,
        (RepositorySelection::Selected, RepositorySelection::Selected) => {
            before.selected_repository_ids != after.selected_repository_ids
        }
    }
}

async fn initial_sync(app: &App, scope: &OwnerScope, now: Timestamp) -> InitialSync {
    let owner = scope.owner();
    let new = NewCommand {
        owner: owner.clone(),
        action: SyncFindings::all().into(),
        origin: Origin::EnableInitialSync,
        actor: scope.actor(),
        key: None,
    };
    match admit(app, new, now).await {
        Ok(Admission::Accepted(command) | Admission::Replayed(command)) => InitialSync::Admitted {
            admitted: true,
            command: Box::new(command.into()),
        },
        Ok(Admission::Paused(_)) => not_admitted(Code::CommandPaused),
        Ok(Admission::BeingErased) => not_admitted(Code::OwnerBeingErased),
        Ok(Admission::NotQueued(_) | Admission::KeyReused | Admission::NoFinding) => {
            not_admitted(Code::QueueAdmissionFailed)
        }
        Err(error) => {
            tracing::warn!(
                owner = %owner.hashed(),
                error = %chain(&error),
                "the initial sync could not be admitted; the configuration is saved"
            );
            not_admitted(Code::QueueAdmissionFailed)
        }
    }
}

const fn not_admitted(code: Code) -> InitialSync {
    InitialSync::NotAdmitted {
        admitted: false,
        code: code.as_str(),
    }
}
