//! Wiring: the environment and the runtime.

use dashboard::{Dashboard, Request, config::Config};
use lambda_runtime::{Error, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let dashboard = Dashboard::new(&Config::from_env()?);

    lambda_runtime::run(service_fn(async |event: LambdaEvent<Request>| {
        Ok::<_, Error>(dashboard.answer(&event.payload))
    }))
    .await
}
