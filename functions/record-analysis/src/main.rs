//! Wiring: the environment, the clients, the runtime.

use lambda_runtime::Error;
use record_analysis::{Config, Recorder};
use runtime::{
    automation::Automation,
    aws::{CallTimeouts, Services},
    function::Function,
    quarantine::Quarantine,
    sqs::Inbox,
};
use store::audit::Audit;

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
    let recorder = Recorder {
        automation: Automation::new(
            &function.services,
            config.timeouts,
            config.analyse_queue,
            config.paused,
        ),
        audit: Audit::new(table.clone()),
        inbox: Inbox::new(queues.clone(), vec![config.queue]),
        dismiss_queue: config.dismiss_queue,
        quarantine: Quarantine::new(&function.services, config.timeouts, config.malformed_queue),
        clock: clock.clone(),
    };
    function
        .read_queue(async |delivery, _| recorder.deliver(delivery).await)
        .await
}
