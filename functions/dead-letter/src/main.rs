//! Wiring: the environment, the clients, the runtime.

use aws_lambda_events::event::sqs::SqsEvent;
use dead_letter::{Config, DeadLetters};
use lambda_runtime::{Error, LambdaEvent};
use runtime::{
    aws::{Patience, Services},
    function::Function,
    queue::Sender,
    sqs::Inbox,
};
use store::{analyses::Analyses, audit::Audit, findings::Findings, ledger::Ledger};

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
    let inbox = vec![
        config.sync_dead_letters,
        config.dismiss_dead_letters,
        config.analyse_dead_letters,
    ];
    let dead_letters = DeadLetters {
        ledger: Ledger::new(table.clone(), config.timeouts),
        findings: Findings::new(table.clone()),
        analyses: Analyses::new(table.clone()),
        audit: Audit::new(table.clone()),
        inbox: Inbox::new(queues.clone(), inbox),
        sender: Sender::new(queues.clone()),
        malformed: config.malformed_queue,
        clock: clock.clone(),
    };
    function
        .serve(async |batch: LambdaEvent<SqsEvent>, _| {
            Ok::<_, Error>(dead_letters.settle_each(&batch.payload).await)
        })
        .await
}
