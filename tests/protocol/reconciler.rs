//! The reconcilers: read the index, then process what it shows, soon or late.

use domain::{
    lifecycle::{IndexSnapshot, Move, Need},
    result_code::ResultCode,
};

use crate::{
    canonical::NOW,
    ledger::{Heard, first},
    promises::By,
    protocol::{Luck, Protocol, Step},
    scene::Lack,
    world::{Reconciler, Reconciling, World},
};

pub(crate) fn steps(protocol: &Protocol, world: &World, steps: &mut Vec<Step>) {
    if protocol.lack == Lack::Reconcilers {
        return;
    }
    for (which, reconciler) in world.reconcilers.iter().enumerate() {
        let lucks: &[Luck] = match &reconciler.doing {
            Reconciling::Idle => {
                if !reconciler.looked && is_due(world) {
                    steps.push(Step::Look(which));
                }
                continue;
            }
            Reconciling::Nominated { again: None, .. } => &[Luck::Good, Luck::AnswerLost],
            Reconciling::Nominated { .. } | Reconciling::Sends(_) => &[Luck::Good],
        };
        Protocol::offer(world, lucks, steps, |luck| Step::Reconcile(which, luck));
        if world.faults > 0 && !protocol.scene.calm {
            steps.push(Step::ReconcilerDies(which));
        }
    }
}

fn is_due(world: &World) -> bool {
    let due = world.row.as_ref().and_then(|row| row.state.due);
    due.is_some_and(|due| due <= NOW)
}

/// Reads the index. It may lag behind the table, and the result may be processed much later.
pub(crate) fn look(world: &mut World, which: usize) {
    let row = world.row.as_ref().expect("the index shows a row");
    let seen = IndexSnapshot::of(&row.state);
    world.reconcilers[which] = Reconciler {
        looked: true,
        doing: Reconciling::Nominated { seen, again: None },
    };
}

/// The next run finds what this one leaves.
pub(crate) fn die(world: &mut World, which: usize) {
    world.faults -= 1;
    world.reconcilers[which] = Reconciler {
        looked: false,
        doing: Reconciling::Idle,
    };
}

pub(crate) fn go_on(protocol: &Protocol, world: &mut World, which: usize, luck: Luck) {
    luck.spend(world);
    let now = NOW;
    let by = By {
        claim: None,
        stage: None,
        timeouts: protocol.scene.timeouts,
    };
    let next = match world.reconcilers[which].doing.clone() {
        Reconciling::Idle => Reconciling::Idle,
        Reconciling::Sends(stage) => {
            world.send(stage);
            Reconciling::Idle
        }
        Reconciling::Nominated { seen, again } => {
            let made = match seen.need(now) {
                Need::Resend => Some(seen.resend(now)),
                Need::Stall => Some(Move::Stall { now }),
                Need::Nothing => None,
            };
            let tried = again.or_else(|| made.map(|made| first(world, made)));
            let Some(tried) = tried else {
                world.reconcilers[which].doing = Reconciling::Idle;
                return;
            };
            let stalls = matches!(tried.made, Move::Stall { .. });
            let ending = stalls.then_some((ResultCode::CommandStalled, None));
            let heard = protocol.write(world, tried, ending, by);
            let row = world.row.as_ref().expect("it is written");
            let stage = row.state.stage;
            if luck.loses(heard, world) {
                let again = Some(tried);
                Reconciling::Nominated { seen, again }
            } else if heard == Heard::Made && !stalls {
                Reconciling::Sends(stage)
            } else {
                Reconciling::Idle
            }
        }
    };
    world.reconcilers[which].doing = next;
}
