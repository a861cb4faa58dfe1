//! Wiring: the environment, the clients, the router.

use std::time::Duration;

use agent::callback_token::CallbackTokens;
use api::{App, config::Config, cursor::Cursors, gateway};
use lambda_http::Error;
use runtime::{
    aws::{CallTimeouts, Services},
    function::Function,
    queue::Sender,
};
use store::{
    analyses::Analyses, audit::Audit, erasure::Erasures, findings::Findings, ledger::Ledger,
    owners::Owners, repositories::Repositories,
};

/// Short enough that a save, an admission and its compensation end within the function's timeout, so that every caller
/// gets an answer.
const TIMEOUTS: CallTimeouts = CallTimeouts {
    per_try: Duration::from_millis(1_200),
    per_call: Duration::from_millis(2_500),
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let function = Function::open(config.function, TIMEOUTS).await;
    let Services {
        table,
        queues,
        secrets,
        clock,
    } = &function.services;
    let clock = clock.clone();
    let router = api::router(App {
        ledger: Ledger::new(table.clone(), config.timeouts),
        owners: Owners::new(table.clone()),
        repositories: Repositories::new(table.clone()),
        findings: Findings::new(table.clone()),
        analyses: Analyses::new(table.clone()),
        audit: Audit::new(table.clone()),
        erasures: Erasures::new(table.clone()),
        sender: Sender::new(queues.clone()),
        queues: config.queues,
        callback_queue: config.callback_queue,
        erase_queue: config.erase_queue,
        callback_tokens: CallbackTokens::new(secrets.clone(), config.callback_keys),
        paused: config.paused,
        cursors: Cursors::new(secrets.clone(), config.cursor_key),
    });

    function
        .serve(async |event, _| gateway::answer(router.clone(), event, clock.now()).await)
        .await
}
