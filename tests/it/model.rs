//! One owner's dismissals and analyses under any order of events: duplicate deliveries, workers that die at any
//! database call, lost responses, passing time, people who change alerts, and an erasure. The functions are the real
//! ones; only their surroundings are simulated.
//!
//! `TEST_CASES` sets how many sequences are tried. A sequence that breaks a promise is shortened as far as possible and
//! printed.

mod clock;
mod outside;
mod promises;
mod world;

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestCaseError, TestRunner},
};

use outside::{AgentFault, GithubFault};
use world::{FINDINGS, World};

/// One event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Somebody requests a dismissal, with or without a comment. Unless it is `sent`, the API dies before it sends the
    /// message.
    Dismiss {
        finding: u32,
        named: bool,
        sent: bool,
    },
    /// Somebody requests an analysis.
    Analyse {
        finding: u32,
        restart: bool,
        sent: bool,
    },
    /// A queue delivers one of its messages, perhaps to two workers at once.
    Deliver {
        which: usize,
        twice: bool,
        fault: WorkerFault,
    },
    /// The agent sends the callback of one of its sessions: without a result, or with one that does or does not recommend a
    /// dismissal.
    Callback {
        which: usize,
        recommends: Option<bool>,
        sent: bool,
    },
    /// The reconciler runs.
    Reconcile(WorkerFault),
    /// This many seconds pass.
    Advance(u64),
    /// Somebody changes an alert, and a sync may store the change.
    AtGithub {
        finding: u32,
        state: &'static str,
        synced: bool,
    },
    /// GitHub's next dismissal fails.
    GithubFails(GithubFault),
    /// The agent's next launch fails.
    AgentFails(AgentFault),
    /// The owner requests erasure.
    Erase,
}

/// What happens to a worker, after this many calls to the database.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WorkerFault {
    None,
    DiesBefore(usize),
    DiesAfter(usize),
    LosesAnswer(usize),
}

fn fault() -> impl Strategy<Value = WorkerFault> {
    prop_oneof![
        4 => Just(WorkerFault::None),
        1 => (0..8_usize).prop_map(WorkerFault::DiesBefore),
        2 => (0..8_usize).prop_map(WorkerFault::DiesAfter),
        2 => (0..8_usize).prop_map(WorkerFault::LosesAnswer),
    ]
}

fn asked() -> impl Strategy<Value = Step> {
    let finding = || 1..=FINDINGS;
    let sent = || prop::bool::weighted(0.9);
    prop_oneof![
        (finding(), prop::bool::weighted(0.7), sent()).prop_map(|(finding, named, sent)| {
            Step::Dismiss {
                finding,
                named,
                sent,
            }
        }),
        (finding(), prop::bool::weighted(0.4), sent()).prop_map(|(finding, restart, sent)| {
            Step::Analyse {
                finding,
                restart,
                sent,
            }
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let finding = || 1..=FINDINGS;
    let which = || 0..16_usize;
    let deliver =
        (which(), prop::bool::weighted(0.25), fault()).prop_map(|(which, twice, fault)| {
            Step::Deliver {
                which,
                twice,
                fault,
            }
        });
    let recommends = select(vec![None, Some(true), Some(false)]);
    let callback =
        (which(), recommends, prop::bool::weighted(0.8)).prop_map(|(which, recommends, sent)| {
            Step::Callback {
                which,
                recommends,
                sent,
            }
        });
    let at_github = (
        finding(),
        select(vec!["open", "open", "fixed", "dismissed"]),
        any::<bool>(),
    )
        .prop_map(|(finding, state, synced)| Step::AtGithub {
            finding,
            state,
            synced,
        });
    let github = select(vec![
        GithubFault::LoseAnswer,
        GithubFault::LoseAnswer,
        GithubFault::Fail,
        GithubFault::Refuse,
        GithubFault::Review,
        GithubFault::Limit,
    ]);
    let agent = select(vec![
        AgentFault::LoseAnswer,
        AgentFault::Busy,
        AgentFault::NoCredits,
    ]);
    prop_oneof![
        6 => asked(),
        10 => deliver,
        3 => callback,
        2 => fault().prop_map(Step::Reconcile),
        4 => prop_oneof![1..50_u64, 50..1_200_u64].prop_map(Step::Advance),
        3 => at_github,
        2 => github.prop_map(Step::GithubFails),
        1 => agent.prop_map(Step::AgentFails),
    ]
}

/// A sequence, with an erasure at this place if there is one.
fn steps() -> impl Strategy<Value = (bool, Vec<Step>)> {
    let erasure = prop::option::weighted(0.25, any::<prop::sample::Index>());
    (any::<bool>(), vec(step(), 1..32), erasure).prop_map(|(automatic, mut steps, erasure)| {
        if let Some(place) = erasure {
            steps.insert(place.index(steps.len() + 1), Step::Erase);
        }
        (automatic, steps)
    })
}

/// Runs until nothing is left to do: queues deliver, the agent sends callbacks, the reconciler runs, time passes.
async fn drain(world: &mut World) {
    {
        let mut known = world.outside.known();
        known.github.clear();
        known.agent.clear();
    }
    for round in 0..80_u64 {
        for _ in 0..20 {
            let deliver = Step::Deliver {
                which: 0,
                twice: false,
                fault: WorkerFault::None,
            };
            world.take(&deliver).await;
        }
        for (place, _) in world.places() {
            world.callback(place, Some(false), true).await;
        }
        world.check().await;
        if world.at_rest().await {
            return;
        }
        clock::advance(Duration::from_secs(if round < 10 { 60 } else { 600 }));
        world.take(&Step::Reconcile(WorkerFault::None)).await;
    }
    let known = world.outside.known().outstanding();
    let commands = world.commands().await;
    panic!("work is left: {known:?}, {commands:?}");
}

const fn dismiss(finding: u32) -> Step {
    Step::Dismiss {
        finding,
        named: true,
        sent: true,
    }
}

const fn deliver(which: usize, fault: WorkerFault) -> Step {
    Step::Deliver {
        which,
        twice: false,
        fault,
    }
}

const fn at_github(finding: u32, state: &'static str, synced: bool) -> Step {
    Step::AtGithub {
        finding,
        state,
        synced,
    }
}

/// Sequences that once broke a promise and are too rare to be generated by chance.
const KNOWN: [&[Step]; 3] = [
    // One command dismisses, somebody reopens, and another command that had begun earlier dismisses again.
    &[
        dismiss(1),
        dismiss(1),
        deliver(1, WorkerFault::DiesAfter(0)),
        deliver(0, WorkerFault::None),
        at_github(1, "open", false),
        Step::Advance(60),
        deliver(0, WorkerFault::None),
    ],
    // A worker dismisses and dies; somebody reopens the alert; the redelivery is refused.
    &[
        dismiss(1),
        deliver(0, WorkerFault::DiesBefore(3)),
        at_github(1, "open", false),
        Step::GithubFails(GithubFault::Refuse),
        Step::Advance(60),
        deliver(0, WorkerFault::None),
    ],
    // Dismissed, then fixed.
    &[
        dismiss(1),
        deliver(0, WorkerFault::None),
        at_github(1, "fixed", true),
    ],
];

async fn live(automatic: bool, steps: &[Step]) {
    clock::set_to_noon();
    let mut world = World::set(automatic).await;
    for step in steps {
        world.take(step).await;
        world.check().await;
    }
    drain(&mut world).await;
    world.check_at_rest().await;
}

#[test]
fn every_command_ends_once_and_reports_its_effect() {
    // Unoptimised, the functions' futures overflow a test's default stack.
    let tried = std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(try_sequences)
        .expect("a thread starts");
    if let Err(failure) = tried.join().expect("it does not panic") {
        panic!("{failure}");
    }
}

fn try_sequences() -> Result<(), String> {
    #[expect(clippy::disallowed_methods, reason = "chooses how much is tried")]
    let cases = std::env::var("TEST_CASES").ok();
    let cases = cases.map_or(64, |cases| cases.parse().expect("a number"));
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    });
    for steps in KNOWN {
        tried(false, steps).map_err(|broken| format!("{broken}: {steps:?}"))?;
    }
    let tried = runner.run(&steps(), |(automatic, steps)| {
        tried(automatic, &steps).map_err(TestCaseError::fail)
    });
    tried.map_err(|failure| failure.to_string())
}

/// Runs a sequence and returns the promise it broke.
fn tried(automatic: bool, steps: &[Step]) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let lived = AssertUnwindSafe(live(automatic, steps)).catch_unwind();
    runtime.block_on(lived).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        text.unwrap_or_default()
    })
}
