//! Wiring: the environment, the clients, the runtime.

use connect::{Config, Connector, Request};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use security_agent::{
    Timestamp,
    aws::{Patience, Services},
    github::Github,
    owners::Owners,
    repositories::Repositories,
    telemetry::{self, chain},
    worker::Invocation,
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
    let Services {
        table,
        secrets,
        clock,
        ..
    } = Services::open(config.table, Patience::BACKGROUND, machine).await;
    let connector = Connector {
        owners: Owners::new(table.clone()),
        repositories: Repositories::new(table),
        github: Github::new(&config.github, secrets)?,
        clock,
    };

    lambda_runtime::run(service_fn(async |event: LambdaEvent<Request>| {
        let invocation = Invocation::of(event.context.deadline, machine());
        let connected = connector.connect(event.payload, invocation.work_until());
        // The answer goes to the operator: the whole chain of causes, which holds no secrets.
        connected.await.map_err(|error| Error::from(chain(&error)))
    }))
    .await
}
