//! Wiring: the environment, the clients, the runtime.

use agent::{Agent, callback_token::CallbackTokens};
use analyse::{Analyse, Config};
use github::Github;
use lambda_runtime::Error;
use runtime::{
    aws::{CallTimeouts, Services},
    function::Function,
    worker::Worker,
};
use store::{analyses::Analyses, audit::Audit, findings::Findings, owners::Owners};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let function = Function::open(config.function, CallTimeouts::BACKGROUND).await;
    let Services { table, secrets, .. } = &function.services;
    let analyse = Analyse {
        worker: Worker::new(&function.services, config.worker),
        owners: Owners::new(table.clone()),
        findings: Findings::new(table.clone()),
        analyses: Analyses::new(table.clone()),
        audit: Audit::new(table.clone()),
        github: Github::new(&config.github, secrets.clone())?,
        agent: Agent::new(&config.agent, secrets.clone())?,
        callback_tokens: CallbackTokens::new(secrets.clone(), config.callback_keys),
        callback_url: config.callback_url,
    };
    function
        .read_queue(async |delivery, invocation| {
            analyse.worker.deliver(&analyse, delivery, invocation).await
        })
        .await
}
