//! The model: which steps can be taken in a state, and what becomes of it.

use std::time::Duration;

use domain::result_code::ResultCode;
use stateright::{Model, Property};

use crate::{
    api,
    canonical::NOW,
    concluding, dead_letters,
    guards::Decided,
    ledger::Heard,
    promises::{self, Promise},
    reconciler,
    scene::{Lack, Scene},
    worker::{self, Reply},
    world::{Alert, World},
};

/// The protocol within the bounds of a scene, perhaps with something lacking.
#[derive(Debug)]
pub(crate) struct Protocol {
    pub(crate) scene: Scene,
    pub(crate) lack: Lack,
    pub(crate) decided: Decided,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The client posts its request, for the first time or again.
    Post(Luck),
    /// An invocation of the API goes on.
    Api(usize, Luck),
    ApiDies(usize),
    /// A letter is received, and nobody gets to see it.
    ReceiveInVain(u8),
    /// A letter is received by an idle worker, which claims the command.
    Receive(u8, Luck),
    /// A worker repeats the claim whose answer was lost.
    ClaimAgain(usize),
    /// A worker reports progress.
    Report(usize, Luck),
    /// A worker asks GitHub for the dismissal, or looks at the alert.
    Github(usize, Reply),
    /// A worker writes down what became of it, or sends the next message.
    Conclude(usize, Luck),
    /// A worker gives up on the effect.
    GiveUp(usize),
    WorkerDies(usize),
    /// A reconciler reads the index.
    Look(usize),
    Reconcile(usize, Luck),
    ReconcilerDies(usize),
    /// The dead-letter consumer deals with a letter.
    DeadLetter(u8, Luck),
    /// It repeats the write whose answer was lost.
    DeadLetterAgain(Luck),
    /// Time passes until something becomes due.
    Tick,
}

/// What befalls a writer or sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Luck {
    Good,
    /// It is done, and the actor dies over that: nothing is acknowledged.
    Dies,
    /// It is done, and the answer is lost. A write is repeated by the client library; a send counts as failed.
    AnswerLost,
    /// It is not done, and fails.
    Fails,
}

impl Luck {
    /// Whether there is trouble enough left.
    pub(crate) fn among(self, world: &World) -> bool {
        self == Self::Good || world.troubles > 0
    }

    pub(crate) fn spend(self, world: &mut World) {
        if self != Self::Good {
            world.troubles -= 1;
        }
    }

    /// Whether the answer to a write is lost. That of one that was refused may as well have come late, which is no trouble.
    pub(crate) fn loses(self, heard: Heard, world: &mut World) -> bool {
        if self != Self::AnswerLost {
            return false;
        }
        if heard == Heard::Refused {
            world.troubles += 1;
        }
        heard == Heard::Made
    }
}

impl Protocol {
    /// The name of the property that all promises make together.
    pub(crate) const PROMISES: &'static str = "every promise is kept";

    pub(crate) fn new(scene: Scene, lack: Lack) -> Self {
        let decided = Decided::default();
        Self {
            scene,
            lack,
            decided,
        }
    }

    /// Adds a step for each luck that the world has left.
    pub(crate) fn offer(
        world: &World,
        lucks: &[Luck],
        steps: &mut Vec<Step>,
        step: impl Fn(Luck) -> Step,
    ) {
        let left = lucks.iter().filter(|luck| luck.among(world));
        steps.extend(left.map(|luck| step(*luck)));
    }

    /// What can be done without time passing.
    fn at_once(&self, world: &World) -> Vec<Step> {
        let mut steps = Vec::new();
        api::steps(self, world, &mut steps);
        worker::steps(self, world, &mut steps);
        reconciler::steps(self, world, &mut steps);
        dead_letters::steps(self, world, &mut steps);
        steps
    }

    /// How long it is, in whole minutes, until something becomes due that is not yet.
    fn wait(world: &World) -> Option<Duration> {
        let standing = &world.row.as_ref()?.standing;
        if standing.status.is_terminal() {
            return None;
        }
        let looked = world.reconcilers.iter().any(|one| one.looked);
        let due = standing.due.is_some_and(|due| due <= NOW);
        let minutes = [
            standing.lease.map(|lease| lease.until),
            Some(standing.deadline),
            standing.due,
            standing.waiting_until,
        ]
        .into_iter()
        .flatten()
        .filter(|at| *at > NOW)
        .map(|at| at.since(NOW).as_secs().div_ceil(60));
        // Who has looked looks again in a minute.
        let again = (looked && due).then_some(1);
        let minutes = minutes.chain(again).min();
        minutes.map(|minutes| Duration::from_secs(60 * minutes))
    }

    /// Whether one of these steps leads on by itself: no client and no trouble need come.
    fn leads_on(&self, world: &World, steps: &[Step]) -> bool {
        let on = |step: &Step| {
            let next = self.next_state(world, *step);
            next.is_some_and(|next| next.troubles == world.troubles)
        };
        let mut steps = steps.iter();
        steps.any(|step| !matches!(step, Step::Post(_)) && on(step))
    }

    /// Time passes when there is nothing else to do. Before that it is trouble: somebody is slow.
    fn pass(&self, world: &World, next: &mut World) -> Option<()> {
        if self.leads_on(world, &self.at_once(world)) {
            next.troubles = next.troubles.checked_sub(1)?;
        }
        next.pass(Self::wait(world)?);
        Some(())
    }

    /// Whether nothing more happens, were it to depend on nobody outside.
    fn rests(&self, world: &World) -> bool {
        let mut steps = Vec::new();
        self.actions(world, &mut steps);
        !self.leads_on(world, &steps)
    }

    /// The promise that this state shows to be broken.
    pub(crate) fn broken(&self, world: &World) -> Option<Promise> {
        let rests = || world.row.is_some() && world.ended().is_none() && self.rests(world);
        let in_vain = || {
            let unlike = |(code, _)| code != ResultCode::FindingDismissed;
            self.scene.calm && world.ended().is_some_and(unlike)
        };
        world
            .broken
            .or_else(|| promises::of_state(world))
            .or_else(|| rests().then_some(Promise::EveryCommandEnds))
            .or_else(|| in_vain().then_some(Promise::LostAnswersCostNothing))
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let alerts = if self.scene.calm {
            vec![Alert::Open]
        } else {
            vec![Alert::Open, Alert::Anothers]
        };
        let world = |alert| World::new(&self.scene, alert);
        alerts.into_iter().map(world).collect()
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        // What comes after a broken promise is of no interest.
        if world.broken.is_some() {
            return;
        }
        steps.extend(self.at_once(world));
        let slow = world.troubles > 0 && !self.scene.calm;
        if slow || !self.leads_on(world, steps) {
            steps.extend(Self::wait(world).map(|_| Step::Tick));
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        match step {
            Step::Post(luck) => api::post(self, &mut next, luck),
            Step::Api(which, luck) => api::go_on(self, &mut next, which, luck),
            Step::ApiDies(which) => api::die(&mut next, which),
            Step::ReceiveInVain(letter) => worker::receive_in_vain(self, &mut next, letter),
            Step::Receive(letter, luck) => worker::receive(self, &mut next, letter, luck),
            Step::ClaimAgain(which) => worker::claim_again(self, &mut next, which),
            Step::Report(which, luck) => worker::report(self, &mut next, which, luck),
            Step::Github(which, reply) => worker::ask(self, &mut next, which, reply),
            Step::Conclude(which, luck) => concluding::conclude(self, &mut next, which, luck),
            Step::GiveUp(which) => worker::give_up(&mut next, which),
            Step::WorkerDies(which) => worker::die(&mut next, which),
            Step::Look(which) => reconciler::look(&mut next, which),
            Step::Reconcile(which, luck) => reconciler::go_on(self, &mut next, which, luck),
            Step::ReconcilerDies(which) => reconciler::die(&mut next, which),
            Step::DeadLetter(letter, luck) => dead_letters::take(self, &mut next, letter, luck),
            Step::DeadLetterAgain(luck) => dead_letters::again(self, &mut next, luck),
            Step::Tick => self.pass(world, &mut next)?,
        }
        let next = next.canonical();
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn ends(world: &World, code: ResultCode) -> bool {
            world.ended().is_some_and(|(ended, _)| ended == code)
        }
        vec![
            Property::always(Self::PROMISES, |protocol: &Self, world| {
                protocol.broken(world).is_none()
            }),
            Property::sometimes("FINDING_DISMISSED", |_, world| {
                ends(world, ResultCode::FindingDismissed)
            }),
            Property::sometimes("ALREADY_IGNORED", |_, world| {
                ends(world, ResultCode::AlreadyIgnored)
            }),
            Property::sometimes("DISMISSAL_REJECTED", |_, world| {
                ends(world, ResultCode::DismissalRejected)
            }),
            Property::sometimes("QUEUE_ADMISSION_FAILED", |_, world| {
                ends(world, ResultCode::QueueAdmissionFailed)
            }),
            Property::sometimes("QUEUE_RETRIES_EXHAUSTED", |_, world| {
                ends(world, ResultCode::QueueRetriesExhausted)
            }),
            Property::sometimes("COMMAND_STALLED", |_, world| {
                ends(world, ResultCode::CommandStalled)
            }),
        ]
    }
}
