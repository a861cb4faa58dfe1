//! The call that a request makes, from its method and path.

use axum::http::Method;
use percent_encoding::percent_decode_str;

/// The operations that faults can match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    ListAlerts,
    GetAlert,
    UpdateAlert,
    InstallationToken,
    Installation,
    ListRepositories,
    RateLimit,
}

impl Operation {
    pub(crate) const ALL: [Self; 7] = [
        Self::ListAlerts,
        Self::GetAlert,
        Self::UpdateAlert,
        Self::InstallationToken,
        Self::Installation,
        Self::ListRepositories,
        Self::RateLimit,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ListAlerts => "list_alerts",
            Self::GetAlert => "get_alert",
            Self::UpdateAlert => "update_alert",
            Self::InstallationToken => "installation_token",
            Self::Installation => "installation",
            Self::ListRepositories => "list_repositories",
            Self::RateLimit => "rate_limit",
        }
    }
}

/// GitHub's two ways to name a repository in a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RepositoryPath {
    /// `owner/name`; case-insensitive.
    Named(String),
    Numbered(u64),
}

/// A request to one of the simulated endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    CreateToken { installation: u64 },
    Installation { installation: u64 },
    ListRepositories,
    ListAlerts(RepositoryPath),
    Alert(RepositoryPath, u64),
    UpdateAlert(RepositoryPath, u64),
    RateLimit,
}

impl Call {
    pub(crate) fn parse(method: &Method, path: &str) -> Option<Self> {
        let decoded: Vec<_> = path
            .trim_matches('/')
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8())
            .collect::<Result<_, _>>()
            .ok()?;
        let segments: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
        let (repository, rest) = match segments.as_slice() {
            ["repos", owner, name, rest @ ..] => {
                (RepositoryPath::Named(format!("{owner}/{name}")), rest)
            }
            ["repositories", id, rest @ ..] => (RepositoryPath::Numbered(id.parse().ok()?), rest),
            other => return Self::outside_repositories(method, other),
        };
        match (method.as_str(), rest) {
            ("GET", ["dependabot", "alerts"]) => Some(Self::ListAlerts(repository)),
            ("GET", ["dependabot", "alerts", number]) => {
                Some(Self::Alert(repository, number.parse().ok()?))
            }
            ("PATCH", ["dependabot", "alerts", number]) => {
                Some(Self::UpdateAlert(repository, number.parse().ok()?))
            }
            _ => None,
        }
    }

    fn outside_repositories(method: &Method, segments: &[&str]) -> Option<Self> {
        match (method.as_str(), segments) {
            ("POST", ["app", "installations", id, "access_tokens"]) => Some(Self::CreateToken {
                installation: id.parse().ok()?,
            }),
            ("GET", ["app", "installations", id]) => Some(Self::Installation {
                installation: id.parse().ok()?,
            }),
            ("GET", ["installation", "repositories"]) => Some(Self::ListRepositories),
            ("GET", ["rate_limit"]) => Some(Self::RateLimit),
            _ => None,
        }
    }

    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::CreateToken { .. } => Operation::InstallationToken,
            Self::Installation { .. } => Operation::Installation,
            Self::ListRepositories => Operation::ListRepositories,
            Self::ListAlerts(_) => Operation::ListAlerts,
            Self::Alert(..) => Operation::GetAlert,
            Self::UpdateAlert(..) => Operation::UpdateAlert,
            Self::RateLimit => Operation::RateLimit,
        }
    }

    pub(crate) fn repository(&self) -> Option<&RepositoryPath> {
        match self {
            Self::ListAlerts(repository)
            | Self::Alert(repository, _)
            | Self::UpdateAlert(repository, _) => Some(repository),
            Self::CreateToken { .. }
            | Self::Installation { .. }
            | Self::ListRepositories
            | Self::RateLimit => None,
        }
    }
}
