//! One launch: what can be refused, the slot, the agent, what is recorded.

use std::time::Duration;

use security_agent::{
    Timestamp,
    agent::{AgentError, Launch, Session},
    analyses::{Beginning, Begun},
    analysis::{
        Analysis, AnalysisOutcome, AnalysisStatus, BegunBy, FailureCode, PENDING_FOR, SessionId,
    },
    audit::{AuditAction, AuditEvent, ResourceType},
    capability::Capability,
    command::{AnalysisOptions, Command, CommandId, LastError, ModelName, Origin},
    finding::{FindingId, FindingStatus},
    findings::{FindingRecord, FindingsError},
    github::{Budget, GithubError, InstallationId, Refusal},
    giving_up,
    ledger::{Claim, Ending},
    lifecycle::Waits,
    owners::OwnerRecord,
    result_code::{Effect, ResultCode},
    secrets::SecretText,
    settings::{AnalysisMode, Settings},
    table::Writes,
    telemetry::chain,
    worker::{Effected, Invocation},
};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::Analyse;

/// How often the finding may change between our read and our write.
const TRIES: usize = 5;

/// One delivery's part of a launch.
pub(crate) struct Launching<'a> {
    pub(crate) analyse: &'a Analyse,
    pub(crate) claim: &'a Claim,
    pub(crate) command: &'a Command,
    pub(crate) finding: FindingId,
    pub(crate) options: &'a AnalysisOptions,
    pub(crate) invocation: Invocation,
}

/// A finding with the slot that this command holds for it.
struct Held {
    record: FindingRecord,
    analysis: Analysis,
}

/// Why nothing is launched, now or ever.
struct Failure {
    code: ResultCode,
    effect: Effect,
    error: Option<LastError>,
}

/// Why the agent has not begun.
enum Trouble {
    /// It will not.
    Lasting(Failure),
    /// It may another time; not before this long, if it said so.
    Passing(LastError, Option<Duration>),
    /// GitHub's rate limit ends then.
    Limited(Timestamp, LastError),
}

/// How the finding is analysed: as the command says, otherwise as the owner configured.
struct Manner<'a> {
    model: &'a str,
    triage_model: &'a str,
    mode: AnalysisMode,
}

impl<'a> Manner<'a> {
    fn of(options: &'a AnalysisOptions, settings: &'a Settings) -> Self {
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
    pub(crate) async fn run(&self) -> Effected {
        let (owner, held) = match self.begin().await {
            Ok(begun) => begun,
            Err(effected) => return effected,
        };
        let told = held.analysis.told_session().cloned();
        if let Some(cloud) = told {
            return self.record_told(&owner, held, &cloud).await;
        }
        if !held.analysis.status.in_flight() {
            // It was given up before the agent had begun, for all that is known.
            let error = Some(LastError::LaunchTooLate);
            return ended(ResultCode::AnalysisLaunchFailed, self.so_far(), error);
        }
        if let Some(replaced) = &held.analysis.replaces {
            self.interrupt(replaced).await;
        }
        match self.launch(&owner, &held).await {
            Ok(session) => {
                let (cloud, cli) = (session.cloud_agent_session_id, session.cli_session_id);
                self.record(held, &cloud, Some(&cli)).await
            }
            Err(Trouble::Lasting(failure)) => self.fail(held, failure).await,
            Err(Trouble::Passing(error, after)) => Effected::Transient { error, after },
            Err(Trouble::Limited(at, error)) => Effected::Continues {
                at,
                waits: Waits::UntilThen,
                progress: None,
                error: Some(error),
            },
        }
    }

    /// Everything that can be refused, and the slot.
    async fn begin(&self) -> Result<(OwnerRecord, Held), Effected> {
        let owner = &self.command.key.owner;
        for _ in 0..TRIES {
            let (record, seen) = tokio::join!(
                self.analyse.owners.read(owner),
                self.analyse.findings.read(owner, self.finding)
            );
            let record = record.map_err(|error| self.unavailable(&error))?;
            let seen = match seen {
                Ok(seen) => seen,
                Err(error @ FindingsError::Unreadable(_)) => {
                    warn!(finding.id = %self.finding, error = %chain(&error), "the finding cannot be analysed");
                    return Err(ended(ResultCode::FindingUnavailable, Effect::None, None));
                }
                Err(error) => return Err(self.unavailable(&error)),
            };
            let Some(seen) = seen else {
                return Err(ended(ResultCode::FindingUnavailable, self.so_far(), None));
            };
            let mine = seen
                .analysis
                .clone()
                .filter(|analysis| analysis.attempt == self.id());
            if let Some(analysis) = mine {
                let held = Held {
                    record: seen,
                    analysis,
                };
                return match self.still_wanted(&record, &held) {
                    Ok(()) => Ok((record, held)),
                    Err(failure) => Err(self.fail(held, failure).await),
                };
            }
            let so_far = self.so_far_of_another(&seen);
            self.wanted(&record, &seen, so_far)?;
            let beginning = Beginning {
                attempt: self.id(),
                begun_by: match self.command.origin {
                    Origin::AutoAnalysis => BegunBy::Automation,
                    _ => BegunBy::Request,
                },
            };
            let now = self.now();
            let begun =
                self.analyse
                    .analyses
                    .begin(owner, &seen, beginning, Writes::default(), now);
            match begun.await.map_err(|error| self.unavailable(&error))? {
                Begun::Taken(analysis) => {
                    let held = Held {
                        record: seen,
                        analysis: *analysis,
                    };
                    return Ok((record, held));
                }
                Begun::NoSlot => {
                    return Err(ended(ResultCode::OwnerCapReached, so_far, None));
                }
                // Our own write whose answer was lost, somebody else's analysis, a sync: look again.
                Begun::Changed => {}
            }
        }
        Err(transient(LastError::Contended))
    }

    /// Whether a launch that has not its slot yet may have one.
    fn wanted(
        &self,
        owner: &OwnerRecord,
        seen: &FindingRecord,
        so_far: Effect,
    ) -> Result<(), Effected> {
        let refused = |code, error| Err(ended(code, so_far, error));
        if let Err(failure) = self.allowed(owner) {
            return refused(failure.code, failure.error);
        }
        if seen.finding.status != FindingStatus::Open {
            return refused(ResultCode::FindingUnavailable, None);
        }
        let in_flight = seen
            .analysis
            .as_ref()
            .is_some_and(|analysis| analysis.status.in_flight());
        if in_flight && !self.options.restart_active {
            return refused(ResultCode::AlreadyInProgress, None);
        }
        Ok(())
    }

    /// Whether a launch that has its slot is still to be made.
    fn still_wanted(&self, owner: &OwnerRecord, held: &Held) -> Result<(), Failure> {
        let told = held.analysis.told_session().is_some();
        if told || held.analysis.status != AnalysisStatus::Pending {
            return Ok(());
        }
        let effect = self.so_far();
        self.allowed(owner)
            .map_err(|failure| Failure { effect, ..failure })?;
        if held.record.finding.status != FindingStatus::Open {
            return Err(Failure {
                code: ResultCode::FindingUnavailable,
                effect,
                error: None,
            });
        }
        Ok(())
    }

    fn allowed(&self, owner: &OwnerRecord) -> Result<(), Failure> {
        let failure = |code, error| Failure {
            code,
            effect: Effect::None,
            error,
        };
        let settings = &owner.settings;
        let turned_off =
            self.command.origin == Origin::AutoAnalysis && !settings.auto_analysis.enabled;
        if !settings.enabled || turned_off {
            return Err(failure(ResultCode::ConfigDisabled, None));
        }
        let Some(integration) = &owner.integration else {
            let error = Some(LastError::NotConnected);
            return Err(failure(ResultCode::GithubTokenUnavailable, error));
        };
        if let (Some(_), Some(at)) = (
            integration.refused_until(self.now()),
            integration.auth_invalid_at,
        ) {
            let error = Some(LastError::CredentialsRefused(at));
            return Err(failure(ResultCode::GithubAuthInvalid, error));
        }
        Ok(())
    }

    /// Gets the tokens and has the agent begin.
    async fn launch(&self, owner: &OwnerRecord, held: &Held) -> Result<Session, Trouble> {
        let now = self.now();
        if held.analysis.begun_at + PENDING_FOR <= now {
            return Err(self.failed(ResultCode::AnalysisLaunchFailed, LastError::LaunchTooLate));
        }
        let Some(integration) = &owner.integration else {
            return Err(self.failed(ResultCode::GithubTokenUnavailable, LastError::NotConnected));
        };
        let github_token = self.github_token(integration.installation, held).await?;
        let capability = Capability {
            owner: self.command.key.owner.clone(),
            finding: self.finding,
            attempt: self.id(),
            expires_at: held.analysis.call_back_by(),
        };
        let callback_token = self.analyse.capabilities.sign(&capability, now).await;
        let callback_token = callback_token.map_err(|error| {
            warn!(command.id = %self.id(), error = %chain(&error), "the right to call back could not be signed");
            Trouble::Passing(LastError::Unexpected, None)
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
            callback_by: held.analysis.call_back_by(),
        };
        let launched = self.analyse.agent.launch(&launch, now, self.deadline());
        launched.await.map_err(|failed| {
            warn!(command.id = %self.id(), error = %chain(&failed.error), "the agent did not begin");
            let effect = if failed.may_have_begun {
                Effect::Unknown
            } else {
                self.so_far()
            };
            let lasting = |code, status| {
                Trouble::Lasting(Failure {
                    code,
                    effect,
                    error: Some(LastError::AgentStatus(status)),
                })
            };
            match failed.error {
                AgentError::NoCredits => lasting(ResultCode::InsufficientCredits, 402),
                AgentError::Refused { status } => {
                    lasting(ResultCode::AnalysisLaunchFailed, status)
                }
                AgentError::Busy {
                    status,
                    retry_after,
                } => Trouble::Passing(LastError::AgentStatus(status), retry_after),
                AgentError::Malformed
                | AgentError::Network { .. }
                | AgentError::OutOfTime
                | AgentError::Credentials(_)
                | AgentError::Client { .. } => Trouble::Passing(LastError::AgentUnreachable, None),
            }
        })
    }

    async fn github_token(
        &self,
        installation: InstallationId,
        held: &Held,
    ) -> Result<SecretText, Trouble> {
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
        warn!(command.id = %self.id(), error = %chain(&error), "GitHub gave no token for the repository");
        Err(match error {
            GithubError::Refused { refusal, .. } => match refusal {
                Refusal::AuthInvalid => {
                    let now = self.now();
                    let owner = &self.command.key.owner;
                    if let Err(error) = self.analyse.owners.mark_auth_invalid(owner, now).await {
                        warn!(owner = owner.hashed(), error = %chain(&error), "the integration could not be marked");
                    }
                    self.failed(
                        ResultCode::GithubAuthInvalid,
                        LastError::CredentialsRefused(now),
                    )
                }
                Refusal::RateLimited(limit) => {
                    let began = held.analysis.begun_at;
                    match self.analyse.worker.resumes_at(limit.until, began) {
                        Some(at) if at < began + PENDING_FOR => {
                            Trouble::Limited(at, LastError::RateLimited(limit.until))
                        }
                        Some(_) | None => self.failed(
                            ResultCode::GithubRateLimited,
                            LastError::RateLimited(limit.until),
                        ),
                    }
                }
                Refusal::ServerError { status, .. } => {
                    Trouble::Passing(LastError::GithubStatus(status), None)
                }
                Refusal::Malformed => Trouble::Passing(LastError::GithubUnreachable, None),
                Refusal::Unavailable
                | Refusal::PermissionMissing
                | Refusal::AlertsDisabled
                | Refusal::Gone
                | Refusal::Unexpected { .. } => self.failed(
                    ResultCode::GithubTokenUnavailable,
                    LastError::NoRepositoryToken,
                ),
            },
            GithubError::Credentials { .. } | GithubError::Client { .. } => {
                Trouble::Passing(LastError::NoCredentials, None)
            }
            GithubError::Network { .. } | GithubError::OutOfTime | GithubError::PageElsewhere => {
                Trouble::Passing(LastError::GithubUnreachable, None)
            }
        })
    }

    /// Records the session with the audit event and the command's end.
    async fn record(&self, mut held: Held, cloud: &SessionId, cli: Option<&SessionId>) -> Effected {
        let owner = &self.command.key.owner;
        let restart = held.analysis.restart;
        for _ in 0..TRIES {
            let now = self.now();
            let event = self.analyse.audit.record(owner, &self.event(restart, now));
            let launched = self.analyse.analyses.launched(
                owner,
                self.finding,
                &held.analysis,
                cloud,
                cli,
                now,
            );
            let settled = self.settle(started(restart), event.and(launched)).await;
            if let Some(effected) = settled {
                return effected;
            }
            // The agent has called back since, or somebody has begun anew.
            let record = match self.analyse.findings.read(owner, self.finding).await {
                Ok(record) => record,
                Err(error) => return self.unavailable(&error),
            };
            let mine = record.and_then(|record| {
                let analysis = record.analysis.clone();
                let analysis = analysis.filter(|analysis| analysis.attempt == self.id())?;
                Some(Held { record, analysis })
            });
            let Some(mine) = mine else {
                // What was launched is nobody's by now.
                self.interrupt(cloud).await;
                let event = self.event(restart, self.now());
                let event = self.analyse.audit.record(owner, &event);
                return self
                    .settle(started(restart), event)
                    .await
                    .unwrap_or(transient(LastError::Contended));
            };
            held = mine;
        }
        transient(LastError::Contended)
    }

    /// An earlier delivery has launched it, and could not say so: the agent has, by calling back. It knows by the launch's
    /// name which session that was, and so tells the other half of it; without that half the launch is one all the same.
    async fn record_told(&self, owner: &OwnerRecord, held: Held, cloud: &SessionId) -> Effected {
        let launched = self.launch(owner, &held).await.ok();
        let session = launched.filter(|session| session.cloud_agent_session_id == *cloud);
        let cli = session.map(|session| session.cli_session_id);
        self.record(held, cloud, cli.as_ref()).await
    }

    /// Gives the slot back with the command's end.
    async fn fail(&self, mut held: Held, failure: Failure) -> Effected {
        let owner = &self.command.key.owner;
        let outcome = AnalysisOutcome::Failed(FailureCode::from(failure.code));
        let ending = Ending {
            code: failure.code,
            effect: failure.effect,
            last_error: failure.error,
            progress: None,
        };
        for _ in 0..TRIES {
            let writes = giving_up::failed(
                &self.analyse.analyses,
                &self.analyse.audit,
                owner,
                &held.record,
                &held.analysis,
                &outcome,
                self.now(),
            );
            let settled = self
                .analyse
                .worker
                .settle(self.claim, self.command, ending, writes)
                .await;
            if let Some(effected) = settled {
                return effected;
            }
            let record = match self.analyse.findings.read(owner, self.finding).await {
                Ok(record) => record,
                Err(error) => return self.unavailable(&error),
            };
            let mine = record.and_then(|record| {
                let analysis = record.analysis.clone();
                let analysis = analysis.filter(|analysis| analysis.attempt == self.id())?;
                Some(Held { record, analysis })
            });
            match mine {
                Some(mine) => match mine.analysis.told_session().cloned() {
                    // An earlier delivery's session has called back meanwhile: the launch was one.
                    Some(cloud) => return self.record(mine, &cloud, None).await,
                    None if mine.analysis.status.in_flight() => held = mine,
                    None => return Effected::Ended(ending),
                },
                None => return Effected::Ended(ending),
            }
        }
        transient(LastError::Contended)
    }

    async fn settle(&self, code: ResultCode, writes: Writes) -> Option<Effected> {
        let ending = Ending {
            code,
            effect: Effect::Applied,
            last_error: None,
            progress: None,
        };
        self.analyse
            .worker
            .settle(self.claim, self.command, ending, writes)
            .await
    }

    /// Its call back would be stale: that the session ends is a courtesy, not a condition.
    async fn interrupt(&self, session: &SessionId) {
        let interrupted = self
            .analyse
            .agent
            .interrupt(session, self.now(), self.deadline())
            .await;
        match interrupted {
            Ok(()) => info!(command.id = %self.id(), "a session that was replaced is interrupted"),
            Err(error) => {
                warn!(command.id = %self.id(), error = %chain(&error), "a session that was replaced could not be interrupted");
            }
        }
    }

    fn event(&self, restart: bool, now: Timestamp) -> AuditEvent {
        let of = (ResourceType::Finding, self.finding);
        let actor = self.command.actor.clone();
        AuditEvent::of_command(self.id(), AuditAction::AnalysisStarted, actor, of, now)
            .with("restart", restart)
            .with("origin", self.command.origin)
    }

    /// What is known of the effect of earlier deliveries: of those that did not hand the command on, nothing.
    fn so_far(&self) -> Effect {
        let standing = &self.command.standing;
        if standing.attempt > standing.stage.0 + 1 {
            Effect::Unknown
        } else {
            Effect::None
        }
    }

    /// Likewise if the finding shows another's analysis, or none. That other may have taken the place of ours; where there
    /// is none, ours has not begun either.
    fn so_far_of_another(&self, seen: &FindingRecord) -> Effect {
        match seen.analysis {
            Some(_) => self.so_far(),
            None => Effect::None,
        }
    }

    fn failed(&self, code: ResultCode, error: LastError) -> Trouble {
        Trouble::Lasting(Failure {
            code,
            effect: self.so_far(),
            error: Some(error),
        })
    }

    fn unavailable(&self, error: &dyn std::error::Error) -> Effected {
        warn!(command.id = %self.id(), error = %chain(error), "the data store failed");
        transient(LastError::StoreUnavailable)
    }

    fn deadline(&self) -> Instant {
        self.invocation.work_until() - Duration::from_secs(2)
    }

    const fn id(&self) -> CommandId {
        self.command.key.id
    }

    fn now(&self) -> Timestamp {
        self.analyse.worker.clock.now()
    }
}

const fn started(restart: bool) -> ResultCode {
    if restart {
        ResultCode::AnalysisRestartStarted
    } else {
        ResultCode::AnalysisLaunchStarted
    }
}

const fn ended(code: ResultCode, effect: Effect, last_error: Option<LastError>) -> Effected {
    Effected::Ended(Ending {
        code,
        effect,
        last_error,
        progress: None,
    })
}

const fn transient(error: LastError) -> Effected {
    Effected::Transient { error, after: None }
}
