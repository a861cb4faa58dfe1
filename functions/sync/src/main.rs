//! Wiring: the environment, the clients, the runtime.

use aws_lambda_events::event::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use security_agent::{
    Timestamp,
    analyses::Analyses,
    audit::Audit,
    automation::Automation,
    aws::{Patience, Services},
    findings::Findings,
    github::Github,
    ledger::Ledger,
    metrics::Meter,
    owners::Owners,
    queue::Sender,
    repositories::Repositories,
    sqs::{self, Inbox},
    telemetry,
    worker::{Invocation, Worker},
};
use sync::{Config, Sync};

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
    let inbox = vec![
        config.sync_queue.clone(),
        config.scheduled_sync_queue.clone(),
    ];
    let ledger = Ledger::new(table.clone(), config.timeouts);
    let sender = Sender::new(queues.clone());
    let (owners, findings) = (Owners::new(table.clone()), Findings::new(table.clone()));
    let sync = Sync {
        automation: Automation {
            ledger: ledger.clone(),
            owners: owners.clone(),
            findings: findings.clone(),
            analyses: Analyses::new(table.clone()),
            sender: sender.clone(),
            queue: config.analyse_queue,
            paused: config.paused,
        },
        worker: Worker {
            ledger,
            inbox: Inbox::new(queues, inbox),
            sender,
            queue: config.sync_queue,
            malformed: config.malformed_queue,
            max_receives: config.max_receives,
            clock,
        },
        scheduled_queue: config.scheduled_sync_queue,
        owners,
        repositories: Repositories::new(table.clone()),
        findings,
        audit: Audit::new(table),
        github: Github::new(&config.github, secrets)?,
    };

    lambda_runtime::run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        let invocation = Invocation::of(event.context.deadline, machine());
        let answer = sqs::each_message(&event.payload, async |delivery| {
            let work = sync.worker.deliver(&sync, &delivery, invocation);
            meter.measure(work).await
        });
        Ok::<_, Error>(answer.await)
    }))
    .await
}
