//! Wiring: the environment, the clients, the runtime.

use agent::Agent;
use erase::{Config, Eraser};
use lambda_runtime::Error;
use runtime::{
    aws::{CallTimeouts, Services},
    function::Function,
    quarantine::Quarantine,
    queue::Sender,
    sqs::Inbox,
};
use store::erasure::Erasures;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let function = Function::open(config.function, CallTimeouts::BACKGROUND).await;
    let Services {
        table,
        queues,
        secrets,
        clock,
        ..
    } = &function.services;
    let eraser = Eraser {
        erasures: Erasures::new(table.clone()),
        inbox: Inbox::new(queues.clone(), vec![config.queue.clone()]),
        sender: Sender::new(queues.clone()),
        queue: config.queue,
        quarantine: Quarantine::new(&function.services, config.timeouts, config.malformed_queue),
        agent: Agent::new(&config.agent, secrets.clone())?,
        clock: clock.clone(),
    };
    function
        .read_queue(async |delivery, invocation| eraser.deliver(delivery, invocation).await)
        .await
}
