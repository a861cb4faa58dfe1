//! Wiring: the environment, the clients, the runtime.

use aws_lambda_events::event::sqs::SqsEvent;
use dead_letter::{Config, DeadLetters};
use lambda_runtime::{Error, LambdaEvent};
use runtime::{
    aws::{CallTimeouts, Services},
    function::Function,
    quarantine::Quarantine,
    sqs::Inbox,
};
use store::{abandon::Cleaner, ledger::Ledger};

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
    let (services, timeouts) = (&function.services, config.timeouts);
    let dead_letters = DeadLetters {
        ledger: Ledger::new(table.clone(), timeouts),
        cleaner: Cleaner::new(table),
        inbox: Inbox::new(queues.clone(), config.dead_letters),
        quarantine: Quarantine::new(services, timeouts, config.malformed_queue),
        clock: clock.clone(),
    };
    function
        .serve(async |batch: LambdaEvent<SqsEvent>, _| {
            Ok::<_, Error>(dead_letters.settle_each(&batch.payload).await)
        })
        .await
}
