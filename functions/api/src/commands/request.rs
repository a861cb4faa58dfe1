//! What may be asked for.

use domain::{
    command::{Action, AnalysisOptions, DismissComment, ModelName, Origin},
    finding::{DismissReason, FindingId, RepositoryName},
};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::ToSchema;

use crate::{fields::Fields, problem::Problem, schema};

/// The longest text that could be a finding's id, in bytes.
const LONGEST_ID: usize = 256;

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CommandType {
    Sync,
    DismissFinding,
    StartAnalysis,
}

/// Who asks. The other origins are not for callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestedOrigin {
    /// A person.
    #[default]
    Manual,
    /// A dashboard's refresh.
    DashboardRefresh,
}

impl From<RequestedOrigin> for Origin {
    fn from(origin: RequestedOrigin) -> Self {
        match origin {
            RequestedOrigin::Manual => Self::Manual,
            RequestedOrigin::DashboardRefresh => Self::DashboardRefresh,
        }
    }
}

/// A command that is asked for. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CommandRequest {
    /// Refresh the findings from GitHub.
    Sync(SyncRequest),
    /// Dismiss a finding's alert at GitHub, then ignore it here.
    DismissFinding(DismissRequest),
    /// Have the agent analyse a finding.
    StartAnalysis(AnalysisRequest),
}

/// Refresh the findings from GitHub.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct SyncRequest {
    /// Only this repository, by its full name; otherwise all in scope.
    #[schema(value_type = Option<String>, example = "octo/app")]
    pub repository: Option<RepositoryName>,
    /// Who asks.
    #[schema(required = false, default = "manual")]
    pub origin: RequestedOrigin,
}

/// Dismiss a finding's alert at GitHub, then ignore it here.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DismissRequest {
    /// Which finding.
    #[schema(example = "dependabot-700000001-42")]
    pub finding_id: String,
    /// Why, in GitHub's words.
    #[schema(schema_with = schema::dismiss_reason)]
    pub reason: DismissReason,
    /// What is to be said to it.
    #[schema(value_type = Option<String>, max_length = 280)]
    pub comment: Option<DismissComment>,
}

/// Have the agent analyse a finding.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisRequest {
    /// Which finding.
    #[schema(example = "dependabot-700000001-42")]
    pub finding_id: String,
    /// The model for whatever the next two do not name.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    pub model: Option<ModelName>,
    /// The model that triages.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    pub triage_model: Option<ModelName>,
    /// The model that analyses.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    pub analysis_model: Option<ModelName>,
    /// Go through the whole codebase in a sandbox, whatever the triage says.
    #[schema(required = false, default = false)]
    pub force_sandbox: bool,
    /// Take the place of an analysis that is under way.
    #[schema(required = false, default = false)]
    pub restart_active: bool,
}

impl CommandRequest {
    /// Reads a body.
    pub(super) fn read(mut fields: Fields) -> Result<Self, Problem> {
        let read = match fields.require("type") {
            Some(CommandType::Sync) => sync(&mut fields).map(Self::Sync),
            Some(CommandType::DismissFinding) => dismiss(&mut fields).map(Self::DismissFinding),
            Some(CommandType::StartAnalysis) => analyse(&mut fields).map(Self::StartAnalysis),
            // Whatever it was meant to be, its fields are looked at for what else is wrong.
            None => {
                _ = sync(&mut fields);
                for name in ["findingId", "reason", "comment", "model", "triageModel"] {
                    _ = fields.take::<serde::de::IgnoredAny>(name);
                }
                for name in ["analysisModel", "forceSandbox", "restartActive"] {
                    _ = fields.take::<serde::de::IgnoredAny>(name);
                }
                None
            }
        };
        fields.finish(read)
    }

    /// What caused the command.
    pub(super) fn origin(&self) -> Origin {
        match self {
            Self::Sync(sync) => sync.origin.into(),
            Self::DismissFinding(_) | Self::StartAnalysis(_) => Origin::Manual,
        }
    }

    /// What the ledger is asked for. `None` if it is about what cannot be a finding.
    pub(super) fn action(self) -> Option<Action> {
        let finding = |id: String| id.parse::<FindingId>().ok();
        Some(match self {
            Self::Sync(SyncRequest { repository, .. }) => Action::Sync { repository },
            Self::DismissFinding(DismissRequest {
                finding_id,
                reason,
                comment,
            }) => Action::DismissFinding {
                finding: finding(finding_id)?,
                reason,
                comment,
            },
            Self::StartAnalysis(request) => Action::StartAnalysis {
                finding: finding(request.finding_id)?,
                options: AnalysisOptions {
                    model: request.model,
                    triage_model: request.triage_model,
                    analysis_model: request.analysis_model,
                    force_sandbox: request.force_sandbox,
                    restart_active: request.restart_active,
                },
            },
        })
    }
}

fn sync(fields: &mut Fields) -> Option<SyncRequest> {
    Some(SyncRequest {
        repository: maybe(fields, "repository"),
        origin: maybe(fields, "origin").unwrap_or_default(),
    })
}

fn dismiss(fields: &mut Fields) -> Option<DismissRequest> {
    let comment = fields.parsed("comment");
    let (finding_id, reason) = (finding_id(fields), fields.require("reason"));
    Some(DismissRequest {
        finding_id: finding_id?,
        reason: reason?,
        comment,
    })
}

fn analyse(fields: &mut Fields) -> Option<AnalysisRequest> {
    let model = fields.parsed("model");
    let triage_model = fields.parsed("triageModel");
    let analysis_model = fields.parsed("analysisModel");
    let force_sandbox = maybe(fields, "forceSandbox").unwrap_or_default();
    let restart_active = maybe(fields, "restartActive").unwrap_or_default();
    Some(AnalysisRequest {
        finding_id: finding_id(fields)?,
        model,
        triage_model,
        analysis_model,
        force_sandbox,
        restart_active,
    })
}

/// A field that may be absent or null.
fn maybe<T: DeserializeOwned>(fields: &mut Fields, name: &str) -> Option<T> {
    fields.take::<Option<T>>(name).flatten()
}

fn finding_id(fields: &mut Fields) -> Option<String> {
    let expected = format!("the id of a finding, of at most {LONGEST_ID} bytes");
    fields.require_if("findingId", &expected, |id: &String| id.len() <= LONGEST_ID)
}
