//! Wiring: the environment, the clients, the runtime.

use domain::command::CommandType;
use lambda_runtime::{Error, LambdaEvent};
use reconcile::{Config, Reconciler};
use runtime::{
    automation::Automation,
    aws::{CallTimeouts, Services},
    function::Function,
    queue::Sender,
};
use serde_json::Value;
use store::{abandon::Cleaner, audit::Audit, erasure::Erasures, ledger::Ledger, owners::Owners};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let function = Function::open(config.function, CallTimeouts::BACKGROUND).await;
    let Services {
        table,
        queues,
        clock,
        ..
    } = &function.services;
    let reconciler = Reconciler {
        automation: Automation::new(
            &function.services,
            config.timeouts,
            config.queues.of(CommandType::StartAnalysis).clone(),
            config.paused,
        ),
        ledger: Ledger::new(table.clone(), config.timeouts),
        owners: Owners::new(table.clone()),
        audit: Audit::new(table.clone()),
        cleaner: Cleaner::new(table),
        erasures: Erasures::new(table.clone()),
        sender: Sender::new(queues.clone()),
        queues: config.queues,
        scheduled_queue: config.scheduled_sync_queue,
        callback_queue: config.callback_queue,
        erase_queue: config.erase_queue,
        clock: clock.clone(),
    };
    function
        .serve(async |_: LambdaEvent<Value>, invocation| {
            Ok::<_, Error>(reconciler.reconcile(invocation).await)
        })
        .await
}
