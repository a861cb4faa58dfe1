//! The options of the soak.

use std::{fmt, fs, path::PathBuf};

use clap::Parser;

use crate::Result;

/// Runs many owners on a local stack under faults, and then checks every promise
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// Minutes during which clients request commands
    #[arg(long, default_value_t = 3.0)]
    pub(crate) minutes: f64,

    /// The seed of everything random; random by default
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// The maximum number of commands a second
    #[arg(long, default_value_t = 14.0)]
    pub(crate) rate: f64,

    /// The number of owners, every fourth of them an organisation
    #[arg(long, default_value_t = 40)]
    pub(crate) owners: usize,

    /// An empty directory for the data; temporary by default
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,

    /// Injects no faults
    #[arg(long)]
    pub(crate) calm: bool,

    /// The account's Lambda concurrency, as a new account may have it; 0 is unlimited
    #[arg(long, default_value_t = 10)]
    pub(crate) concurrency: u32,

    /// Passed by cargo to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// The timeouts of the deployment: shorter than the template's, so that a stall can happen and end within the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// Leaves time for both resends, after 75 s and 180 s.
    pub(crate) accepted_seconds: u64,
    /// Just above five receives from a queue with a visibility timeout of 180 s: the template's inequality.
    pub(crate) running_seconds: u64,
}

/// The timeouts of every soak.
pub(crate) const TIMEOUTS: Timeouts = Timeouts {
    accepted_seconds: 240,
    running_seconds: 960,
};

impl Arguments {
    /// The directory of the stack's files.
    pub(crate) fn data_directory(&self, seed: u64) -> Result<PathBuf> {
        let given = self.data.clone();
        let data = given.unwrap_or_else(|| {
            let name = format!("soak-{seed}-{}", std::process::id());
            std::env::temp_dir().join(name)
        });
        fs::create_dir_all(&data)?;
        if fs::read_dir(&data)?.next().is_some() {
            return Err(format!("{} is not empty", data.display()).into());
        }
        Ok(data.canonicalize()?)
    }
}

impl fmt::Display for Timeouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            accepted_seconds,
            running_seconds,
        } = self;
        write!(
            f,
            "AcceptedTimeoutSeconds={accepted_seconds}, RunningTimeoutSeconds={running_seconds}"
        )
    }
}
