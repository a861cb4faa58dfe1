//! What the system costs: requests, capacity, time and memory, measured over HTTP against the local stack.
//!
//! `cargo bench --bench costs` prints the tables of docs/costs.md. It builds the functions in its own profile, runs the
//! real `local` binary beside them, and judges nothing but that the work was done: a command that fails, or findings
//! that are missing, end it with a message; a slow machine does not.

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
    // `cargo test --all-targets` runs it too, for nothing: it takes a minute.
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let binaries = tests::bench_binaries()?;
    requests::measure(&binaries).await?;
    latency::measure(&binaries).await
}
