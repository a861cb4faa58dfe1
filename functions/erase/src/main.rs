//! Wiring: the environment, the clients, the runtime.

use erase::{Config, Eraser};
use lambda_runtime::Error;
use runtime::{
    aws::{Patience, Services},
    function::Function,
    queue::Sender,
    sqs::Inbox,
};
use store::{erasure::Erasures, ledger::Ledger};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let function = Function::open(config.function, Patience::BACKGROUND).await;
    let Services {
        table,
        queues,
        clock,
        ..
    } = &function.services;
    let eraser = Eraser {
        ledger: Ledger::new(table.clone(), config.timeouts),
        erasures: Erasures::new(table.clone()),
        inbox: Inbox::new(queues.clone(), vec![config.queue.clone()]),
        sender: Sender::new(queues.clone()),
        queue: config.queue,
        malformed: config.malformed_queue,
        clock: clock.clone(),
    };
    function
        .read_queue(async |delivery, invocation| eraser.deliver(delivery, invocation).await)
        .await
}
