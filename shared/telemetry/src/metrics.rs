//! What is measured, and how it leaves a function: counted in memory while a piece of work is under way, written to
//! standard output as documents of CloudWatch's embedded metric format when it ends.
//!
//! A piece of work is a request, a delivery, a run of the reconciler. What it recorded is written before its function
//! answers, since a function is frozen after that, and also if the work panics or is given up. A function that dies
//! loses what it recorded since the last writing, a delivery's at most. No metric names an owner.
//!
//! Each value of a dimension makes a metric of its own, which costs: there are few.

mod emf;

use std::{cell::RefCell, io::Write, str::FromStr, time::Duration};

use domain::{Timestamp, command::CommandType, result_code::ResultCode};
use emf::Tally;

/// The namespace of every metric.
pub const NAMESPACE: &str = "SecurityAgent";

/// One thing worth counting, with what it is counted by. Beside its own dimensions each has `Stack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// `CommandsAdmitted` by `Type`: commands that were stored, or readmitted, and whose message was then to be sent.
    CommandAdmitted(CommandType),
    /// `AdmissionsFailed` by `Type`: commands that were stored and could not be queued. Their callers were told.
    AdmissionFailed(CommandType),
    /// `CommandsSettled` by `Type` and `Code`: commands that ended, whoever ended them. Each command counts once.
    CommandSettled(CommandType, ResultCode),
    /// `TimeToTerminal` by `Type`, milliseconds: from a command's admission to its end.
    TimeToTerminal(CommandType, Duration),
    /// `CommandsStalled`: commands that ended because their deadline had passed.
    CommandStalled,
    /// `CommandsResent`: messages that the reconciler sent again because nobody had claimed them.
    CommandResent,
    /// `Takeovers`: claims of commands whose earlier claim had lapsed without being given back: that worker had died,
    /// or was too slow.
    Takeover,
    /// `WorkersFenced`: deliveries that came to nothing because the worker's claim was lost: its writes were refused.
    WorkerFenced,
    /// `DeadLettersSettled`: commands that ended because their message had become a dead letter.
    DeadLetterSettled,
    /// `MalformedMessagesKept`: messages that nobody could read and that wait for an operator.
    MalformedMessageKept,
    /// `AnalysesLost`: analyses that failed because nothing was heard of them.
    AnalysisLost,
    /// `OldestAcceptedAge`, seconds, the maximum of a run of the reconciler: how long ago the oldest command was
    /// admitted that was due for a look and still accepted; 0 if there was none. A command is looked at when its
    /// message has waited 75 s and 180 s, and at its deadline: one that waits for less is not seen, and none between
    /// those looks.
    OldestAcceptedAge(Duration),
    /// `OldestRunningAge`, seconds, likewise: the oldest command that was due for a look and running. A running command
    /// is looked at when the message of a continuation has waited so long, and when it has made no progress until its
    /// deadline: what runs well is not seen.
    OldestRunningAge(Duration),
    /// `ReconcilerCompleted`: runs of the reconciler that came to their end. None for minutes means that nobody
    /// reconciles.
    ReconcilerCompleted,
    /// `ReconcilerErrors`: rows and shards that a run could not read or write. The next run tries again.
    ReconcilerError,
    /// `WorkLeftOver`: runs that had no time for all that was due.
    WorkLeftOver,
    /// `GithubBudgetLeft`, the minimum of a piece of work: how many more requests GitHub allows within the hour, as its
    /// answers say, of whichever installation.
    GithubBudgetLeft(u64),
    /// `GithubAnswers` by `Answer`: tries of calls to GitHub, by what came of them.
    GithubAnswered(GithubAnswer),
}

/// What came of a try to ask GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GithubAnswer {
    /// It was answered, or what was asked for is elsewhere.
    Read,
    /// A rate limit.
    RateLimited,
    /// Any other no.
    Refused,
    /// GitHub failed, or its answer could not be understood.
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

/// How a metric is written: its name and unit, and what becomes of several values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Definition {
    name: &'static str,
    unit: Unit,
    combined: Combined,
}

/// The units that are used, of those that CloudWatch knows.
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
    /// Each is kept: CloudWatch makes percentiles of them.
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
            Self::GithubAnswered(answer) => vec![("Answer", answer.as_str())],
            Self::CommandStalled
            | Self::CommandResent
            | Self::Takeover
            | Self::WorkerFenced
            | Self::DeadLetterSettled
            | Self::MalformedMessageKept
            | Self::AnalysisLost
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
            | Self::ReconcilerCompleted
            | Self::ReconcilerError
            | Self::WorkLeftOver
            | Self::GithubAnswered(_) => 1,
        }
    }
}

tokio::task_local! {
    static UNDER_WAY: Measurement;
}

/// Records a metric of the piece of work under way. Outside of any, as in a store's own tests, nothing is measured.
pub fn record(metric: Metric) {
    // An error means that nothing is under way.
    let _ = UNDER_WAY.try_with(|measurement| measurement.tally.borrow_mut().add(metric));
}

/// Writes what was recorded so far: for work that is long, and could die before its end.
pub fn write_now() {
    let _ = UNDER_WAY.try_with(Measurement::write);
}

/// The stack's name, by which metrics of several stacks in one account are told apart: 1 to 128 characters, as
/// CloudFormation gives it.
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

    /// Does the work, and writes what it recorded, however it ends.
    pub fn measure<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        let measurement = Measurement {
            meter: self.clone(),
            tally: RefCell::default(),
        };
        UNDER_WAY.scope(measurement, work)
    }
}

/// What a piece of work has recorded.
struct Measurement {
    meter: Meter,
    tally: RefCell<Tally>,
}

impl Measurement {
    fn write(&self) {
        let Meter { stack, clock } = &self.meter;
        let lines = self.tally.take().lines(&stack.0, clock());
        // A function without standard output has nobody to tell.
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
