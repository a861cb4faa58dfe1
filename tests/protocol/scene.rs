//! The bounds of a check, and what is removed from the protocol to see it fail.

use std::time::Duration;

use domain::lifecycle::{Guard, Move, Timeouts};

use crate::guards::Spot;

/// The bounds of one check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) timeouts: Timeouts,
    /// The number of requests that the client makes with its one key.
    pub(crate) requests: u8,
    /// The maximum receive count of a message.
    pub(crate) max_receives: u8,
    /// The maximum number of faults: an actor dies, a response is lost, a request fails, GitHub is at its rate limit,
    /// or time passes although somebody could act.
    pub(crate) faults: u8,
    /// Whether workers may report progress.
    pub(crate) reports: bool,
    /// Nobody dies, nobody is slow, and GitHub does what it is asked.
    pub(crate) calm: bool,
}

impl Scene {
    /// All actors, with timeouts in the proportions of the deployed ones.
    pub(crate) const WHOLE: Self = Self {
        name: "whole",
        timeouts: minutes(5, 4),
        requests: 2,
        max_receives: 2,
        faults: 3,
        reports: false,
        calm: false,
    };
    /// Workers that report progress, with fewer faults.
    const REPORTING: Self = Self {
        name: "reporting",
        faults: 2,
        reports: true,
        ..Self::WHOLE
    };
    /// One request, which leaves room for faults in its work.
    const WORKING: Self = Self {
        name: "working",
        requests: 1,
        ..Self::WHOLE
    };
    /// A running timeout shorter than a lease: an operator may set that.
    const SHORT: Self = Self {
        name: "short",
        timeouts: minutes(5, 1),
        requests: 1,
        ..Self::WHOLE
    };
    /// The only faults are lost responses.
    const CALM: Self = Self {
        name: "calm",
        requests: 1,
        max_receives: 1,
        reports: true,
        calm: true,
        ..Self::WHOLE
    };
    /// All scenes, the smallest first.
    pub(crate) const ALL: [Self; 5] = [
        Self::CALM,
        Self::REPORTING,
        Self::WORKING,
        Self::SHORT,
        Self::WHOLE,
    ];
    /// Scenes small enough to search for cycles.
    pub(crate) const SMALL: [Self; 2] = [Self::CALM, Self::REPORTING];
}

/// Timeouts in minutes.
const fn minutes(accepted: u64, running: u64) -> Timeouts {
    Timeouts {
        accepted: Duration::from_secs(60 * accepted),
        running: Duration::from_secs(60 * running),
        retention: Duration::from_secs(86_400),
    }
}

/// The function's timeout: no worker lives longer.
pub(crate) const FUNCTION: Duration = Duration::from_secs(60);

/// What the protocol lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    Nothing,
    /// A term of a guard.
    Term(Spot),
    /// A writer does not recognise its own write.
    OwnWrites,
    /// A redelivery does not look at the alert first.
    LookingFirst,
    /// A lease does not outlive its worker.
    Margin,
    /// A command that may have had its effect continues after a rate limit, instead of being released.
    GivingBack,
    /// A command that is cut off reports no effect.
    Doubt,
    /// There is no reconciler.
    Reconcilers,
}

impl Lack {
    /// The guard, without what is lacking.
    pub(crate) fn guard(self, made: &Move) -> Guard {
        let mut guard = made.guard();
        if let Self::Term(spot) = self {
            spot.weaken(made, &mut guard);
        }
        guard
    }
}
