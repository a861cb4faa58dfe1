//! Wiring: the environment, the clients, the runtime.

use aws_lambda_events::event::sqs::SqsEvent;
use dismiss::{Config, Dismiss};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use security_agent::{
    Timestamp,
    audit::Audit,
    aws::{Patience, Services},
    findings::Findings,
    github::Github,
    ledger::Ledger,
    metrics::Meter,
    owners::Owners,
    queue::Sender,
    sqs::{self, Inbox},
    telemetry,
    worker::{Invocation, Worker},
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
        secrets,
        clock,
    } = Services::open(config.table, Patience::BACKGROUND, machine).await;
    let dismiss = Dismiss {
        worker: Worker {
            ledger: Ledger::new(table.clone(), config.timeouts),
            inbox: Inbox::new(queues.clone(), vec![config.queue.clone()]),
            sender: Sender::new(queues),
            queue: config.queue,
            malformed: config.malformed_queue,
            max_receives: config.max_receives,
            clock,
        },
        owners: Owners::new(table.clone()),
        findings: Findings::new(table.clone()),
        audit: Audit::new(table),
        github: Github::new(&config.github, secrets)?,
    };

    lambda_runtime::run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        let invocation = Invocation::of(event.context.deadline, machine());
        let answer = sqs::each_message(&event.payload, async |delivery| {
            let work = dismiss.worker.deliver(&dismiss, &delivery, invocation);
            meter.measure(work).await
        });
        Ok::<_, Error>(answer.await)
    }))
    .await
}
