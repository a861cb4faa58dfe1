//! The workers: receive, claim, effect. `concluding` has the rest.

use domain::{
    change::{AlertChange, AlertState, Asked, Judgement},
    lifecycle::{CLAIM_MARGIN, Lease, Move},
};

use crate::{
    canonical::NOW,
    ledger::{Heard, first},
    promises::By,
    protocol::{Luck, Protocol, Step},
    scene::{FUNCTION, Lack},
    world::{Alert, Delivery, Doing, Letter, Try, Worker, World},
};

/// What GitHub does and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It does what it is asked.
    Does,
    /// It does what it is asked, and the response is lost.
    DoesUnheard,
    /// It refuses.
    Refuses,
    /// It does nothing, and does not answer.
    Fails,
    /// It is at its rate limit.
    Limits,
}

pub(crate) fn steps(protocol: &Protocol, world: &World, steps: &mut Vec<Step>) {
    let calm = protocol.scene.calm;
    let idle = world.workers.contains(&Worker::Idle);
    let writes = [Luck::Good, Luck::AnswerLost];
    for letter in &world.letters {
        if letter.receives == protocol.scene.max_receives {
            continue;
        }
        if world.faults > 0 && !calm {
            steps.push(Step::ReceiveInVain(letter.id));
        }
        if idle {
            let receive = |luck| Step::Receive(letter.id, luck);
            Protocol::offer(world, &writes, steps, receive);
        }
    }
    for (which, worker) in world.workers.iter().enumerate() {
        match worker {
            Worker::Idle => continue,
            Worker::Claims { .. } => steps.push(Step::ClaimAgain(which)),
            Worker::Works {
                doing,
                reports,
                reaches,
                again,
                ..
            } => {
                let reporting =
                    matches!(again, Some(again) if matches!(again.made, Move::Heartbeat { .. }));
                if *reports && again.is_none() {
                    let report = |luck| Step::Report(which, luck);
                    Protocol::offer(world, &writes, steps, report);
                }
                if reporting {
                    steps.push(Step::Report(which, Luck::Good));
                } else {
                    let in_time = NOW < *reaches;
                    work(
                        protocol,
                        world,
                        which,
                        *doing,
                        in_time,
                        again.is_some(),
                        steps,
                    );
                }
            }
        }
        if world.faults > 0 && !calm {
            steps.push(Step::WorkerDies(which));
        }
    }
}

fn work(
    protocol: &Protocol,
    world: &World,
    which: usize,
    doing: Doing,
    in_time: bool,
    repeats: bool,
    steps: &mut Vec<Step>,
) {
    use Reply::{Does, DoesUnheard, Fails, Limits, Refuses};
    let calm = protocol.scene.calm;
    let replies: &[Reply] = match doing {
        // A request that could arrive after the lease's end is not made.
        Doing::Ask { .. } if in_time => &[Does, DoesUnheard, Refuses, Fails, Limits],
        Doing::LookFirst | Doing::Look { .. } => &[Does, Fails, Limits],
        _ => &[],
    };
    let possible = replies.iter().filter(|reply| match reply {
        Does => true,
        Limits => !calm && world.faults > 0,
        Refuses => !calm,
        DoesUnheard | Fails => !calm && world.faults > 0,
    });
    steps.extend(possible.map(|reply| Step::Github(which, *reply)));
    match doing {
        Doing::LookFirst | Doing::Look { .. } => {}
        // A worker out of time stops without a fault.
        Doing::Ask { .. } if in_time && (calm || world.faults == 0) => {}
        Doing::Ask { .. } => steps.push(Step::StopEarly(which)),
        Doing::End(..)
        | Doing::RetryOrExhaust
        | Doing::Release
        | Doing::HandOn
        | Doing::SendOn(_) => {
            use Luck::{AnswerLost, Dies, Fails, Good};
            let lucks: &[Luck] = match doing {
                Doing::SendOn(_) => &[Good, Dies, Fails],
                _ if repeats => &[Good],
                _ if calm => &[Good, AnswerLost],
                Doing::Release => &[Good, AnswerLost],
                _ => &[Good, Dies, AnswerLost, Fails],
            };
            Protocol::offer(world, lucks, steps, |luck| Step::Conclude(which, luck));
        }
    }
}

pub(crate) fn die(world: &mut World, which: usize) {
    world.faults -= 1;
    world.workers[which] = Worker::Idle;
}

/// Throttling uses up every delivery of a letter: the function never runs.
pub(crate) fn receive_in_vain(protocol: &Protocol, world: &mut World, id: u8) {
    world.faults -= 1;
    letter(world, id).receives = protocol.scene.max_receives;
}

fn letter(world: &mut World, id: u8) -> &mut Letter {
    let mut letters = world.letters.iter_mut();
    let letter = letters.find(|letter| letter.id == id);
    letter.expect("it is in the queue")
}

/// An idle worker receives a letter and claims the command.
pub(crate) fn receive(protocol: &Protocol, world: &mut World, id: u8, luck: Luck) {
    luck.spend(world);
    let letter = letter(world, id);
    letter.receives += 1;
    let delivery = Delivery {
        letter: id,
        stage: letter.stage,
        receives: letter.receives,
    };
    let margin = match protocol.lack {
        Lack::Margin => std::time::Duration::ZERO,
        _ => CLAIM_MARGIN,
    };
    let lease = Lease {
        token: world.new_token(),
        until: NOW + FUNCTION + margin,
    };
    let claim = Move::Claim {
        lease,
        stage: delivery.stage,
        now: NOW,
    };
    let idle = world.workers.iter().position(|one| *one == Worker::Idle);
    let which = idle.expect("a worker is idle");
    claims(protocol, world, which, delivery, first(world, claim), luck);
}

/// A worker retries its claim because the response was lost.
pub(crate) fn claim_again(protocol: &Protocol, world: &mut World, which: usize) {
    let Worker::Claims { delivery, again } = world.workers[which] else {
        return;
    };
    claims(protocol, world, which, delivery, again, Luck::Good);
}

fn claims(
    protocol: &Protocol,
    world: &mut World,
    which: usize,
    delivery: Delivery,
    tried: Try,
    luck: Luck,
) {
    let Move::Claim { lease, stage, now } = tried.made else {
        return;
    };
    let by = By {
        claim: None,
        stage: Some(stage),
        timeouts: protocol.scene.timeouts,
    };
    let heard = protocol.write(world, tried, None, by);
    let row = world.row.as_ref().expect("a message names a row");
    let claimed = row.state.clone();
    world.workers[which] = if luck.loses(heard, world) {
        let again = tried;
        Worker::Claims { delivery, again }
    } else if heard == Heard::Made {
        let earlier = match protocol.lack {
            Lack::LookingFirst => Asked::No,
            _ => Asked::earlier(&claimed),
        };
        let doing = match earlier {
            Asked::Perhaps => Doing::LookFirst,
            _ => Doing::Ask { earlier },
        };
        Worker::Works {
            delivery,
            lease,
            reaches: now + FUNCTION + CLAIM_MARGIN,
            doing,
            reports: protocol.scene.reports,
            again: None,
        }
    } else {
        if claimed.obstacle(stage, now).is_final() {
            world.acknowledge(delivery.letter);
        }
        Worker::Idle
    };
}

/// Reports progress. A worker that learns of its lost lease stops.
pub(crate) fn report(protocol: &Protocol, world: &mut World, which: usize, luck: Luck) {
    luck.spend(world);
    let Worker::Works {
        delivery,
        lease,
        again,
        ..
    } = world.workers[which]
    else {
        return;
    };
    let made = Move::Heartbeat { lease, now: NOW };
    let tried = again.unwrap_or_else(|| first(world, made));
    let heard = protocol.write(world, tried, None, protocol.by(lease, delivery));
    let lost = luck.loses(heard, world);
    let worker = &mut world.workers[which];
    if heard == Heard::Refused {
        *worker = Worker::Idle;
    } else if let Worker::Works { reports, again, .. } = worker {
        *reports = false;
        *again = lost.then_some(tried);
    }
}

/// A worker stops before the request: out of time, or the store or GitHub's sign-in fails.
pub(crate) fn stop_early(world: &mut World, which: usize) {
    if let Worker::Works { reaches, .. } = world.workers[which] {
        world.faults -= u8::from(NOW < reaches);
    }
    go_on(world, which, Doing::RetryOrExhaust);
}

pub(crate) fn go_on(world: &mut World, which: usize, next: Doing) {
    if let Worker::Works {
        doing,
        reports,
        again,
        ..
    } = &mut world.workers[which]
    {
        (*doing, *reports, *again) = (next, false, None);
    }
}

/// A worker requests the dismissal, or reads the alert.
pub(crate) fn ask(protocol: &Protocol, world: &mut World, which: usize, reply: Reply) {
    let Worker::Works { doing, .. } = world.workers[which] else {
        return;
    };
    world.faults -= u8::from(matches!(reply, Reply::DoesUnheard | Reply::Fails));
    let next = match doing {
        Doing::LookFirst => match reply {
            Reply::Limits => limited(protocol, world, Asked::Perhaps),
            Reply::Fails => Doing::RetryOrExhaust,
            _ if world.alert == Alert::Open => Doing::Ask {
                earlier: Asked::Perhaps,
            },
            _ => judged(world, Asked::Perhaps),
        },
        Doing::Ask { earlier } => {
            let asked = match reply {
                Reply::Limits => return hand_on(protocol, world, which),
                Reply::Refuses => Asked::Refused(422),
                Reply::Fails => Asked::Perhaps,
                Reply::Does | Reply::DoesUnheard if world.alert == Alert::Anothers => {
                    Asked::Refused(409)
                }
                // Unlike the real one, this GitHub accepts a second dismissal and counts it.
                Reply::Does | Reply::DoesUnheard => {
                    world.alert = Alert::Ours;
                    world.effects += 1;
                    match reply {
                        Reply::Does => Asked::Accepted,
                        _ => Asked::Perhaps,
                    }
                }
            };
            match asked {
                Asked::Accepted => judged(world, asked),
                _ => Doing::Look { asked, earlier },
            }
        }
        Doing::Look { asked, earlier } => match reply {
            Reply::Limits => limited(protocol, world, asked),
            Reply::Fails => Doing::RetryOrExhaust,
            _ => {
                let asked =
                    asked.having_looked(world.alert.state() == AlertState::Dismissed, earlier);
                judged(world, asked)
            }
        },
        other => other,
    };
    go_on(world, which, next);
}

/// What the alert shows about the effect.
fn judged(world: &World, asked: Asked) -> Doing {
    let ours = asked.can_be_ours() && world.alert == Alert::Ours;
    match AlertChange::Dismiss.judge(Some(world.alert.state()), ours, asked) {
        Some(Judgement { code, effect, .. }) => Doing::End(code, effect),
        None => Doing::RetryOrExhaust,
    }
}

/// The rate limit ends in time. It may have come before or after a request for the dismissal.
fn limited(protocol: &Protocol, world: &mut World, asked: Asked) -> Doing {
    world.faults -= 1;
    if asked.may_hand_on() || protocol.lack == Lack::GivingBack {
        Doing::HandOn
    } else {
        Doing::RetryOrExhaust
    }
}

fn hand_on(protocol: &Protocol, world: &mut World, which: usize) {
    let next = limited(protocol, world, Asked::No);
    go_on(world, which, next);
}

impl Protocol {
    /// The worker as a writer, with its lease and its message.
    pub(crate) const fn by(&self, lease: Lease, delivery: Delivery) -> By {
        By {
            claim: Some(lease.token),
            stage: Some(delivery.stage),
            timeouts: self.scene.timeouts,
        }
    }
}
