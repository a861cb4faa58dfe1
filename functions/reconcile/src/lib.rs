//! The reconcile function: every minute, looks at what waits for attention and gives it some.
//!
//! `commands` sends again what nobody claimed and fails what ran past its deadline; `schedules` queues the scheduled
//! syncs that are due. Both read only what is due, from an index that may lag: what it names is a nomination, and the
//! guard of the write that follows decides. So any number of overlapping runs does what one would, and a run that stops
//! anywhere leaves the rest to the next.

mod commands;
mod config;
mod report;
mod schedules;

use std::{cell::RefCell, time::Duration};

use futures::{StreamExt, stream};
use security_agent::{
    Timestamp,
    clock::Clock,
    ledger::Ledger,
    owners::Owners,
    queue::{QueueUrl, Sender},
    table::DUE_SHARDS,
    worker::Invocation,
};
use tokio::time::Instant;
use tracing::info;

pub use config::Config;
pub use report::Report;

/// How many rows one page of the index holds.
const PAGE: u32 = 50;
/// How long before its end an invocation begins nothing new.
const WIND_UP: Duration = Duration::from_secs(5);

/// The function's surroundings.
#[derive(Clone, Debug)]
pub struct Reconciler {
    /// The commands.
    pub ledger: Ledger,
    /// Whose scheduled syncs are due.
    pub owners: Owners,
    /// Sends what is due.
    pub sender: Sender,
    /// Where syncs that were asked for are queued.
    pub sync_queue: QueueUrl,
    /// Where scheduled syncs are queued.
    pub scheduled_queue: QueueUrl,
    /// The time.
    pub clock: Clock,
}

/// One run: its time, and what it counted so far.
#[derive(Debug)]
struct Run {
    /// What was due by this moment is this run's; what becomes due meanwhile is the next one's.
    now: Timestamp,
    work_until: Instant,
    report: RefCell<Report>,
}

impl Reconciler {
    /// One run. Syncs on schedule are dispatched beside the commands, so that a flood of either cannot starve the other.
    pub async fn reconcile(&self, invocation: Invocation) -> Report {
        let run = Run {
            now: self.clock.now(),
            work_until: invocation.killed - WIND_UP,
            report: RefCell::default(),
        };
        tokio::join!(
            each_shard(&run, 4, async |shard| self.commands(&run, shard).await),
            each_shard(&run, 2, async |shard| self.schedules(&run, shard).await),
        );
        let report = run.report.into_inner();
        info!(
            nominated = report.nominated,
            resent = report.resent,
            unsent = report.unsent,
            stalled = report.stalled,
            raced = report.raced,
            dispatched = report.dispatched,
            refused = report.refused,
            errors = report.errors,
            out_of_time = report.out_of_time,
            "reconciled"
        );
        report
    }
}

impl Run {
    fn count(&self, count: impl FnOnce(&mut Report)) {
        count(&mut self.report.borrow_mut());
    }

    /// Whether there is time to begin something. If not, the report says that something was left.
    fn has_time(&self) -> bool {
        let has_time = Instant::now() < self.work_until;
        if !has_time {
            self.count(|report| report.out_of_time = true);
        }
        has_time
    }
}

/// Takes a few shards at once, beginning with another one each minute: a few that are flooded cannot starve the same
/// others run after run.
async fn each_shard(run: &Run, at_once: usize, work: impl AsyncFn(u8)) {
    let first = run
        .now
        .as_seconds()
        .div_euclid(60)
        .rem_euclid(DUE_SHARDS.into());
    let first = u8::try_from(first).expect("less than the number of shards");
    let shards = (0..DUE_SHARDS).map(|shard| (first + shard) % DUE_SHARDS);
    stream::iter(shards)
        .for_each_concurrent(at_once, |shard| work(shard))
        .await;
}
