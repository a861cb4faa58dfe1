//! Wiring: the environment, the clients, the runtime.

use aws_lambda_events::event::sqs::SqsEvent;
use erase::{Config, Eraser};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use security_agent::{
    Timestamp,
    aws::{Patience, Services},
    erasure::Erasures,
    ledger::Ledger,
    metrics::Meter,
    queue::Sender,
    sqs::{self, Inbox},
    telemetry,
    worker::Invocation,
};

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
    let eraser = Eraser {
        ledger: Ledger::new(table.clone(), config.timeouts),
        erasures: Erasures::new(table),
        inbox: Inbox::new(queues.clone(), vec![config.queue.clone()]),
        sender: Sender::new(queues),
        queue: config.queue,
        malformed: config.malformed_queue,
        clock,
    };

    lambda_runtime::run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        let invocation = Invocation::of(event.context.deadline, machine());
        let answer = sqs::each_message(&event.payload, async |delivery| {
            meter.measure(eraser.deliver(&delivery, invocation)).await
        });
        Ok::<_, Error>(answer.await)
    }))
    .await
}
