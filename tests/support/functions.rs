//! The functions' parts, wired to a test's own table and queues.

use std::convert::Infallible;

use domain::{
    Timestamp,
    command::{CommandQueue, PausedCommands},
};
use reconcile::Reconciler;
use runtime::{
    automation::Automation,
    quarantine::Quarantine,
    queue::{CommandQueues, QueueUrl, Sender},
    worker::Worker,
};
use store::{
    abandon::Cleaner,
    analyses::Analyses,
    audit::Audit,
    clock::Clock,
    erasure::Erasures,
    findings::Findings,
    ledger::{Abandoned, Ledger, LedgerError, Outcome},
    owners::Owners,
    table::Table,
};

use crate::{NOON, TIMEOUTS, TestQueues};

/// Automation over this table. It queues launches in `queue`.
pub fn automation(table: &Table, queues: &TestQueues, queue: &QueueUrl) -> Automation {
    Automation {
        ledger: Ledger::new(table.clone(), TIMEOUTS),
        owners: Owners::new(table.clone()),
        findings: Findings::new(table.clone()),
        analyses: Analyses::new(table.clone()),
        sender: queues.sender(),
        queue: queue.clone(),
        paused: PausedCommands::default(),
    }
}

/// A worker over this table that receives from `queue`. A message is delivered at most five times.
pub fn worker(
    table: Table,
    queues: &TestQueues,
    queue: &QueueUrl,
    malformed: &QueueUrl,
    clock: Clock,
) -> Worker {
    Worker {
        ledger: Ledger::new(table.clone(), TIMEOUTS),
        cleaner: Cleaner::new(&table),
        quarantine: quarantine(&table, queues.sender(), malformed),
        inbox: queues.inbox(vec![queue.clone()]),
        sender: queues.sender(),
        queue: queue.clone(),
        max_receives: 5,
        clock,
    }
}

/// The quarantine over this table. It keeps unusable messages in `queue`.
pub fn quarantine(table: &Table, sender: Sender, queue: &QueueUrl) -> Quarantine {
    Quarantine {
        ledger: Ledger::new(table.clone(), TIMEOUTS),
        cleaner: Cleaner::new(table),
        sender,
        queue: queue.clone(),
    }
}

/// The queue of each command type, as `queue` returns it.
pub fn command_queues(queue: impl Fn(CommandQueue) -> QueueUrl) -> CommandQueues {
    let Ok(queues) = CommandQueues::each(|which| Ok::<_, Infallible>(queue(which)));
    queues
}

/// The result of a move that ended a command in place of its worker, after the command's resources are released.
pub async fn cleaned_up(
    table: &Table,
    ended: Result<Outcome<Abandoned>, LedgerError>,
) -> Result<Outcome, LedgerError> {
    let clean_up = |abandoned| async { Cleaner::new(table).clean_up(abandoned, NOON).await };
    Ok(match ended? {
        Outcome::Applied(abandoned) => Outcome::Applied(clean_up(abandoned).await),
        Outcome::AlreadyApplied(abandoned) => Outcome::AlreadyApplied(clean_up(abandoned).await),
        Outcome::Refused(found) => Outcome::Refused(found),
        Outcome::Missing => Outcome::Missing,
    })
}

/// A reconciler over this table whose clock stands at noon. It queues everything but scheduled syncs in `queue`.
pub fn reconciler(
    table: Table,
    queues: &TestQueues,
    queue: &QueueUrl,
    scheduled: &QueueUrl,
) -> Reconciler {
    let noon: fn() -> Timestamp = || NOON;
    Reconciler {
        ledger: Ledger::new(table.clone(), TIMEOUTS),
        owners: Owners::new(table.clone()),
        automation: automation(&table, queues, queue),
        audit: Audit::new(table.clone()),
        cleaner: Cleaner::new(&table),
        erasures: Erasures::new(table),
        sender: queues.sender(),
        queues: command_queues(|_| queue.clone()),
        scheduled_queue: scheduled.clone(),
        callback_queue: queue.clone(),
        erase_queue: queue.clone(),
        clock: Clock::new(noon),
    }
}
