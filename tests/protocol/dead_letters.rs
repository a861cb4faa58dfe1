//! The dead-letter consumer: ends the command of a message that has reached the maximum receive count.

use domain::{lifecycle::Move, result_code::ResultCode};

use crate::{
    canonical::NOW,
    ledger::{Heard, first},
    promises::By,
    protocol::{Luck, Protocol, Step},
    world::{DeadLetters, Try, World},
};

pub(crate) fn steps(protocol: &Protocol, world: &World, steps: &mut Vec<Step>) {
    let all = [Luck::Good, Luck::AnswerLost, Luck::Fails];
    if let DeadLetters::Exhausts { .. } = world.dead_letters {
        return steps.push(Step::DeadLetterAgain(Luck::Good));
    }
    let lucks = if protocol.scene.calm { &all[..2] } else { &all };
    for letter in &world.letters {
        if letter.receives == protocol.scene.max_receives {
            let take = |luck| Step::DeadLetter(letter.id, luck);
            Protocol::offer(world, lucks, steps, take);
        }
    }
}

pub(crate) fn take(protocol: &Protocol, world: &mut World, id: u8, luck: Luck) {
    luck.spend(world);
    let letter = world.letters.iter().find(|letter| letter.id == id);
    let made = Move::Exhaust {
        holder: None,
        stage: letter.expect("it is in the queue").stage,
        now: NOW,
    };
    exhaust(protocol, world, id, first(world, made), luck);
}

/// Retries the write whose response was lost.
pub(crate) fn again(protocol: &Protocol, world: &mut World, luck: Luck) {
    if let DeadLetters::Exhausts { letter, again } = world.dead_letters {
        world.dead_letters = DeadLetters::Idle;
        exhaust(protocol, world, letter, again, luck);
    }
}

/// With [`Luck::Fails`] the write is made, and the consumer dies before it acknowledges.
fn exhaust(protocol: &Protocol, world: &mut World, id: u8, tried: Try, luck: Luck) {
    let Move::Exhaust { stage, now, .. } = tried.made else {
        return;
    };
    let by = By {
        claim: None,
        stage: Some(stage),
        timeouts: protocol.scene.timeouts,
    };
    let ending = (ResultCode::QueueRetriesExhausted, None);
    let heard = protocol.write(world, tried, Some(ending), by);
    let row = world.row.as_ref().expect("a message names a row");
    let late = row.state.obstacle(stage, now).is_final();
    if luck.loses(heard, world) {
        let (letter, again) = (id, tried);
        world.dead_letters = DeadLetters::Exhausts { letter, again };
    } else if luck != Luck::Fails && (heard == Heard::Made || late) {
        world.acknowledge(id);
    }
}
