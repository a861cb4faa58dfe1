//! The metrics. Each piece of work (a request, a delivery, a run of the reconciler) counts in memory and writes
//! documents of CloudWatch's embedded metric format to standard output when it ends.
//!
//! They are written before the function answers, because Lambda freezes it afterwards, and also if the work panics or
//! is cancelled. A function that is killed loses at most the metrics of its current work. No metric names an owner.
//!
//! CloudWatch bills each combination of dimension values as a metric of its own, so there are few.

mod emf;

use std::{cell::RefCell, io::Write, str::FromStr, time::Duration};

use domain::{Timestamp, command::CommandType, result_code::ResultCode};
use emf::Tally;

/// The namespace of every metric.
pub const NAMESPACE: &str = "SecurityAgent";

/// One measurement with its dimensions. Every metric also has the dimension `Stack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// `CommandsAdmitted` by `Type`: commands that were stored or readmitted, before their message was sent.
    CommandAdmitted(CommandType),
    /// `AdmissionsFailed` by `Type`: commands that were stored but could not be queued. Their clients got an error.
    AdmissionFailed(CommandType),
    /// `CommandsSettled` by `Type` and `Code`: commands that ended, in whichever function. Each command counts once.
    CommandSettled(CommandType, ResultCode),
    /// `TimeToTerminal` by `Type`, milliseconds: from a command's admission to its end.
    TimeToTerminal(CommandType, Duration),
    /// `CommandsStalled`: commands that ended because their deadline had passed.
    CommandStalled,
    /// `CommandsResent`: messages that the reconciler re-sent because no worker had claimed them.
    CommandResent,
    /// `Takeovers`: claims of commands whose earlier lease expired without a release: that worker died or was too slow.
    Takeover,
    /// `WorkersFenced`: deliveries whose writes were refused because the worker had lost its lease.
    WorkerFenced,
    /// `DeadLettersSettled`: commands that ended because their message reached a dead-letter queue.
    DeadLetterSettled,
    /// `MalformedMessagesKept`: malformed messages that wait for an operator.
    MalformedMessageKept,
    /// `AnalysesLost`: analyses that failed because no callback came in time.
    AnalysisLost,
    /// `CallbacksRefused` by `Reason`: callbacks that changed nothing.
    CallbackRefused(CallbackRefusal),
    /// `SessionsLeft`: sessions of erased owners that the agent could not be made to interrupt.
    SessionLeft,
    /// `OldestAcceptedAge`, seconds, maximum of a reconciler run: the age of the oldest accepted command that was due;
    /// 0 if there was none. A command is due when its message has waited 75 s and 180 s, and at its deadline, so a
    /// command that waits for less is not measured.
    OldestAcceptedAge(Duration),
    /// `OldestRunningAge`, seconds, maximum of a reconciler run: the age of the oldest running command that was due. A
    /// running command is due when the message of a continuation has waited that long, and at its deadline without
    /// progress, so a healthy one is not measured.
    OldestRunningAge(Duration),
    /// `ReconcilerCompleted`: complete runs of the reconciler. None for minutes means that it does not run.
    ReconcilerCompleted,
    /// `ReconcilerErrors`: rows and shards that a run could not read or write. The next run retries them.
    ReconcilerError,
    /// `WorkLeftOver`: runs that ran out of time before all due rows were handled.
    WorkLeftOver,
    /// `GithubBudgetLeft`, minimum of a piece of work: the requests that GitHub still allows within the hour, according
    /// to its answers, for any installation.
    GithubBudgetLeft(u64),
    /// `GithubAnswers` by `Answer`: tries of calls to GitHub, by outcome.
    GithubAnswered(GithubAnswer),
}

/// The outcome of one try of a call to GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GithubAnswer {
    /// A success or a redirect.
    Read,
    /// A rate limit.
    RateLimited,
    /// Any other refusal.
    Refused,
    /// GitHub failed, or its answer was malformed.
    Failed,
    /// No answer, or none in time.
    None,
}

impl GithubAnswer {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::None => "none",
        }
    }
}

/// Why a callback changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackRefusal {
    /// No token, or one that none of the callback keys has made.
    InvalidToken,
    /// A token that has expired.
    ExpiredToken,
    /// A valid token, but not of the attempt and session in flight, or the callback has arrived before.
    Stale,
}

impl CallbackRefusal {
    const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidToken => "invalid_token",
            Self::ExpiredToken => "expired_token",
            Self::Stale => "stale",
        }
    }
}

/// How a metric is written: its name, its unit, and how several values are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Definition {
    name: &'static str,
    unit: Unit,
    combined: Combined,
}

/// The CloudWatch units in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Count,
    Milliseconds,
    Seconds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Combined {
    Sum,
    Least,
    Most,
    /// Every value is written, so CloudWatch can compute percentiles.
    Each,
}

/// A name and a value.
type Dimension = (&'static str, &'static str);

impl Metric {
    const fn definition(self) -> Definition {
        use {Combined::*, Unit::*};
        let (name, unit, combined) = match self {
            Self::CommandAdmitted(_) => ("CommandsAdmitted", Count, Sum),
            Self::AdmissionFailed(_) => ("AdmissionsFailed", Count, Sum),
            Self::CommandSettled(..) => ("CommandsSettled", Count, Sum),
            Self::TimeToTerminal(..) => ("TimeToTerminal", Milliseconds, Each),
            Self::CommandStalled => ("CommandsStalled", Count, Sum),
            Self::CommandResent => ("CommandsResent", Count, Sum),
            Self::Takeover => ("Takeovers", Count, Sum),
            Self::WorkerFenced => ("WorkersFenced", Count, Sum),
            Self::DeadLetterSettled => ("DeadLettersSettled", Count, Sum),
            Self::MalformedMessageKept => ("MalformedMessagesKept", Count, Sum),
            Self::AnalysisLost => ("AnalysesLost", Count, Sum),
            Self::CallbackRefused(_) => ("CallbacksRefused", Count, Sum),
            Self::SessionLeft => ("SessionsLeft", Count, Sum),
            Self::OldestAcceptedAge(_) => ("OldestAcceptedAge", Seconds, Most),
            Self::OldestRunningAge(_) => ("OldestRunningAge", Seconds, Most),
            Self::ReconcilerCompleted => ("ReconcilerCompleted", Count, Sum),
            Self::ReconcilerError => ("ReconcilerErrors", Count, Sum),
            Self::WorkLeftOver => ("WorkLeftOver", Count, Sum),
            Self::GithubBudgetLeft(_) => ("GithubBudgetLeft", Count, Least),
            Self::GithubAnswered(_) => ("GithubAnswers", Count, Sum),
        };
        Definition {
            name,
            unit,
            combined,
        }
    }

    fn dimensions(self) -> Vec<Dimension> {
        match self {
            Self::CommandSettled(kind, code) => {
                vec![("Type", kind.as_str()), ("Code", code.as_str())]
            }
            Self::CommandAdmitted(kind)
            | Self::AdmissionFailed(kind)
            | Self::TimeToTerminal(kind, _) => vec![("Type", kind.as_str())],
            Self::CallbackRefused(reason) => vec![("Reason", reason.as_str())],
            Self::GithubAnswered(answer) => vec![("Answer", answer.as_str())],
            Self::CommandStalled
            | Self::CommandResent
            | Self::Takeover
            | Self::WorkerFenced
            | Self::DeadLetterSettled
            | Self::MalformedMessageKept
            | Self::AnalysisLost
            | Self::SessionLeft
            | Self::OldestAcceptedAge(_)
            | Self::OldestRunningAge(_)
            | Self::ReconcilerCompleted
            | Self::ReconcilerError
            | Self::WorkLeftOver
            | Self::GithubBudgetLeft(_) => Vec::new(),
        }
    }

    /// The value, in the metric's unit.
    fn value(self) -> u64 {
        match self {
            Self::TimeToTerminal(_, time) => u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            Self::OldestAcceptedAge(age) | Self::OldestRunningAge(age) => age.as_secs(),
            Self::GithubBudgetLeft(left) => left,
            Self::CommandAdmitted(_)
            | Self::AdmissionFailed(_)
            | Self::CommandSettled(..)
            | Self::CommandStalled
            | Self::CommandResent
            | Self::Takeover
            | Self::WorkerFenced
            | Self::DeadLetterSettled
            | Self::MalformedMessageKept
            | Self::AnalysisLost
            | Self::SessionLeft
            | Self::ReconcilerCompleted
            | Self::ReconcilerError
            | Self::WorkLeftOver
            | Self::CallbackRefused(_)
            | Self::GithubAnswered(_) => 1,
        }
    }
}

tokio::task_local! {
    static UNDER_WAY: Measurement;
}

/// Records a metric of the current piece of work. Outside of one, as in a store's tests, it does nothing.
pub fn record(metric: Metric) {
    // An error means that there is no current work.
    let _ = UNDER_WAY.try_with(|measurement| measurement.tally.borrow_mut().add(metric));
}

/// Writes the metrics recorded so far, for long work that may be killed before its end.
pub fn write_now() {
    let _ = UNDER_WAY.try_with(Measurement::write);
}

/// The name of the CloudFormation stack, 1 to 128 characters. It separates the metrics of several stacks in one
/// account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackName(String);

impl FromStr for StackName {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err("it must be the name of a stack: 1 to 128 letters, digits and hyphens")
        }
    }
}

/// Measures pieces of work.
#[derive(Clone, Debug)]
pub struct Meter {
    stack: StackName,
    clock: fn() -> Timestamp,
}

impl Meter {
    /// A meter that writes to standard output for this stack, dated by this clock.
    pub const fn new(stack: StackName, clock: fn() -> Timestamp) -> Self {
        Self { stack, clock }
    }

    /// Runs the work and writes its metrics, even if it panics or is cancelled.
    pub fn measure<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        let measurement = Measurement {
            meter: self.clone(),
            tally: RefCell::default(),
        };
        UNDER_WAY.scope(measurement, work)
    }
}

/// The metrics of one piece of work.
struct Measurement {
    meter: Meter,
    tally: RefCell<Tally>,
}

impl Measurement {
    fn write(&self) {
        let Meter { stack, clock } = &self.meter;
        let lines = self.tally.take().lines(&stack.0, clock());
        // Without standard output there is nowhere to report an error either.
        let _ = std::io::stdout().lock().write_all(lines.as_bytes());
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        self.write();
    }
}

#[cfg(test)]
mod tests;
