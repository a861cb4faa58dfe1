//! Wiring: the environment, the clients, the runtime.

use aws_lambda_events::event::sqs::SqsEvent;
use dead_letter::{Config, DeadLetters};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use security_agent::{
    Timestamp,
    analyses::Analyses,
    audit::Audit,
    aws::{Patience, Services},
    findings::Findings,
    ledger::Ledger,
    metrics::Meter,
    queue::Sender,
    sqs::Inbox,
    telemetry,
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
    let inbox = vec![
        config.sync_dead_letters,
        config.dismiss_dead_letters,
        config.analyse_dead_letters,
    ];
    let dead_letters = DeadLetters {
        ledger: Ledger::new(table.clone(), config.timeouts),
        findings: Findings::new(table.clone()),
        analyses: Analyses::new(table.clone()),
        audit: Audit::new(table),
        inbox: Inbox::new(queues.clone(), inbox),
        sender: Sender::new(queues),
        malformed: config.malformed_queue,
        clock,
    };

    lambda_runtime::run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        let settled = dead_letters.settle_each(&event.payload);
        Ok::<_, Error>(meter.measure(settled).await)
    }))
    .await
}
