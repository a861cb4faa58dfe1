//! Counts of the run, and promises seen broken before its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::command::CommandId;
use tests::oracle::Judgement;

#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// What clients did and met.
    pub(crate) clients: BTreeMap<&'static str, u64>,
    /// Faults and kills, by kind.
    pub(crate) faults: BTreeMap<String, u64>,
    /// The promises that clients check while the run goes on.
    pub(crate) judgement: Judgement,
    /// Commands of erased owners.
    pub(crate) erased: BTreeSet<CommandId>,
    /// Paths of alerts whose dismissal such an owner had requested.
    pub(crate) untold: BTreeSet<String>,
    /// Erased owners.
    pub(crate) gone: Vec<String>,
    /// Function processes killed with the whole stack.
    pub(crate) killed: usize,
}

impl Tally {
    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn client(&self, what: &'static str) {
        *self.counts().clients.entry(what).or_default() += 1;
    }

    pub(crate) fn fault(&self, what: impl Into<String>) {
        *self.counts().faults.entry(what.into()).or_default() += 1;
    }

    pub(crate) fn hold(&self, what: &'static str, holds: bool, breach: impl FnOnce() -> String) {
        self.counts().judgement.hold(what, holds, breach);
    }
}
