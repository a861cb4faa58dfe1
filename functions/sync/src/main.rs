//! Wiring: the environment, the clients, the runtime.

use github::Github;
use lambda_runtime::Error;
use runtime::{
    automation::Automation,
    aws::{CallTimeouts, Services},
    function::Function,
    sqs::Inbox,
    worker::Worker,
};
use store::{audit::Audit, findings::Findings, owners::Owners, repositories::Repositories};
use sync::{Config, Sync};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let function = Function::open(config.function, CallTimeouts::BACKGROUND).await;
    let Services {
        table,
        queues,
        secrets,
        ..
    } = &function.services;
    let (timeouts, queue) = (config.worker.timeouts, config.worker.queue.clone());
    let both = vec![queue, config.scheduled_sync_queue.clone()];
    let sync = Sync {
        worker: Worker {
            inbox: Inbox::new(queues.clone(), both),
            ..Worker::new(&function.services, config.worker)
        },
        scheduled_queue: config.scheduled_sync_queue,
        owners: Owners::new(table.clone()),
        repositories: Repositories::new(table.clone()),
        findings: Findings::new(table.clone()),
        audit: Audit::new(table.clone()),
        automation: Automation::new(
            &function.services,
            timeouts,
            config.analyse_queue,
            config.paused,
        ),
        github: Github::new(&config.github, secrets.clone())?,
    };
    function
        .read_queue(async |delivery, invocation| {
            sync.worker.deliver(&sync, delivery, invocation).await
        })
        .await
}
