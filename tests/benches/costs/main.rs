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

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::Command,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // `cargo test --all-targets` runs it too, for nothing: it takes a minute.
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let binaries = build()?;
    requests::measure(&binaries).await?;
    latency::measure(&binaries).await
}

/// Builds every binary of the workspace beside this one and says where they are.
fn build() -> Result<PathBuf> {
    let benchmark = env::current_exe()?;
    let folders: Vec<_> = benchmark.ancestors().skip(2).take(2).collect();
    let [binaries, target] = folders[..] else {
        return Err(format!("{} is not in a target directory", benchmark.display()).into());
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--workspace", "--bins"])
        .args(["--profile", "bench", "--target-dir"])
        .arg(target)
        .current_dir(workspace)
        .status()?;
    if status.success() {
        Ok(binaries.to_owned())
    } else {
        Err(format!("the binaries do not build ({status})").into())
    }
}
