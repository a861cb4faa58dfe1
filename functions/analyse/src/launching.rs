//! One launch: refuse what can be refused, take the slot, ask the agent, record the session.

mod asking;

use domain::{
    Timestamp,
    analysis::{Analysis, AnalysisOutcome, FailureCode, SessionId},
    command::{Command, CommandId, CommandKind as _, LastError, StartAnalysis},
    finding::FindingId,
    lifecycle::Waits,
    result_code::{Effect, ResultCode},
};
use runtime::worker::{Effected, Invocation};
use store::{
    abandon,
    analyses::{Beginning, Begun},
    audit::{AuditAction, AuditEvent, ResourceType},
    findings::{FindingRecord, FindingsError},
    ledger::{Claim, Ending, Outcome},
    owners::OwnerRecord,
    table::{Caused, Writes},
};
use telemetry::chain;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    Analyse,
    wanted::{Next, Refusal, begun_by, may_begin, may_go_on, next},
};
use asking::NotBegun;

/// How often to read and write again if the finding changes in between.
const TRIES: usize = 5;

/// One delivery's part of a launch.
pub(crate) struct Launching<'a> {
    pub(crate) analyse: &'a Analyse,
    pub(crate) claim: &'a Claim,
    pub(crate) command: &'a Command,
    pub(crate) finding: FindingId,
    pub(crate) options: &'a StartAnalysis,
    pub(crate) invocation: Invocation,
}

/// A finding and the slot that this command holds for it.
pub(crate) struct Held {
    pub(crate) record: FindingRecord,
    pub(crate) analysis: Analysis,
}

impl Held {
    /// Returns this attempt's slot, if the finding shows it.
    fn of(record: &FindingRecord, attempt: CommandId) -> Option<Self> {
        let mine = |analysis: &&Analysis| analysis.attempt == attempt;
        let analysis = record.analysis.as_ref().filter(mine)?.clone();
        let record = record.clone();
        Some(Self { record, analysis })
    }
}

/// Why the launch fails for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: ResultCode,
    pub(crate) effect: Effect,
    pub(crate) error: Option<LastError>,
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
            // The analysis ended before the agent started, as far as is known.
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
            Err(NotBegun::Permanent(failure)) => self.fail(held, failure).await,
            Err(NotBegun::Transient(error, after)) => Effected::Transient { error, after },
            Err(NotBegun::Limited(at, error)) => Effected::Continues {
                at,
                waits: Waits::UntilThen,
                progress: None,
                error: Some(error),
            },
        }
    }

    /// Refuses what can be refused, and takes the slot.
    async fn begin(&self) -> Result<(OwnerRecord, Held), Effected> {
        let owner = &self.command.key.owner;
        for _ in 0..TRIES {
            let (record, seen) = tokio::join!(
                self.analyse.owners.read(owner),
                self.analyse.findings.read(owner, self.finding)
            );
            let record = record.map_err(|error| self.unavailable_before(&error))?;
            let seen = match seen {
                Ok(seen) => seen,
                Err(error @ FindingsError::Unreadable(_)) => {
                    warn!(finding.id = %self.finding, error = %chain(&error), "cannot read the finding");
                    return Err(ended(ResultCode::FindingUnavailable, Effect::None, None));
                }
                Err(error) => return Err(self.unavailable_before(&error)),
            };
            let Some(seen) = seen else {
                return Err(ended(ResultCode::FindingUnavailable, self.so_far(), None));
            };
            let (origin, now) = (self.command.origin, self.now());
            let status = seen.finding.status;
            if let Some(held) = Held::of(&seen, self.id()) {
                return match may_go_on(&record, origin, status, &held.analysis, now) {
                    Ok(()) => Ok((record, held)),
                    Err(Refusal { code, error }) => {
                        let effect = self.so_far();
                        let failure = Failure {
                            code,
                            effect,
                            error,
                        };
                        Err(self.fail(held, failure).await)
                    }
                };
            }
            let so_far = self.so_far_of_another(&seen);
            let (before, restarts) = (seen.analysis.as_ref(), self.options.restart_active);
            may_begin(&record, origin, status, before, restarts, now)
                .map_err(|Refusal { code, error }| ended(code, so_far, error))?;
            let beginning = Beginning {
                attempt: self.id(),
                begun_by: begun_by(origin),
            };
            let begun =
                self.analyse
                    .analyses
                    .begin(owner, &seen, beginning, Writes::default(), now);
            match begun
                .await
                .map_err(|error| self.unavailable_before(&error))?
            {
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
                // Race: our own write whose answer was lost, another analysis, or a sync. Read again.
                Begun::Changed => {}
            }
        }
        Err(transient(LastError::Contended))
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
                if found_no_command(&effected) {
                    // The owner was erased during the launch: no row names this session.
                    self.interrupt(cloud).await;
                }
                return effected;
            }
            // Race: the agent's callback has arrived, another command has restarted the analysis, or the owner is being
            // erased.
            let record = match self.analyse.findings.read(owner, self.finding).await {
                Ok(record) => record,
                Err(error) => return self.unavailable(&error),
            };
            let mine = record.and_then(|record| Held::of(&record, self.id()));
            let Some(mine) = mine else {
                // Another attempt owns the finding's analysis now, or none does, so this session's callback would be stale.
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

    /// Records a session that an earlier delivery launched but could not record, and that the callback has named.
    /// Repeats the launch, which is idempotent, to learn the session's second id. Records the launch even without it.
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
            let writes = abandon::failed(
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
            let mine = record.and_then(|record| Held::of(&record, self.id()));
            match (next(mine.as_ref().map(|mine| &mine.analysis)), mine) {
                (Next::Record(cloud), Some(mine)) => return self.record(mine, &cloud, None).await,
                (Next::GiveBack, Some(mine)) => held = mine,
                (_, None) | (Next::End, Some(_)) => return Effected::Ended(ending),
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

    /// Interrupts a session that was replaced or could not be recorded. Best effort: correctness does not need it, because its callback would be stale.
    async fn interrupt(&self, session: &SessionId) {
        let interrupted = self
            .analyse
            .agent
            .interrupt(session, self.now(), self.deadline())
            .await;
        match interrupted {
            Ok(()) => info!("the session is interrupted"),
            Err(error) => {
                warn!(error = %chain(&error), "cannot interrupt the session");
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

    /// Returns the known effect of earlier deliveries: unknown if one of them ended without handing the command on.
    pub(crate) fn so_far(&self) -> Effect {
        if self.command.state.follows_another() {
            Effect::Unknown
        } else {
            Effect::None
        }
    }

    /// Likewise if the finding shows another attempt's analysis, which may have replaced ours, or none: then ours never
    /// started.
    fn so_far_of_another(&self, seen: &FindingRecord) -> Effect {
        match seen.analysis {
            Some(_) => self.so_far(),
            None => Effect::None,
        }
    }

    pub(crate) fn failed(&self, code: ResultCode, error: LastError) -> NotBegun {
        NotBegun::Permanent(Failure {
            code,
            effect: self.so_far(),
            error: Some(error),
        })
    }

    /// The effect of a failure of the data store before the agent is asked. Throttling spends no delivery if no earlier
    /// one may have asked it: that the next stage assumes.
    fn unavailable_before(&self, error: &(impl std::error::Error + Caused + 'static)) -> Effected {
        if self.command.state.follows_another() {
            return self.unavailable(error);
        }
        let began = self.command.accepted_at;
        let worker = &self.analyse.worker;
        worker.unavailable(error, began, StartAnalysis::BUDGET)
    }

    fn unavailable(&self, error: &dyn std::error::Error) -> Effected {
        warn!(error = %chain(error), "cannot read or write the data store");
        transient(LastError::StoreUnavailable)
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.invocation.ask_until()
    }

    pub(crate) const fn id(&self) -> CommandId {
        self.command.key.id
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.analyse.worker.clock.now()
    }
}

/// Whether the settlement found that the command's row is gone.
fn found_no_command(effected: &Effected) -> bool {
    matches!(effected, Effected::Settled { written, .. } if matches!(**written, Outcome::Missing))
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
