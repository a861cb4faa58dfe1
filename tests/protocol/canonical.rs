//! Merges states that behave alike: only intervals from now and the identity of holders matter.

use std::{
    hash::{DefaultHasher, Hash, Hasher as _},
    time::Duration,
};

use domain::{
    Timestamp,
    lifecycle::{Lease, Move},
};

use crate::world::{Api, DeadLetters, Reconciling, Try, Worker, World};

/// The moment that every state calls now.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(0);
/// Longer ago than any guard looks.
const LONG_AGO: Duration = Duration::from_secs(600);
/// The letter of a worker that is no longer in the queue.
const GONE: u8 = u8::MAX;

impl World {
    /// Returns the representative of this state.
    pub(crate) fn canonical(mut self) -> Self {
        let tried: Vec<_> = self.tried().map(|again| again.writer).collect();
        if let Some(row) = &mut self.row {
            row.writer = row.writer.filter(|writer| tried.contains(writer));
        }
        // A retried write may need the time of its first attempt.
        if tried.is_empty() {
            self.forget();
        }
        self.apis.sort_by_key(hashed);
        self.reconcilers.sort_by_key(hashed);
        let other = {
            let mut other = self.clone();
            other.workers.swap(0, 1);
            other.numbered()
        };
        let one = self.numbered();
        let key = |world: &Self| hashed(&(&world.workers, &world.letters));
        if key(&other) < key(&one) { other } else { one }
    }

    /// Lets time pass: everything is this much nearer, or longer ago.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.each_time(&mut |at, _| *at = *at - time);
        for reconciler in &mut self.reconcilers {
            reconciler.looked = false;
        }
    }

    /// Forgets how long ago a passed moment was.
    fn forget(&mut self) {
        self.each_time(&mut |at, asked| {
            let earliest = match asked {
                Asked::WhetherOver => NOW,
                Asked::HowLongAgo => NOW - LONG_AGO,
            };
            *at = (*at).max(earliest);
        });
    }

    /// Numbers letters by their place in a canonical order.
    fn numbered(mut self) -> Self {
        let with = |world: &Self, id: u8| {
            let with = |worker: &Worker| worker.delivery().is_some_and(|own| own.letter == id);
            [with(&world.workers[0]), with(&world.workers[1])]
        };
        let mut letters = self.letters.clone();
        letters.sort_by_key(|one| (one.stage, one.receives, with(&self, one.id)));
        let place = |id: u8| {
            let place = letters.iter().position(|letter| letter.id == id);
            place.map_or(GONE, |place| place as u8)
        };
        for worker in &mut self.workers {
            if let Worker::Claims { delivery, .. } | Worker::Works { delivery, .. } = worker {
                delivery.letter = place(delivery.letter);
            }
        }
        if let DeadLetters::Exhausts { letter, .. } = &mut self.dead_letters {
            *letter = place(*letter);
        }
        for (place, letter) in letters.iter_mut().enumerate() {
            letter.id = place as u8;
        }
        self.letters = letters;
        self
    }

    fn each_time(&mut self, visit: &mut impl FnMut(&mut Timestamp, Asked)) {
        use Asked::{HowLongAgo, WhetherOver};
        if let Some(row) = &mut self.row {
            let state = &mut row.state;
            visit(&mut state.deadline, WhetherOver);
            for at in [&mut state.due, &mut state.waiting_until] {
                at.iter_mut().for_each(|at| visit(at, WhetherOver));
            }
            if let Some(at) = &mut state.queued_at {
                visit(at, HowLongAgo);
            }
            for lease in state.lease.iter_mut().chain(&mut row.witnessed.claim) {
                visit(&mut lease.until, WhetherOver);
            }
            visit(&mut row.witnessed.queued, HowLongAgo);
            visit(&mut row.witnessed.progressed, HowLongAgo);
        }
        for api in &mut self.apis {
            match api {
                Api::Readmits { tried, .. } => of_move(&mut tried.made, visit),
                Api::Compensates { again, .. } => of_try(again, visit),
                Api::Idle | Api::Admits { .. } | Api::Sends { .. } => {}
            }
        }
        for worker in &mut self.workers {
            match worker {
                Worker::Idle => {}
                Worker::Claims { again, .. } => of_move(&mut again.made, visit),
                Worker::Works {
                    lease,
                    reaches,
                    again,
                    ..
                } => {
                    visit(&mut lease.until, WhetherOver);
                    visit(reaches, WhetherOver);
                    of_try(again, visit);
                }
            }
        }
        for reconciler in &mut self.reconcilers {
            if let Reconciling::Nominated { seen, again } = &mut reconciler.doing {
                visit(&mut seen.deadline, WhetherOver);
                if let Some(at) = &mut seen.queued_at {
                    visit(at, HowLongAgo);
                }
                of_try(again, visit);
            }
        }
        if let DeadLetters::Exhausts { again, .. } = &mut self.dead_letters {
            of_move(&mut again.made, visit);
        }
    }
}

/// What guards ask of a moment.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// Whether it has passed.
    WhetherOver,
    /// How long ago it was, within what matters.
    HowLongAgo,
}

fn of_try(tried: &mut Option<Try>, visit: &mut impl FnMut(&mut Timestamp, Asked)) {
    if let Some(tried) = tried {
        of_move(&mut tried.made, visit);
    }
}

fn of_move(made: &mut Move, visit: &mut impl FnMut(&mut Timestamp, Asked)) {
    let mut visit = |at: &mut Timestamp| visit(at, Asked::HowLongAgo);
    match made {
        Move::FailAdmission { .. } | Move::Settle { .. } => {}
        Move::Readmit { now, .. }
        | Move::Release { now, .. }
        | Move::Exhaust { now, .. }
        | Move::Stall { now } => visit(now),
        Move::Resend {
            queued_at,
            deadline,
            now,
            ..
        } => [queued_at, deadline, now].into_iter().for_each(visit),
        Move::Claim {
            lease: Lease { until, .. },
            now,
            ..
        }
        | Move::Heartbeat {
            lease: Lease { until, .. },
            now,
        } => [until, now].into_iter().for_each(visit),
        Move::Continue { at, now, .. } => [at, now].into_iter().for_each(visit),
    }
}

pub(crate) fn hashed(one: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    one.hash(&mut hasher);
    hasher.finish()
}
