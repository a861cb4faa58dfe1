//! Wiring: the environment, the clients, the runtime.

use aws_lambda_events::event::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use security_agent::{
    Timestamp,
    aws::{self, Patience},
    clock::Clock,
    findings::Findings,
    github::Github,
    ledger::Ledger,
    owners::Owners,
    queue::Sender,
    repositories::Repositories,
    secrets::Secrets,
    sqs::{self, Inbox},
    table::Table,
    telemetry,
    worker::{Invocation, Worker},
};
use sync::{Config, Sync};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let aws = aws::load(Patience::BACKGROUND).await;
    let queues = aws_sdk_sqs::Client::new(&aws);
    let secrets = Secrets::new(aws_sdk_secretsmanager::Client::new(&aws));
    #[expect(
        clippy::disallowed_methods,
        reason = "main reads the clock for everything below it"
    )]
    let machine: fn() -> Timestamp = Timestamp::now;
    let clock = Clock::new(machine);
    let table = Table::open(&aws, config.table, &clock).await;
    let inbox = vec![
        config.sync_queue.clone(),
        config.scheduled_sync_queue.clone(),
    ];
    let sync = Sync {
        worker: Worker {
            ledger: Ledger::new(table.clone(), config.timeouts),
            inbox: Inbox::new(queues.clone(), inbox),
            sender: Sender::new(queues),
            queue: config.sync_queue,
            malformed: config.malformed_queue,
            max_receives: config.max_receives,
            clock,
        },
        scheduled_queue: config.scheduled_sync_queue,
        owners: Owners::new(table.clone()),
        repositories: Repositories::new(table.clone()),
        findings: Findings::new(table),
        github: Github::new(&config.github, secrets)?,
    };

    lambda_runtime::run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        let killed_at = event.context.deadline;
        let killed_at = Timestamp::from_millis(i64::try_from(killed_at).unwrap_or(i64::MAX));
        let invocation = Invocation::until(killed_at, machine());
        let answer = sqs::each_message(&event.payload, async |delivery| {
            sync.deliver(&delivery, invocation).await
        });
        Ok::<_, Error>(answer.await)
    }))
    .await
}
