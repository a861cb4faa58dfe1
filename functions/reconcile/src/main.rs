//! Wiring: the environment, the clients, the runtime.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use reconcile::{Config, Reconciler};
use security_agent::{
    Timestamp,
    analyses::Analyses,
    audit::Audit,
    automation::Automation,
    aws::{Patience, Services},
    erasure::Erasures,
    findings::Findings,
    ledger::Ledger,
    metrics::Meter,
    owners::Owners,
    queue::Sender,
    telemetry,
    worker::Invocation,
};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_env()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "main reads the clock for everything below it"
    )]
    let machine: fn() -> Timestamp = Timestamp::now;
    let meter = Meter::new(config.stack, machine);
    let Services {
        table,
        queues,
        clock,
        ..
    } = Services::open(config.table, Patience::BACKGROUND, machine).await;
    let ledger = Ledger::new(table.clone(), config.timeouts);
    let owners = Owners::new(table.clone());
    let sender = Sender::new(queues);
    let reconciler = Reconciler {
        automation: Automation {
            ledger: ledger.clone(),
            owners: owners.clone(),
            findings: Findings::new(table.clone()),
            analyses: Analyses::new(table.clone()),
            sender: sender.clone(),
            queue: config.queues.analyse.clone(),
            paused: config.paused,
        },
        ledger,
        owners,
        audit: Audit::new(table.clone()),
        erasures: Erasures::new(table),
        sender,
        queues: config.queues,
        scheduled_queue: config.scheduled_sync_queue,
        callback_queue: config.callback_queue,
        erase_queue: config.erase_queue,
        clock,
    };

    lambda_runtime::run(service_fn(async |tick: LambdaEvent<Value>| {
        let invocation = Invocation::of(tick.context.deadline, machine());
        Ok::<_, Error>(meter.measure(reconciler.reconcile(invocation)).await)
    }))
    .await
}
