//! Runs the simulators without the stack: see [`Arguments`].

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use local::shutdown::Signals;
use local::simulators::{Arguments, Simulators};
use local::start_error::StartError;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let chain = local::chain(&error);
            // Standard error may be closed; that is no reason to panic.
            let _ = writeln!(io::stderr(), "error: {chain}; {}", error.advice());
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), StartError> {
    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    let simulators = Simulators::start(arguments).await?;
    writeln!(io::stdout(), "{}", simulators.announcement()).map_err(StartError::Output)?;
    signals.next().await;
    simulators.stop().await;
    Ok(())
}
