//! The reconcile function: every minute, looks at what waits for attention and gives it some.
//!
//! `commands` sends again what nobody claimed and fails what ran past its deadline; `schedules` queues the scheduled
//! syncs that are due; `analyses` fails those that were lost, sends on what was called back and not recorded, and has
//! automation look for more; `erasures` resumes those that are not done. All read only what is due, from an index that may lag: what it names is a nomination, and the
//! guard of the write that follows decides. So any number of overlapping runs does what one would, and a run that stops
//! anywhere leaves the rest to the next.

mod analyses;
mod commands;
mod config;
mod erasures;
mod report;
mod schedules;

use std::{cell::RefCell, time::Duration};

use domain::Timestamp;
use futures::{StreamExt, stream};
use runtime::{
    automation::Automation,
    queue::{CommandQueues, QueueUrl, Sender},
    worker::Invocation,
};
use store::{
    abandon::Cleaner,
    audit::Audit,
    clock::Clock,
    erasure::Erasures,
    ledger::Ledger,
    owners::Owners,
    table::{DueKind, Item},
};
use telemetry::{
    chain,
    metrics::{self, Metric},
};
use tokio::time::Instant;
use tracing::{error, info};

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
    /// What starts by itself, and the stores of findings and analyses.
    pub automation: Automation,
    /// What was done, by whom.
    pub audit: Audit,
    /// Gives back what stalled commands hold.
    pub cleaner: Cleaner,
    /// Who is being erased.
    pub erasures: Erasures,
    /// Sends what is due.
    pub sender: Sender,
    /// Where commands are queued.
    pub queues: CommandQueues,
    /// Where scheduled syncs are queued.
    pub scheduled_queue: QueueUrl,
    /// Where call backs are queued.
    pub callback_queue: QueueUrl,
    /// Where erasures are queued.
    pub erase_queue: QueueUrl,
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
    /// One run. What is due of each kind is done beside the others, so that a flood of one cannot starve them.
    pub async fn reconcile(&self, invocation: Invocation) -> Report {
        let run = Run {
            now: self.clock.now(),
            work_until: invocation.deadline - WIND_UP,
            report: RefCell::default(),
        };
        tokio::join!(
            each_shard(&run, DueKind::Command, 4, async |shard| self
                .commands(&run, shard)
                .await),
            each_shard(&run, DueKind::Schedule, 2, async |shard| self
                .schedules(&run, shard)
                .await),
            each_shard(&run, DueKind::Analysis, 2, async |shard| self
                .analyses(&run, shard)
                .await),
            each_shard(&run, DueKind::Automation, 2, async |shard| self
                .automation(&run, shard)
                .await),
            each_shard(&run, DueKind::Erasure, 1, async |shard| self
                .erasures(&run, shard)
                .await),
        );
        let report = run.report.into_inner();
        measure(&report);
        info!(
            nominated = report.nominated,
            resent = report.resent,
            unsent = report.unsent,
            stalled = report.stalled,
            raced = report.raced,
            dispatched = report.dispatched,
            refused = report.refused,
            lost = report.lost,
            sent_on = report.sent_on,
            automated = report.automated,
            resumed = report.resumed,
            errors = report.errors,
            out_of_time = report.out_of_time,
            "reconciled"
        );
        report
    }
}

/// What a run says of itself. The ages are those of what it found due: of nothing, none.
fn measure(report: &Report) {
    metrics::record(Metric::OldestAcceptedAge(Duration::ZERO));
    metrics::record(Metric::OldestRunningAge(Duration::ZERO));
    metrics::record(Metric::ReconcilerCompleted);
    for _ in 0..report.errors {
        metrics::record(Metric::ReconcilerError);
    }
    if report.out_of_time {
        metrics::record(Metric::WorkLeftOver);
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

/// Takes a few shards of a kind at once, beginning with another one each minute: a few that are flooded cannot starve the
/// same others run after run.
async fn each_shard(run: &Run, kind: DueKind, at_once: usize, work: impl AsyncFn(u8)) {
    let count = kind.shards();
    let first = run.now.as_seconds().div_euclid(60).rem_euclid(count.into());
    let first = u8::try_from(first).expect("less than the number of shards");
    let shards = (0..count).map(|shard| (first + shard) % count);
    stream::iter(shards)
        .for_each_concurrent(at_once, |shard| work(shard))
        .await;
}

/// Goes through what is due of one shard, page after page and oldest first, while there is time. A page that cannot be read
/// ends it: the next run tries again.
async fn each_page<T, E: std::error::Error>(
    run: &Run,
    read: impl AsyncFn(Option<Item>) -> Result<(Vec<T>, Option<Item>), E>,
    attend: impl AsyncFn(Vec<T>),
) {
    let mut after = None;
    while run.has_time() {
        let (due, next) = match read(after).await {
            Ok(page) => page,
            Err(error) => {
                error!(error = %chain(&error), "a shard of what is due could not be read");
                return run.count(|report| report.errors += 1);
            }
        };
        let nominated = u32::try_from(due.len()).unwrap_or(u32::MAX);
        run.count(|report| report.nominated += nominated);
        attend(due).await;
        // A run that dies must not take with it what it counted.
        metrics::write_now();
        after = next;
        if after.is_none() {
            return;
        }
    }
}
