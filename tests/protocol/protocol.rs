//! The model: the steps possible in a state, and their results.

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
    /// An invocation of the API continues.
    Api(usize, Luck),
    ApiDies(usize),
    /// A letter is received, but no function runs.
    ReceiveInVain(u8),
    /// An idle worker receives a letter and claims the command.
    Receive(u8, Luck),
    /// A worker retries the claim whose response was lost.
    ClaimAgain(usize),
    /// A worker reports progress.
    Report(usize, Luck),
    /// A worker requests the dismissal, or reads the alert.
    Github(usize, Reply),
    /// A worker writes its conclusion, or sends the next message.
    Conclude(usize, Luck),
    /// A worker stops before the effect.
    StopEarly(usize),
    WorkerDies(usize),
    /// A reconciler reads the index.
    Look(usize),
    Reconcile(usize, Luck),
    ReconcilerDies(usize),
    /// The dead-letter consumer processes a letter.
    DeadLetter(u8, Luck),
    /// The dead-letter consumer retries the write whose response was lost.
    DeadLetterAgain(Luck),
    /// Time passes until something is due.
    Tick,
}

/// What happens to a write or a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Luck {
    Good,
    /// It is done, and the actor dies: nothing is acknowledged.
    Dies,
    /// It is done, and the response is lost. The SDK retries a write; a send counts as failed.
    AnswerLost,
    /// It fails, and is not done.
    Fails,
}

impl Luck {
    /// Returns whether the scene has a fault left for it.
    pub(crate) fn among(self, world: &World) -> bool {
        self == Self::Good || world.faults > 0
    }

    pub(crate) fn spend(self, world: &mut World) {
        if self != Self::Good {
            world.faults -= 1;
        }
    }

    /// Returns whether the response to a write is lost. A refusal may as well arrive late, so it costs no fault.
    pub(crate) fn loses(self, heard: Heard, world: &mut World) -> bool {
        if self != Self::AnswerLost {
            return false;
        }
        if heard == Heard::Refused {
            world.faults += 1;
        }
        heard == Heard::Made
    }
}

impl Protocol {
    /// The name of the property that combines all promises.
    pub(crate) const PROMISES: &'static str = "every promise is kept";

    pub(crate) fn new(scene: Scene, lack: Lack) -> Self {
        let decided = Decided::default();
        Self {
            scene,
            lack,
            decided,
        }
    }

    /// Adds a step for each luck within the faults left.
    pub(crate) fn offer(
        world: &World,
        lucks: &[Luck],
        steps: &mut Vec<Step>,
        step: impl Fn(Luck) -> Step,
    ) {
        let left = lucks.iter().filter(|luck| luck.among(world));
        steps.extend(left.map(|luck| step(*luck)));
    }

    /// The steps possible without time passing.
    fn at_once(&self, world: &World) -> Vec<Step> {
        let mut steps = Vec::new();
        api::steps(self, world, &mut steps);
        worker::steps(self, world, &mut steps);
        reconciler::steps(self, world, &mut steps);
        dead_letters::steps(self, world, &mut steps);
        steps
    }

    /// The time, in whole minutes, until something becomes due.
    fn wait(world: &World) -> Option<Duration> {
        let state = &world.row.as_ref()?.state;
        if state.status.is_terminal() {
            return None;
        }
        let looked = world.reconcilers.iter().any(|one| one.looked);
        let due = state.due.is_some_and(|due| due <= NOW);
        let minutes = [
            state.lease.map(|lease| lease.until),
            Some(state.deadline),
            state.due,
            state.waiting_until,
        ]
        .into_iter()
        .flatten()
        .filter(|at| *at > NOW)
        .map(|at| at.since(NOW).as_secs().div_ceil(60));
        // Each reconciler looks once a minute.
        let again = (looked && due).then_some(1);
        let minutes = minutes.chain(again).min();
        minutes.map(|minutes| Duration::from_secs(60 * minutes))
    }

    /// Returns whether one of these steps continues without the client and without a fault.
    fn leads_on(&self, world: &World, steps: &[Step]) -> bool {
        let on = |step: &Step| {
            let next = self.next_state(world, *step);
            next.is_some_and(|next| next.faults == world.faults)
        };
        let mut steps = steps.iter();
        steps.any(|step| !matches!(step, Step::Post(_)) && on(step))
    }

    /// Lets time pass. That is free when nothing else can be done, and otherwise a fault: somebody is slow.
    fn pass(&self, world: &World, next: &mut World) -> Option<()> {
        if self.leads_on(world, &self.at_once(world)) {
            next.faults = next.faults.checked_sub(1)?;
        }
        next.pass(Self::wait(world)?);
        Some(())
    }

    /// Returns whether nothing more happens without the client and without a fault.
    fn rests(&self, world: &World) -> bool {
        let mut steps = Vec::new();
        self.actions(world, &mut steps);
        !self.leads_on(world, &steps)
    }

    /// Returns the promise that this state breaks.
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
        // Nothing after a broken promise matters.
        if world.broken.is_some() {
            return;
        }
        steps.extend(self.at_once(world));
        let slow = world.faults > 0 && !self.scene.calm;
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
            Step::StopEarly(which) => worker::stop_early(&mut next, which),
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
