//! The reconcile function: handles, every minute, the rows that are due.
//!
//! `commands` sends messages of unclaimed commands again and fails commands past their deadline; `schedules` queues due
//! syncs; `analyses` fails lost analyses, sends unrecorded callbacks again and starts automatic analyses; `erasures`
//! resumes incomplete erasures. All read an index that may lag behind the rows: it only nominates a row, and the guard
//! of the write decides. So overlapping runs are safe, and a run that stops anywhere leaves the rest to the next.

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
/// How long before its deadline an invocation stops starting work.
const WIND_UP: Duration = Duration::from_secs(5);

/// The function's dependencies.
#[derive(Clone, Debug)]
pub struct Reconciler {
    /// The commands.
    pub ledger: Ledger,
    /// The owners, with the times of their scheduled syncs.
    pub owners: Owners,
    /// Starts automatic commands; has the stores of findings and analyses.
    pub automation: Automation,
    /// The audit events.
    pub audit: Audit,
    /// Frees what stalled commands hold.
    pub cleaner: Cleaner,
    /// The erasures.
    pub erasures: Erasures,
    /// Sends messages.
    pub sender: Sender,
    /// The queues of commands.
    pub queues: CommandQueues,
    /// The queue of scheduled syncs.
    pub scheduled_queue: QueueUrl,
    /// The queue of callbacks.
    pub callback_queue: QueueUrl,
    /// The queue of erasures.
    pub erase_queue: QueueUrl,
    /// DynamoDB's time.
    pub clock: Clock,
}

/// One run: its time limit and its counts.
#[derive(Debug)]
struct Run {
    /// The run handles rows due by this time. Rows that become due later are the next run's.
    now: Timestamp,
    work_until: Instant,
    report: RefCell<Report>,
}

impl Reconciler {
    /// Performs one run. Handles all kinds concurrently, so that a flood of one kind cannot starve the others.
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

/// Records the run's metrics. The ages are recorded as zero first, for a run that finds nothing due.
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

    /// Whether there is time to start more work. If not, the report says that work is left over.
    fn has_time(&self) -> bool {
        let has_time = Instant::now() < self.work_until;
        if !has_time {
            self.count(|report| report.out_of_time = true);
        }
        has_time
    }
}

/// Handles a few shards of a kind at once, starting with another one each minute, so that flooded shards do not starve
/// the same others in every run.
async fn each_shard(run: &Run, kind: DueKind, at_once: usize, work: impl AsyncFn(u8)) {
    let count = kind.shards();
    let first = run.now.as_seconds().div_euclid(60).rem_euclid(count.into());
    let first = u8::try_from(first).expect("less than the number of shards");
    let shards = (0..count).map(|shard| (first + shard) % count);
    stream::iter(shards)
        .for_each_concurrent(at_once, |shard| work(shard))
        .await;
}

/// Handles one shard's due rows page by page, oldest first, while there is time. A page that cannot be read ends the
/// shard; the next run retries it.
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
                error!(error = %chain(&error), "cannot read a shard of the due index; the next run retries it");
                return run.count(|report| report.errors += 1);
            }
        };
        let nominated = u32::try_from(due.len()).unwrap_or(u32::MAX);
        run.count(|report| report.nominated += nominated);
        attend(due).await;
        // Written after each page, so that a run that dies later does not lose these counts.
        metrics::write_now();
        after = next;
        if after.is_none() {
            return;
        }
    }
}
