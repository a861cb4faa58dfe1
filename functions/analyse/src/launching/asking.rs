//! Requests what a launch needs: GitHub's token for the agent, the callback token, and the session.

use std::time::Duration;

use agent::{AgentError, Launch, LaunchFailed, Session, callback_token::CallbackToken};
use domain::installation::InstallationId;
use domain::{
    Timestamp,
    analysis::PENDING_FOR,
    command::{CommandKind as _, LastError, ModelName, StartAnalysis},
    result_code::{Effect, ResultCode},
    settings::{AnalysisMode, Settings},
};
use github::{Budget, GithubError, Refusal};
use outbound::secrets::SecretText;
use store::owners::OwnerRecord;
use telemetry::chain;
use tracing::warn;

use super::{Failure, Held, Launching};

/// Why the agent has not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotBegun {
    /// It will not: a permanent failure.
    Permanent(Failure),
    /// A retry may succeed; not before this delay, if there is one.
    Transient(LastError, Option<Duration>),
    /// GitHub's rate limit ends at this time.
    Limited(Timestamp, LastError),
}

/// How to analyse the finding: the command's options, otherwise the owner's settings.
struct Manner<'a> {
    model: &'a str,
    triage_model: &'a str,
    mode: AnalysisMode,
}

impl<'a> Manner<'a> {
    fn of(options: &'a StartAnalysis, settings: &'a Settings) -> Self {
        let chosen = |model: &'a Option<ModelName>, configured: &'a str| {
            let model = model.as_ref().or(options.model.as_ref());
            model.map_or(configured, ModelName::as_str)
        };
        Self {
            model: chosen(&options.analysis_model, &settings.analysis_model),
            triage_model: chosen(&options.triage_model, &settings.triage_model),
            mode: if options.force_sandbox {
                AnalysisMode::Deep
            } else {
                settings.analysis_mode
            },
        }
    }
}

impl Launching<'_> {
    /// Requests the tokens and has the agent start.
    pub(crate) async fn launch(
        &self,
        owner: &OwnerRecord,
        held: &Held,
    ) -> Result<Session, NotBegun> {
        let now = self.now();
        if too_late(held.analysis.begun_at, now) {
            return Err(self.failed(ResultCode::AnalysisLaunchFailed, LastError::LaunchTooLate));
        }
        let Some(integration) = &owner.integration else {
            return Err(self.failed(ResultCode::GithubTokenUnavailable, LastError::NotConnected));
        };
        let github_token = self.github_token(integration.installation, held).await?;
        let capability = CallbackToken {
            owner: self.command.key.owner.clone(),
            finding: self.finding,
            attempt: self.id(),
            expires_at: held.analysis.callback_by(),
        };
        let callback_token = self.analyse.callback_tokens.sign(&capability, now).await;
        let callback_token = callback_token.map_err(|error| {
            warn!(error = %chain(&error), "cannot sign the callback token");
            NotBegun::Transient(LastError::Unexpected, None)
        })?;
        let manner = Manner::of(self.options, &owner.settings);
        let launch = Launch {
            key: self.id(),
            repository: &held.record.repository.name,
            github_token: &github_token,
            model: manner.model,
            triage_model: manner.triage_model,
            mode: manner.mode,
            finding: &held.record.finding,
            callback_url: &self.analyse.callback_url,
            callback_token: &callback_token,
            callback_by: held.analysis.callback_by(),
        };
        let launched = self.analyse.agent.launch(&launch, now, self.deadline());
        launched.await.map_err(|failed| {
            warn!(error = %chain(&failed.error), "the agent did not start");
            not_begun(&failed, self.so_far())
        })
    }

    async fn github_token(
        &self,
        installation: InstallationId,
        held: &Held,
    ) -> Result<SecretText, NotBegun> {
        let budget = Budget {
            now: self.now(),
            deadline: self.deadline(),
        };
        let repository = &held.record.repository;
        let token = self
            .analyse
            .github
            .contents_token(installation, repository, budget)
            .await;
        let error = match token {
            Ok(token) => return Ok(token),
            Err(error) => error,
        };
        warn!(error = %chain(&error), "GitHub issued no token for the repository");
        let now = self.now();
        if let GithubError::Refused {
            refusal: Refusal::AuthInvalid,
            ..
        } = error
        {
            let owner = &self.command.key.owner;
            if let Err(error) = self.analyse.owners.mark_auth_invalid(owner, now).await {
                warn!(error = %chain(&error), "cannot record that GitHub rejects the credentials");
            }
        }
        let began = held.analysis.begun_at;
        let budget = StartAnalysis::BUDGET;
        let resumes_at = |until| self.analyse.worker.resumes_at(until, began, budget);
        Err(withheld(&error, began, now, self.so_far(), resumes_at))
    }
}

/// Decides what follows when the agent has not started. `so_far` is the effect that earlier deliveries may have had.
fn not_begun(failed: &LaunchFailed, so_far: Effect) -> NotBegun {
    let effect = if failed.may_have_begun {
        Effect::Unknown
    } else {
        so_far
    };
    let permanent = |code, status| {
        NotBegun::Permanent(Failure {
            code,
            effect,
            error: Some(LastError::AgentStatus(status)),
        })
    };
    match &failed.error {
        AgentError::NoCredits => permanent(ResultCode::InsufficientCredits, 402),
        AgentError::Refused { status } => permanent(ResultCode::AnalysisLaunchFailed, *status),
        AgentError::Busy {
            status,
            retry_after,
        } => NotBegun::Transient(LastError::AgentStatus(*status), *retry_after),
        AgentError::Malformed
        | AgentError::Network { .. }
        | AgentError::OutOfTime
        | AgentError::Credentials(_)
        | AgentError::Client { .. } => NotBegun::Transient(LastError::AgentUnreachable, None),
    }
}

/// Decides what follows when GitHub issued no token at `now`, for an analysis that has had its slot since `began`.
/// `resumes_at` says whether and when the command continues after a rate limit.
fn withheld(
    error: &GithubError,
    began: Timestamp,
    now: Timestamp,
    so_far: Effect,
    resumes_at: impl FnOnce(Timestamp) -> Option<Timestamp>,
) -> NotBegun {
    let permanent = |code, error| {
        NotBegun::Permanent(Failure {
            code,
            effect: so_far,
            error: Some(error),
        })
    };
    match error {
        GithubError::Refused { refusal, .. } => match refusal {
            Refusal::AuthInvalid => permanent(
                ResultCode::GithubAuthInvalid,
                LastError::CredentialsRefused(now),
            ),
            Refusal::RateLimited(limit) => {
                let error = LastError::RateLimited(limit.until);
                // The slot must still be this command's when the limit ends.
                match resumes_at(limit.until).filter(|at| !too_late(began, *at)) {
                    Some(at) => NotBegun::Limited(at, error),
                    None => permanent(ResultCode::GithubRateLimited, error),
                }
            }
            Refusal::ServerError { status, .. } => {
                NotBegun::Transient(LastError::GithubStatus(*status), None)
            }
            Refusal::Malformed => NotBegun::Transient(LastError::GithubUnreachable, None),
            Refusal::Unavailable
            | Refusal::PermissionMissing
            | Refusal::AlertsDisabled
            | Refusal::Gone
            | Refusal::Unexpected { .. } => permanent(
                ResultCode::GithubTokenUnavailable,
                LastError::NoRepositoryToken,
            ),
        },
        GithubError::Credentials { .. } | GithubError::Client { .. } => {
            NotBegun::Transient(LastError::NoCredentials, None)
        }
        GithubError::Network { .. } | GithubError::OutOfTime | GithubError::PageElsewhere => {
            NotBegun::Transient(LastError::GithubUnreachable, None)
        }
    }
}

/// Whether the slot that was taken at `began` is no longer this command's.
fn too_late(began: Timestamp, now: Timestamp) -> bool {
    began + PENDING_FOR <= now
}

#[cfg(test)]
mod tests;
