//! Wiring: the environment, the clients, the runtime.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use reconcile::{Config, Reconciler};
use security_agent::{
    Timestamp,
    aws::{self, Patience},
    clock::Clock,
    ledger::Ledger,
    owners::Owners,
    queue::Sender,
    table::Table,
    telemetry,
    worker::Invocation,
};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let aws = aws::load(Patience::BACKGROUND).await;
    #[expect(
        clippy::disallowed_methods,
        reason = "main reads the clock for everything below it"
    )]
    let machine: fn() -> Timestamp = Timestamp::now;
    let clock = Clock::new(machine);
    let table = Table::open(&aws, config.table, &clock).await;
    let reconciler = Reconciler {
        ledger: Ledger::new(table.clone(), config.timeouts),
        owners: Owners::new(table),
        sender: Sender::new(aws_sdk_sqs::Client::new(&aws)),
        sync_queue: config.sync_queue,
        scheduled_queue: config.scheduled_sync_queue,
        clock,
    };

    lambda_runtime::run(service_fn(async |tick: LambdaEvent<Value>| {
        let killed_at = i64::try_from(tick.context.deadline).unwrap_or(i64::MAX);
        let killed_at = Timestamp::from_millis(killed_at);
        // The platform's moment is by the machine's clock, whatever DynamoDB's says.
        let invocation = Invocation::until(killed_at, machine());
        Ok::<_, Error>(reconciler.reconcile(invocation).await)
    }))
    .await
}
