//! What may be asked for.

use security_agent::{
    command::{Action, Origin},
    finding::RepositoryName,
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{fields::Fields, problem::Problem};

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandType {
    /// Refresh the findings from GitHub.
    Sync,
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
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// What it does.
    pub r#type: CommandType,
    /// Only this repository, by its full name; otherwise all in scope.
    #[schema(value_type = Option<String>, example = "octo/app")]
    pub repository: Option<RepositoryName>,
    /// Who asks.
    #[schema(required = false, default = "manual")]
    pub origin: RequestedOrigin,
}

impl CommandRequest {
    /// Reads a body.
    pub(super) fn read(mut fields: Fields) -> Result<Self, Problem> {
        let repository: Option<Option<_>> = fields.take("repository");
        let origin = fields.take("origin");
        let request = fields.require("type").map(|r#type| Self {
            r#type,
            repository: repository.flatten(),
            origin: origin.unwrap_or_default(),
        });
        fields.finish(request)
    }

    /// What the ledger is asked for.
    pub(super) fn action(&self) -> Action {
        match self.r#type {
            CommandType::Sync => Action::Sync {
                repository: self.repository.clone(),
            },
        }
    }
}
