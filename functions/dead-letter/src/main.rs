//! Wiring: the environment, the clients, the runtime.

use aws_lambda_events::event::sqs::SqsEvent;
use dead_letter::{Config, DeadLetters};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use security_agent::{
    Timestamp,
    aws::{self, Patience},
    clock::Clock,
    ledger::Ledger,
    queue::Sender,
    sqs::Inbox,
    table::Table,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let aws = aws::load(Patience::BACKGROUND).await;
    let queues = aws_sdk_sqs::Client::new(&aws);
    #[expect(
        clippy::disallowed_methods,
        reason = "main reads the clock for everything below it"
    )]
    let machine: fn() -> Timestamp = Timestamp::now;
    let clock = Clock::new(machine);
    let table = Table::open(&aws, config.table, &clock).await;
    let inbox = vec![config.sync_dead_letters, config.scheduled_sync_dead_letters];
    let dead_letters = DeadLetters {
        ledger: Ledger::new(table, config.timeouts),
        inbox: Inbox::new(queues.clone(), inbox),
        sender: Sender::new(queues),
        malformed: config.malformed_queue,
        clock,
    };

    lambda_runtime::run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        Ok::<_, Error>(dead_letters.settle_each(&event.payload).await)
    }))
    .await
}
