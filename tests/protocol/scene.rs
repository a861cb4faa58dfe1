//! How much of the world a check goes through, and what is taken away from the protocol to see it fail.

use std::time::Duration;

use domain::lifecycle::{Guard, Move, Timeouts};

use crate::guards::Spot;

/// The bounds of one check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) timeouts: Timeouts,
    /// How many requests the client makes with its one key.
    pub(crate) requests: u8,
    /// How often a message is received before it is dead.
    pub(crate) max_receives: u8,
    /// How many things go wrong at most: somebody dies, an answer is lost, a request fails, GitHub is at its rate limit, or time
    /// passes although somebody could do something.
    pub(crate) troubles: u8,
    /// Whether workers may report progress.
    pub(crate) reports: bool,
    /// Nobody dies, nobody is slow, and GitHub does what it is asked.
    pub(crate) calm: bool,
}

impl Scene {
    /// Everybody, with timeouts that stand to each other as the deployed ones do.
    pub(crate) const WHOLE: Self = Self {
        name: "whole",
        timeouts: minutes(5, 4),
        requests: 2,
        max_receives: 2,
        troubles: 3,
        reports: false,
        calm: false,
    };
    /// Workers that report progress, and less trouble.
    const REPORTING: Self = Self {
        name: "reporting",
        troubles: 2,
        reports: true,
        ..Self::WHOLE
    };
    /// One request, so that there is room for what befalls its work.
    const WORKING: Self = Self {
        name: "working",
        requests: 1,
        ..Self::WHOLE
    };
    /// A running timeout that is shorter than a claim: an operator may set that.
    const SHORT: Self = Self {
        name: "short",
        timeouts: minutes(5, 1),
        requests: 1,
        ..Self::WHOLE
    };
    /// Nothing goes wrong but answers that are lost.
    const CALM: Self = Self {
        name: "calm",
        requests: 1,
        max_receives: 1,
        reports: true,
        calm: true,
        ..Self::WHOLE
    };
    /// All of them, the smallest first.
    pub(crate) const ALL: [Self; 5] = [
        Self::CALM,
        Self::REPORTING,
        Self::WORKING,
        Self::SHORT,
        Self::WHOLE,
    ];
    /// Those that are small enough to be gone through by hand.
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

/// What a protocol lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    Nothing,
    /// A term of a guard.
    Term(Spot),
    /// A writer does not know its own write when it meets it.
    OwnWrites,
    /// A delivery that follows another does not look first.
    LookingFirst,
    /// A claim does not outlive its worker.
    Margin,
    /// A command that may have had its effect is handed on at a rate limit, instead of given back.
    GivingBack,
    /// A command that is cut off says that it had no effect.
    Doubt,
    /// Nobody reconciles.
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
