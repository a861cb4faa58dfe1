//! The HTTP function.

use std::time::Duration;

use api::{App, config::Config, cursor::Cursors, gateway};
use lambda_http::{Error, lambda_runtime, service_fn};
use security_agent::{
    Timestamp,
    analyses::Analyses,
    audit::Audit,
    aws::{Patience, Services},
    capability::Capabilities,
    erasure::Erasures,
    findings::Findings,
    ledger::Ledger,
    metrics::Meter,
    owners::Owners,
    queue::Sender,
    repositories::Repositories,
    telemetry,
};

/// A save, an admission and its compensation still end within the function's own timeout, so that a caller is always
/// told.
const PATIENCE: Patience = Patience {
    per_try: Duration::from_millis(1_200),
    per_call: Duration::from_millis(2_500),
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_env()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock is read here and nowhere below"
    )]
    let machine: fn() -> Timestamp = Timestamp::now;
    let meter = Meter::new(config.stack, machine);
    let Services {
        table,
        queues,
        secrets,
        clock,
    } = Services::open(config.table, PATIENCE, machine).await;
    let router = api::router(App {
        ledger: Ledger::new(table.clone(), config.timeouts),
        owners: Owners::new(table.clone()),
        repositories: Repositories::new(table.clone()),
        findings: Findings::new(table.clone()),
        analyses: Analyses::new(table.clone()),
        audit: Audit::new(table.clone()),
        erasures: Erasures::new(table),
        sender: Sender::new(queues),
        queues: config.queues,
        callback_queue: config.callback_queue,
        erase_queue: config.erase_queue,
        capabilities: Capabilities::new(secrets.clone(), config.callback_keys),
        paused: config.paused,
        cursors: Cursors::new(secrets, config.cursor_key),
    });

    lambda_runtime::run(service_fn(async |event| {
        let answer = gateway::answer(router.clone(), event, clock.now());
        meter.measure(answer).await
    }))
    .await
}
