//! The client with its idempotency key, and the API's invocations: row, message, compensation.

use domain::{
    lifecycle::{Move, Stage, Token},
    result_code::{Effect, ResultCode},
};

use crate::{
    canonical::NOW,
    ledger::{Heard, first},
    promises::By,
    protocol::{Luck, Protocol, Step},
    world::{Api, World},
};

pub(crate) fn steps(protocol: &Protocol, world: &World, steps: &mut Vec<Step>) {
    const WRITES: [Luck; 2] = [Luck::Good, Luck::AnswerLost];
    const SENDS: [Luck; 3] = [Luck::Good, Luck::AnswerLost, Luck::Fails];
    if world.requests > 0 && world.apis.contains(&Api::Idle) {
        Protocol::offer(world, &WRITES, steps, Step::Post);
    }
    for (which, api) in world.apis.iter().enumerate() {
        let lucks = match api {
            Api::Idle => continue,
            Api::Sends { .. } if !protocol.scene.calm => &SENDS[..],
            Api::Readmits { lost: false, .. } | Api::Compensates { again: None, .. } => &WRITES,
            Api::Admits { .. }
            | Api::Readmits { .. }
            | Api::Compensates { .. }
            | Api::Sends { .. } => &[Luck::Good],
        };
        Protocol::offer(world, lucks, steps, |luck| Step::Api(which, luck));
        if world.faults > 0 && !protocol.scene.calm {
            steps.push(Step::ApiDies(which));
        }
    }
}

pub(crate) fn die(world: &mut World, which: usize) {
    world.faults -= 1;
    world.apis[which] = Api::Idle;
}

/// Posts a request, up to the response to its first write.
pub(crate) fn post(protocol: &Protocol, world: &mut World, luck: Luck) {
    let idle = world.apis.iter().position(|api| *api == Api::Idle);
    let which = idle.expect("an invocation is left");
    world.requests -= 1;
    luck.spend(world);
    let id = world.new_token();
    let heard = protocol.admit(world, id);
    world.apis[which] = if luck.loses(heard, world) {
        Api::Admits { id }
    } else {
        admission(world, id, heard)
    };
}

/// What follows from the response to the first write: of this request's own row, or of the row that its key names.
fn admission(world: &World, id: Token, heard: Heard) -> Api {
    if heard == Heard::Made {
        return Api::Sends { admission: id };
    }
    let row = world.row.as_ref().expect("it stands in the way");
    match row.state.readmission(id, NOW) {
        Some(made) => Api::Readmits {
            tried: first(world, made),
            lost: false,
        },
        None => Api::Idle,
    }
}

pub(crate) fn go_on(protocol: &Protocol, world: &mut World, which: usize, luck: Luck) {
    luck.spend(world);
    let by = By {
        claim: None,
        stage: None,
        timeouts: protocol.scene.timeouts,
    };
    world.apis[which] = match world.apis[which].clone() {
        Api::Idle => Api::Idle,
        Api::Admits { id } => {
            let heard = protocol.admit(world, id);
            admission(world, id, heard)
        }
        Api::Readmits { tried, .. } => {
            let heard = protocol.write(world, tried, None, by);
            if luck.loses(heard, world) {
                Api::Readmits { tried, lost: true }
            } else {
                match heard {
                    Heard::Made => Api::Sends {
                        admission: tried.writer,
                    },
                    // Another request with this key was faster, and sends.
                    Heard::Refused => Api::Idle,
                }
            }
        }
        Api::Sends { admission } => send(world, admission, luck),
        Api::Compensates { admission, again } => {
            let made = Move::FailAdmission { admission };
            let tried = again.unwrap_or_else(|| first(world, made));
            let ending = (ResultCode::QueueAdmissionFailed, Some(Effect::None));
            let heard = protocol.write(world, tried, Some(ending), by);
            if luck.loses(heard, world) {
                let again = Some(tried);
                Api::Compensates { admission, again }
            } else {
                // Whatever the write returns, only the client's response is left.
                Api::Idle
            }
        }
    };
}

fn send(world: &mut World, admission: Token, luck: Luck) -> Api {
    if luck != Luck::Fails {
        world.send(Stage::default());
    }
    if luck != Luck::Good {
        let again = None;
        return Api::Compensates { admission, again };
    }
    if let Some(row) = &mut world.row
        && row.state.admission == admission
    {
        row.witnessed.sent = true;
    }
    Api::Idle
}
