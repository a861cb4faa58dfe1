//! The HTTP function.

use std::time::Duration;

use api::{App, config::Config, cursor::Cursors, gateway};
use lambda_http::{Error, lambda_runtime, service_fn};
use security_agent::{
    Timestamp,
    aws::{self, Patience},
    clock::Clock,
    findings::Findings,
    ledger::Ledger,
    owners::Owners,
    queue::Sender,
    repositories::Repositories,
    secrets::Secrets,
    table::Table,
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
    let aws = aws::load(PATIENCE).await;
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock is read here and nowhere below"
    )]
    let machine: fn() -> Timestamp = Timestamp::now;
    let clock = Clock::new(machine);
    let table = Table::open(&aws, config.table, &clock).await;
    let secrets = Secrets::new(aws_sdk_secretsmanager::Client::new(&aws));
    let router = api::router(App {
        ledger: Ledger::new(table.clone(), config.timeouts),
        owners: Owners::new(table.clone()),
        repositories: Repositories::new(table.clone()),
        findings: Findings::new(table),
        sender: Sender::new(aws_sdk_sqs::Client::new(&aws)),
        sync_queue: config.sync_queue,
        cursors: Cursors::new(secrets, config.cursor_key),
    });

    let handler = service_fn(move |event| gateway::answer(router.clone(), event, clock.now()));
    lambda_runtime::run(handler).await
}
