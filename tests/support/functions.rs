//! Functions over a table and queues of a test's own.

use domain::{Timestamp, command::PausedCommands};
use reconcile::Reconciler;
use runtime::{
    automation::Automation,
    queue::{CommandQueues, QueueUrl},
    worker::Worker,
};
use store::{
    analyses::Analyses, audit::Audit, clock::Clock, erasure::Erasures, findings::Findings,
    ledger::Ledger, owners::Owners, table::Table,
};

use crate::{NOON, TIMEOUTS, TestQueues};

/// What starts by itself, over this table; launches are queued in `queue`.
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

/// What stands around a worker over this table, whose deliveries come from `queue`. A message is delivered five times.
pub fn worker(
    table: Table,
    queues: &TestQueues,
    queue: &QueueUrl,
    malformed: &QueueUrl,
    clock: Clock,
) -> Worker {
    Worker {
        ledger: Ledger::new(table, TIMEOUTS),
        inbox: queues.inbox(vec![queue.clone()]),
        sender: queues.sender(),
        queue: queue.clone(),
        malformed: malformed.clone(),
        max_receives: 5,
        clock,
    }
}

/// A reconciler at noon, over this table; everything but scheduled syncs is queued in `queue`.
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
        erasures: Erasures::new(table),
        sender: queues.sender(),
        queues: CommandQueues {
            sync: queue.clone(),
            dismiss: queue.clone(),
            analyse: queue.clone(),
        },
        scheduled_queue: scheduled.clone(),
        callback_queue: queue.clone(),
        erase_queue: queue.clone(),
        clock: Clock::new(noon),
    }
}
