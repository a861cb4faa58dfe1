//! Runs stateright over scenes.

use std::{
    collections::BTreeSet,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use stateright::{Checker as _, HasDiscoveries, Model as _};

use crate::{
    guards::{Deciding, Spot},
    promises::Promise,
    protocol::{Protocol, Step},
    scene::{Lack, Scene},
};

/// A promise, and the steps that break it.
pub(crate) type Broken = (Promise, Vec<Step>);

/// The result of a check.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) scene: &'static str,
    pub(crate) broken: Option<Broken>,
    /// Outcomes that no state has.
    pub(crate) unreached: Vec<&'static str>,
    /// The terms and alternatives that decided a write.
    pub(crate) deciding: Deciding,
    states: usize,
    steps: usize,
    took: Duration,
}

impl Checked {
    #[expect(
        clippy::print_stderr,
        reason = "the figures that docs/model.md records"
    )]
    fn report(&self) {
        let Self {
            scene,
            states,
            steps,
            took,
            ..
        } = self;
        eprintln!("{scene}: {states} states, {steps} steps, {took:.1?}");
    }
}

/// Checks the complete protocol in every scene.
pub(crate) static BASE: LazyLock<Vec<Checked>> = LazyLock::new(|| {
    #[expect(
        clippy::disallowed_methods,
        reason = "chooses how much is gone through"
    )]
    let faults = std::env::var("TEST_FAULTS").ok();
    let faults = faults.map(|faults| faults.parse().expect("a number"));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let deeper = |scene: Scene| Scene {
        faults: faults.unwrap_or(scene.faults),
        ..scene
    };
    let check = |scene| {
        let checked = check(deeper(scene), Lack::Nothing, threads);
        checked.report();
        checked
    };
    Scene::ALL.into_iter().map(check).collect()
});

/// Collects what any scene has shown.
pub(crate) fn shown<T: Clone + Ord>(by: impl Fn(&Deciding) -> &BTreeSet<T>) -> BTreeSet<T> {
    let all = BASE
        .iter()
        .flat_map(|checked| by(&checked.deciding).iter().cloned());
    all.collect()
}

/// Returns the promise that the protocol breaks without this term, from the first scene that shows it among those where
/// the term decides anything.
pub(crate) fn broken_without(term: Spot) -> Option<Broken> {
    let decides = BASE.iter().zip(Scene::ALL);
    let decides = decides.filter(|(checked, _)| checked.deciding.terms.contains(&term));
    let mut checked = decides.map(|(_, scene)| check(scene, Lack::Term(term), 1));
    checked.find_map(|checked| checked.broken)
}

/// Returns the promise that the protocol breaks when this is lacking, from the first scene that shows it.
pub(crate) fn broken_by(lack: Lack) -> Option<Broken> {
    let mut checked = Scene::ALL.into_iter().map(|scene| check(scene, lack, 1));
    checked.find_map(|checked| checked.broken)
}

/// Checks several at once, each on one thread: a check on several threads finds a different counterexample each time.
pub(crate) fn in_parallel<T: Sync, U: Send>(all: &[T], check: impl Fn(&T) -> U + Sync) -> Vec<U> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(place) else {
                return done;
            };
            done.push((place, check(one)));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut done: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let done = workers.into_iter().map(thread::ScopedJoinHandle::join);
        done.flat_map(|done| done.expect("it does not panic"))
            .collect()
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, done)| done).collect()
}

fn check(scene: Scene, lack: Lack, threads: usize) -> Checked {
    let begun = Instant::now();
    let checker = Protocol::new(scene, lack)
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let mut discoveries = checker.discoveries();
    let protocol = checker.model();
    let broken = discoveries.remove(Protocol::PROMISES).and_then(|path| {
        let promise = protocol.broken(path.last_state());
        promise.map(|promise| (promise, path.into_actions()))
    });
    let properties = protocol.properties().into_iter();
    let names = properties.map(|property| property.name);
    let unreached =
        names.filter(|name| *name != Protocol::PROMISES && !discoveries.contains_key(name));
    Checked {
        scene: scene.name,
        broken,
        unreached: unreached.collect(),
        deciding: protocol.decided.all(),
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        took: begun.elapsed(),
    }
}
