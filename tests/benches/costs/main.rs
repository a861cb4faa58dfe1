//! The system's costs: requests, capacity, time and memory, measured over HTTP against the local stack.
//!
//! `cargo bench --bench costs` prints the tables of docs/costs.md. It builds the functions in its own profile and runs
//! the real `local` binary beside them. It fails if a command fails or findings are missing, never because a machine is
//! slow.

#![expect(clippy::print_stdout, reason = "the tables are its output")]

mod latency;
mod owner;
mod process;
mod requests;
mod stack;
mod table;
mod usage;

use std::{env, error::Error};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // `cargo test --all-targets` runs it too; skip it there, because it takes a minute.
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let binaries = tests::bench_binaries()?;
    requests::measure(&binaries).await?;
    latency::measure(&binaries).await
}
