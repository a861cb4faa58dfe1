//! Wiring: the environment, the clients, the runtime.

use connect::{Config, Connector};
use github::Github;
use lambda_runtime::{Error, LambdaEvent};
use runtime::{
    aws::{CallTimeouts, Services},
    function,
};
use serde_json::Value;
use store::{owners::Owners, repositories::Repositories};
use telemetry::chain;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let Services {
        table,
        secrets,
        clock,
        ..
    } = Services::open(config.table, CallTimeouts::BACKGROUND, function::machine()).await;
    let connector = Connector {
        owners: Owners::new(table.clone()),
        repositories: Repositories::new(table),
        github: Github::new(&config.github, secrets)?,
        clock,
    };

    function::run(async |event: LambdaEvent<Value>, invocation| {
        let connected = connector.connect(event.payload, invocation.work_until());
        // The answer goes to the operator, so it has the whole chain of causes, which contains no secrets.
        connected.await.map_err(|error| Error::from(chain(&error)))
    })
    .await
}
