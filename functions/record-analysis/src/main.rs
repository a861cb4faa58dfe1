//! Wiring: the environment, the clients, the runtime.

use aws_lambda_events::event::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use record_analysis::{Config, Recorder};
use security_agent::{
    Timestamp,
    analyses::Analyses,
    audit::Audit,
    automation::Automation,
    aws::{Patience, Services},
    findings::Findings,
    ledger::Ledger,
    metrics::Meter,
    owners::Owners,
    queue::Sender,
    sqs::{self, Inbox},
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
    let recorder = Recorder {
        automation: Automation {
            ledger: Ledger::new(table.clone(), config.timeouts),
            owners: Owners::new(table.clone()),
            findings: Findings::new(table.clone()),
            analyses: Analyses::new(table.clone()),
            sender: Sender::new(queues.clone()),
            queue: config.analyse_queue,
            paused: config.paused,
        },
        audit: Audit::new(table),
        inbox: Inbox::new(queues, vec![config.queue]),
        dismiss_queue: config.dismiss_queue,
        malformed: config.malformed_queue,
        clock,
    };

    lambda_runtime::run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        let answer = sqs::each_message(&event.payload, async |delivery| {
            meter.measure(recorder.deliver(&delivery)).await
        });
        Ok::<_, Error>(answer.await)
    }))
    .await
}
