//! One change of an alert: the checks before it, the request to GitHub, and the record of the result.

use std::cell::Cell;

use domain::{
    Timestamp,
    change::Asked,
    command::{Command, CommandId, LastError},
    finding::{Finding, FindingId},
    lifecycle::Waits,
    result_code::{Effect, ResultCode},
};
use github::{Budget, GithubError, Refusal};
use runtime::worker::{Effected, Invocation};
use store::{
    audit::{AuditEvent, ResourceType},
    findings::{FindingRecord, FindingsError},
    ledger::{Claim, Ending},
    owners::Integration,
    table::Caused,
};
use telemetry::chain;
use tracing::{info, warn};

use crate::{
    Dismiss,
    request::{Request, Target, may_be_since},
    shown::Shown,
};

/// How often the write is tried when the finding changes between the read and the write.
const TRIES: usize = 5;

/// A change of an alert, in one delivery of its command.
pub(crate) struct Changing<'a, W> {
    pub(crate) dismiss: &'a Dismiss,
    pub(crate) claim: &'a Claim,
    pub(crate) command: &'a Command,
    pub(crate) finding: FindingId,
    pub(crate) request: W,
    pub(crate) invocation: Invocation,
    /// Whether an earlier delivery may have made the change and someone has undone it.
    pub(crate) undone: Cell<bool>,
}

/// Whether the owner's settings allow the change.
#[derive(Clone, Copy, Debug)]
struct Wanted(bool);

/// How the command ends, and what that changes in the store.
struct Verdict {
    code: ResultCode,
    effect: Effect,
    error: Option<LastError>,
    /// The finding's new state.
    finding: Finding,
    /// When the change was made, if the alert shows that.
    made_at: Option<Timestamp>,
}

impl<W: Request> Changing<'_, W> {
    pub(crate) async fn run(&self) -> Effected {
        let (seen, wanted, integration) = match self.before().await {
            Ok(before) => before,
            Err(effected) => return effected,
        };
        let (shown, asked) = match self.ask(&seen, wanted, &integration).await {
            Ok(answered) => answered,
            Err(effected) => return effected,
        };
        match self.verdict(&seen, &shown, asked) {
            Ok(verdict) => self.record(seen, verdict, asked).await,
            Err(effected) => effected,
        }
    }

    /// The checks that need no request to GitHub. If an earlier delivery may have made the change, only GitHub can tell:
    /// such a change is recorded even if the owner has disabled changes since.
    async fn before(&self) -> Result<(FindingRecord, Wanted, Integration), Effected> {
        let owner = &self.command.key.owner;
        let (record, seen) = tokio::join!(
            self.dismiss.owners.read(owner),
            self.dismiss.findings.read(owner, self.finding)
        );
        let asked = Asked::earlier(&self.command.state);
        let record = record.map_err(|error| self.unavailable(&error, asked))?;
        let seen = match seen {
            Ok(seen) => seen,
            // Not a Dependabot finding: it has no alert to change.
            Err(error @ FindingsError::Unreadable(_)) => {
                warn!(finding.id = %self.finding, error = %chain(&error), "the finding has no alert to change");
                return Err(self.ended(ResultCode::InvalidDismissTarget, Asked::No, None));
            }
            Err(error) => return Err(self.unavailable(&error, asked)),
        };
        let Some(seen) = seen else {
            return Err(self.ended(ResultCode::FindingUnavailable, asked, None));
        };
        let wanted = Wanted(record.settings.enabled);
        if asked == Asked::No {
            self.still(wanted)?;
            if let Some(code) = W::CHANGE.ends_at(seen.finding.status) {
                return Err(self.ended(code, asked, None));
            }
        }
        let Some(integration) = record.integration else {
            let error = Some(LastError::NotConnected);
            return Err(self.ended(ResultCode::GithubAuthInvalid, asked, error));
        };
        if let (Some(_), Some(at)) = (
            integration.refused_until(self.now()),
            integration.auth_invalid_at,
        ) {
            let error = Some(LastError::CredentialsRefused(at));
            return Err(self.ended(ResultCode::GithubAuthInvalid, asked, error));
        }
        Ok((seen, wanted, integration))
    }

    /// Ends the command if the owner has disabled changes. Only for a change that has not been made.
    fn still(&self, Wanted(wanted): Wanted) -> Result<(), Effected> {
        if wanted {
            Ok(())
        } else {
            Err(self.ended(ResultCode::ConfigDisabled, Asked::No, None))
        }
    }

    /// Asks GitHub for the change if it is still to be made, and returns the alert's state after that.
    async fn ask(
        &self,
        seen: &FindingRecord,
        wanted: Wanted,
        integration: &Integration,
    ) -> Result<(Shown, Asked), Effected> {
        let earlier = Asked::earlier(&self.command.state);
        let mut asked = earlier;
        if asked == Asked::Perhaps {
            // First find out whether the earlier delivery made the change.
            let shown = self.look(seen, integration, asked).await?;
            match &shown {
                Shown::Alert(alert) if W::CHANGE.is_open_to(alert.state) => {
                    // An alert that has not changed since then was not changed by this command.
                    self.undone
                        .set(may_be_since(self.began(), alert.updated_at));
                    asked = Asked::No;
                }
                Shown::Alert(_) | Shown::Withdrawn => return Ok((shown, asked)),
            }
            self.still(wanted)?;
        }
        let target = self.target(seen, integration);
        let github = &self.dismiss.github;
        let answer = self.request.ask(github, target, self.budget()).await;
        let error = match answer {
            Ok(alert) => {
                self.accepted(integration).await;
                return Ok((Shown::Alert(Box::new(alert)), Asked::Accepted));
            }
            Err(error) => error,
        };
        info!(error = %chain(&error), "GitHub did not change the alert");
        match &error {
            GithubError::Refused { refusal, .. } => match refusal {
                // The alert's own state shows the reason.
                Refusal::Unexpected { status } => asked = Asked::Refused(*status),
                Refusal::AlertsDisabled => asked = Asked::Refused(422),
                Refusal::ServerError { .. } | Refusal::Malformed => asked = Asked::Perhaps,
                Refusal::AuthInvalid
                | Refusal::PermissionMissing
                | Refusal::Unavailable
                | Refusal::Gone
                | Refusal::RateLimited(_) => return self.refused(*refusal, asked).await,
            },
            GithubError::Network { .. } | GithubError::OutOfTime => asked = Asked::Perhaps,
            GithubError::Credentials { .. }
            | GithubError::PageElsewhere
            | GithubError::Client { .. } => return Err(transient(LastError::NoCredentials)),
        }
        let shown = self.look(seen, integration, asked).await?;
        let is_made = shown.state().is_some_and(|state| W::CHANGE.is_made(state));
        let asked = asked.having_looked(is_made, earlier);
        Ok((shown, asked))
    }

    /// Reads the alert.
    async fn look(
        &self,
        seen: &FindingRecord,
        integration: &Integration,
        asked: Asked,
    ) -> Result<Shown, Effected> {
        let target = self.target(seen, integration);
        let alert = self
            .dismiss
            .github
            .alert(
                target.installation,
                target.repository,
                target.alert,
                self.budget(),
            )
            .await;
        match alert {
            Ok(alert) => {
                self.accepted(integration).await;
                Ok(Shown::Alert(Box::new(alert)))
            }
            Err(GithubError::Refused { refusal, .. }) => {
                self.refused(refusal, asked).await.map(|(shown, _)| shown)
            }
            Err(error @ GithubError::Credentials { .. }) => {
                warn!(error = %chain(&error), "the GitHub App's own credentials cannot be used");
                Err(transient(LastError::NoCredentials))
            }
            Err(error) => {
                warn!(error = %chain(&error), "cannot read the alert");
                Err(transient(LastError::GithubUnreachable))
            }
        }
    }

    /// Decides what follows from GitHub's refusal of any request.
    async fn refused(&self, refusal: Refusal, asked: Asked) -> Result<(Shown, Asked), Effected> {
        let code = match refusal {
            Refusal::Gone => return Ok((Shown::Withdrawn, asked)),
            Refusal::AuthInvalid => {
                let now = self.now();
                let owner = &self.command.key.owner;
                if let Err(error) = self.dismiss.owners.mark_auth_invalid(owner, now).await {
                    return Err(self.unavailable(&error, asked));
                }
                let error = Some(LastError::CredentialsRefused(now));
                return Err(self.ended(ResultCode::GithubAuthInvalid, asked, error));
            }
            Refusal::PermissionMissing => {
                let error = Some(W::CHANGE.not_permitted());
                return Err(self.ended(ResultCode::GithubAuthInvalid, asked, error));
            }
            Refusal::Unavailable => ResultCode::RepositoryUnavailable,
            Refusal::AlertsDisabled => W::CHANGE.rejected(),
            Refusal::RateLimited(limit) => {
                let error = Some(LastError::RateLimited(limit.until));
                let began = self.command.accepted_at;
                return Err(
                    match self.dismiss.worker.resumes_at(
                        limit.until,
                        began,
                        self.command.action.command_type().budget(),
                    ) {
                        Some(at) if asked.may_hand_on() => Effected::Continues {
                            at,
                            waits: Waits::UntilThen,
                            progress: None,
                            error,
                        },
                        Some(at) => Effected::Transient {
                            error: LastError::RateLimited(limit.until),
                            after: Some(at.since(self.now())),
                        },
                        None => self.ended(ResultCode::GithubRateLimited, asked, error),
                    },
                );
            }
            Refusal::ServerError { status, .. } => {
                return Err(transient(LastError::GithubStatus(status)));
            }
            Refusal::Malformed => return Err(transient(LastError::GithubUnreachable)),
            Refusal::Unexpected { status } => {
                return Err(transient(LastError::GithubStatus(status)));
            }
        };
        Err(self.ended(code, asked, None))
    }

    /// Decides from the alert's state how the command ends.
    fn verdict(
        &self,
        seen: &FindingRecord,
        shown: &Shown,
        asked: Asked,
    ) -> Result<Verdict, Effected> {
        let ours = match shown {
            Shown::Alert(alert) => self.request.is_ours(alert, asked, self.began()),
            Shown::Withdrawn => false,
        };
        let state = shown.state();
        let Some(judgement) = W::CHANGE.judge(state, ours, asked) else {
            warn!(command.id = %self.id(), alert.state = ?state, "the alert's state does not decide the command yet");
            return Err(transient(LastError::GithubUnreachable));
        };
        Ok(Verdict {
            code: judgement.code,
            effect: judgement.effect,
            error: judgement.error,
            finding: shown.kept(&seen.finding),
            made_at: match shown {
                Shown::Alert(alert) => self.request.made_at(alert),
                Shown::Withdrawn => None,
            },
        })
    }

    /// The effect of all deliveries, given the effect of this one.
    fn with_earlier(&self, effect: Effect) -> Effect {
        match effect {
            Effect::None if self.undone.get() => Effect::Unknown,
            effect => effect,
        }
    }

    /// Writes finding, counts, audit event and the command's end in one transaction.
    ///
    /// Race: if another writer has changed the finding since the read, nothing is written; the finding is read again.
    async fn record(&self, mut seen: FindingRecord, verdict: Verdict, asked: Asked) -> Effected {
        let owner = &self.command.key.owner;
        for _ in 0..TRIES {
            let now = self.now();
            let mut ending = Ending {
                code: verdict.code,
                effect: self.with_earlier(verdict.effect),
                last_error: verdict.error,
                progress: None,
            };
            let of_another = is_another_commands(
                seen.credited
                    .filter(|_| seen.finding.status == W::CHANGE.status()),
                self.id(),
                seen.finding.source_updated_at,
                verdict.made_at,
            );
            if verdict.code == W::CHANGE.done() && of_another {
                // Race: two commands asked for the change, and the other one has recorded it first.
                ending.code = W::CHANGE.too_late();
                ending.effect = self.with_earlier(asked.effect());
            }
            let applied = ending.code == W::CHANGE.done();
            let by = applied.then(|| self.id());
            let findings = &self.dismiss.findings;
            let mut writes = findings.change(owner, &seen, &verdict.finding, by, now);
            if applied {
                writes = writes.and(self.dismiss.audit.record(owner, &self.event(now)));
            }
            let settled = self
                .dismiss
                .worker
                .settle(self.claim, self.command, ending, writes)
                .await;
            if let Some(effected) = settled {
                return effected;
            }
            seen = match self.dismiss.findings.read(owner, self.finding).await {
                Ok(Some(seen)) => seen,
                Ok(None) => return self.ended(ResultCode::FindingUnavailable, asked, None),
                Err(error) => return self.unavailable(&error, asked),
            };
        }
        transient(LastError::Contended)
    }

    fn event(&self, now: Timestamp) -> AuditEvent {
        let actor = self.command.actor.clone();
        let of = (ResourceType::Finding, self.finding);
        let event = AuditEvent::of_command(self.id(), W::AUDITED, actor, of, now);
        self.request
            .audited(event)
            .with("origin", self.command.origin)
    }

    /// GitHub accepted the credentials: removes the mark that it rejects them.
    async fn accepted(&self, integration: &Integration) {
        let Some(marked) = integration.auth_invalid_at else {
            return;
        };
        let owner = &self.command.key.owner;
        if let Err(error) = self.dismiss.owners.clear_auth_invalid(owner, marked).await {
            warn!(error = %chain(&error), "cannot remove the integration's mark");
        }
    }

    fn target<'t>(&self, seen: &'t FindingRecord, integration: &Integration) -> Target<'t> {
        Target {
            installation: integration.installation,
            repository: &seen.repository,
            alert: self.finding.into(),
        }
    }

    /// When the command's first worker claimed it.
    fn began(&self) -> Timestamp {
        let command = self.command;
        command.started_at.unwrap_or(command.accepted_at)
    }

    fn budget(&self) -> Budget {
        Budget {
            now: self.now(),
            deadline: self.invocation.ask_until(),
        }
    }

    fn ended(&self, code: ResultCode, asked: Asked, last_error: Option<LastError>) -> Effected {
        Effected::Ended(Ending {
            code,
            effect: self.with_earlier(asked.effect()),
            last_error,
            progress: None,
        })
    }

    /// The effect of a failure of the data store. Throttling spends no delivery if the command may be handed on.
    fn unavailable(
        &self,
        error: &(impl std::error::Error + Caused + 'static),
        asked: Asked,
    ) -> Effected {
        if asked.may_hand_on() {
            let budget = self.command.action.command_type().budget();
            let began = self.command.accepted_at;
            return self.dismiss.worker.unavailable(error, began, budget);
        }
        warn!(error = %chain(error), "the data store failed");
        transient(LastError::StoreUnavailable)
    }

    const fn id(&self) -> CommandId {
        self.command.key.id
    }

    fn now(&self) -> Timestamp {
        self.dismiss.worker.clock.now()
    }
}

/// Reports whether the alert's change, made at `made_at`, belongs to another command: the one that the finding `credited`
/// at its last read. A change after that read is a new one: someone has undone the other command's in between.
fn is_another_commands(
    credited: Option<CommandId>,
    mine: CommandId,
    seen: Timestamp,
    made_at: Option<Timestamp>,
) -> bool {
    credited.is_some_and(|by| by != mine) && made_at.is_none_or(|at| at <= seen)
}

const fn transient(error: LastError) -> Effected {
    Effected::Transient { error, after: None }
}

#[cfg(test)]
mod tests;
