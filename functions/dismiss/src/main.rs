//! Wiring: the environment, the clients, the runtime.

use dismiss::{Config, Dismiss};
use github::Github;
use lambda_runtime::Error;
use runtime::{
    aws::{CallTimeouts, Services},
    function::Function,
    worker::Worker,
};
use store::{audit::Audit, findings::Findings, owners::Owners};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let function = Function::open(config.function, CallTimeouts::BACKGROUND).await;
    let Services { table, secrets, .. } = &function.services;
    let dismiss = Dismiss {
        worker: Worker::new(&function.services, config.worker),
        owners: Owners::new(table.clone()),
        findings: Findings::new(table.clone()),
        audit: Audit::new(table.clone()),
        github: Github::new(&config.github, secrets.clone())?,
    };
    function
        .read_queue(async |delivery, invocation| {
            dismiss.worker.deliver(&dismiss, delivery, invocation).await
        })
        .await
}
