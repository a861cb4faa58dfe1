//! The simulators alone: see [`Arguments`] for what they are for.

use std::error::Error;
use std::io::{self, Write};

use clap::Parser;
use local::shutdown::Signals;
use local::simulators::{Arguments, Simulators};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    let mut signals = Signals::listen()?;
    let simulators = Simulators::start(&Arguments::parse()).await?;
    writeln!(io::stdout(), "{}", simulators.announcement())?;
    signals.next().await;
    simulators.stop().await;
    Ok(())
}
