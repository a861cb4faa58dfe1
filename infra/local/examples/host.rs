//! A stack with the probe function, for tests that stop it from outside. Prints the pid of every function process.

use std::io::{self, Write};
use std::path::Path;

use clap::Parser;
use local::arguments::Arguments;
use local::shutdown::Signals;
use local::stack::{Layout, Stack};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut signals = Signals::listen()?;
    let layout = Layout {
        workspace: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probe"),
        binaries: std::env::current_exe()?
            .parent()
            .ok_or("no folder")?
            .to_owned(),
    };
    let stack = Stack::start(&Arguments::parse(), &layout, |_| {}).await?;
    writeln!(io::stdout(), "ready {}", stack.url())?;
    signals.next().await;
    stack.stop().await;
    Ok(())
}
