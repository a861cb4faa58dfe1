//! How a worker concludes: settle, exhaust, release or continue, then acknowledge or not.

use std::time::Duration;

use domain::{
    lifecycle::{Lease, Move, Waits, is_last_delivery},
    result_code::ResultCode,
};

use crate::{
    canonical::NOW,
    ledger::{Ending, Heard, first},
    protocol::{Luck, Protocol},
    worker::go_on,
    world::{Delivery, Doing, Worker, World},
};

/// How long a rate limit lasts.
const LIMIT: Duration = Duration::from_secs(60);

/// The worker writes its conclusion, or sends the next message.
pub(crate) fn conclude(protocol: &Protocol, world: &mut World, which: usize, luck: Luck) {
    luck.spend(world);
    let Worker::Works {
        delivery,
        lease,
        doing,
        again,
        ..
    } = world.workers[which]
    else {
        return;
    };
    if let Doing::SendOn(stage) = doing {
        if luck != Luck::Fails {
            world.send(stage);
        }
        // If the send failed, the reconciler resends the message.
        return leave(world, which, luck, true);
    }
    let (made, ending) = decided(protocol, lease, delivery, doing);
    if luck == Luck::Fails {
        return match doing {
            Doing::RetryOrExhaust if matches!(made, Move::Release { .. }) => {
                leave(world, which, luck, false);
            }
            _ => go_on(world, which, Doing::Release),
        };
    }
    let tried = again.unwrap_or_else(|| first(world, made));
    let heard = protocol.write(world, tried, ending, protocol.by(lease, delivery));
    if luck.loses(heard, world) {
        if let Worker::Works { again, .. } = &mut world.workers[which] {
            *again = Some(tried);
        }
        return;
    }
    let row = world.row.as_ref().expect("it was claimed");
    let (stage, has_ended) = (row.state.stage, row.state.status.is_terminal());
    match (tried.made, heard) {
        (Move::Continue { .. }, Heard::Made) if luck != Luck::Dies => {
            go_on(world, which, Doing::SendOn(stage));
        }
        (Move::Settle { .. } | Move::Exhaust { .. }, Heard::Made) => {
            leave(world, which, luck, true);
        }
        // Fenced: if the command has ended, the message is done; if another worker has it, the message is that
        // worker's.
        (Move::Settle { .. } | Move::Exhaust { .. }, Heard::Refused) => {
            leave(world, which, luck, has_ended);
        }
        _ => leave(world, which, luck, false),
    }
}

/// The worker's last write.
fn decided(protocol: &Protocol, lease: Lease, delivery: Delivery, doing: Doing) -> (Move, Ending) {
    let (holder, now) = (lease.token, NOW);
    let (receives, most) = (delivery.receives, protocol.scene.max_receives);
    match doing {
        Doing::End(code, effect) => {
            let terminal = code.terminal();
            (
                Move::Settle { holder, terminal },
                Some((code, Some(effect))),
            )
        }
        Doing::RetryOrExhaust if is_last_delivery(receives.into(), most.into()) => {
            let exhaust = Move::Exhaust {
                holder: Some(holder),
                stage: delivery.stage,
                now,
            };
            (exhaust, Some((ResultCode::QueueRetriesExhausted, None)))
        }
        Doing::HandOn => {
            let hand_on = Move::Continue {
                holder,
                stage: delivery.stage,
                at: now + LIMIT,
                waits: Waits::UntilThen,
                now,
            };
            (hand_on, None)
        }
        _ => (Move::Release { holder, now }, None),
    }
}

/// Ends the delivery. A worker that dies here does not acknowledge it.
fn leave(world: &mut World, which: usize, luck: Luck, done: bool) {
    if let (Worker::Works { delivery, .. }, true) =
        (&world.workers[which], done && luck != Luck::Dies)
    {
        world.acknowledge(delivery.letter);
    }
    world.workers[which] = Worker::Idle;
}
