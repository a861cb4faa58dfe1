//! Every term of every alternative of every move's guard, and which of them ever decide.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Timestamp,
    lifecycle::{CommandState, Guard, Lease, Move, Stage, Terminal, Token, Waits},
};

/// The place of one term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spot {
    pub(crate) made: &'static str,
    pub(crate) alternative: usize,
    pub(crate) term: usize,
}

impl Spot {
    /// Returns every place.
    pub(crate) fn all() -> Vec<Self> {
        let mut spots = Vec::new();
        for made in samples() {
            for (alternative, terms) in made.guard().0.iter().enumerate() {
                spots.extend((0..terms.len()).map(|term| Self {
                    made: made.name(),
                    alternative,
                    term,
                }));
            }
        }
        spots
    }

    /// Removes the term, if this is the move's guard.
    pub(crate) fn weaken(self, made: &Move, guard: &mut Guard) {
        if made.name() == self.made
            && let Some(terms) = guard.0.get_mut(self.alternative)
        {
            terms.remove(self.term);
        }
    }
}

impl fmt::Display for Spot {
    /// As in `claim 2: LeaseExpired`: the second alternative of the guard of `claim`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut samples = samples().into_iter();
        let made = samples.find(|made| made.name() == self.made);
        let guard = made.expect("a move of this name").guard();
        let term = format!("{:?}", guard.0[self.alternative][self.term]);
        // Moments and tokens are arbitrary.
        let term = match term.split_once('(') {
            Some(("StatusIs", _)) | None => term.as_str(),
            Some((name, _)) => name,
        };
        let Self {
            made, alternative, ..
        } = self;
        write!(f, "{made} {}: {term}", alternative + 1)
    }
}

/// One of each move, with as many alternatives as it can have.
fn samples() -> [Move; 10] {
    let (now, token, stage) = (Timestamp::from_seconds(0), Token(0), Stage(0));
    let lease = Lease { token, until: now };
    [
        Move::FailAdmission { admission: token },
        Move::Readmit {
            admission: token,
            now,
        },
        Move::Resend {
            resends: 0,
            queued_at: now,
            deadline: now,
            now,
        },
        Move::Claim { lease, stage, now },
        Move::Heartbeat { lease, now },
        Move::Continue {
            holder: token,
            stage,
            at: now + Duration::from_secs(60),
            waits: Waits::No,
            now,
        },
        Move::Release { holder: token, now },
        Move::Settle {
            holder: token,
            terminal: Terminal::Succeeded,
        },
        Move::Exhaust {
            holder: Some(token),
            stage,
            now,
        },
        Move::Stall { now },
    ]
}

/// The place of one alternative: the move's name, and its number.
pub(crate) type Alternative = (&'static str, usize);

/// What has decided a write alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deciding {
    /// Terms whose absence would have permitted a write.
    pub(crate) terms: BTreeSet<Spot>,
    /// Alternatives whose absence would have refused a write.
    pub(crate) alternatives: BTreeSet<Alternative>,
}

/// Records that, from any number of threads.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    seen: Mutex<Deciding>,
}

impl Decided {
    /// Records a write attempted on this row.
    pub(crate) fn note(&self, made: &Move, row: &CommandState) {
        let guard = made.guard();
        let open: Vec<usize> = (0..guard.0.len())
            .filter(|alternative| guard.0[*alternative].iter().all(|term| term.holds(row)))
            .collect();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match open[..] {
            [] => {
                for (alternative, terms) in guard.0.iter().enumerate() {
                    let mut closed = (0..terms.len()).filter(|term| !terms[*term].holds(row));
                    if let (Some(term), None) = (closed.next(), closed.next()) {
                        seen.terms.insert(Spot {
                            made: made.name(),
                            alternative,
                            term,
                        });
                    }
                }
            }
            [alternative] => {
                seen.alternatives.insert((made.name(), alternative));
            }
            _ => {}
        }
    }

    /// Returns what has decided so far.
    pub(crate) fn all(&self) -> Deciding {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}
