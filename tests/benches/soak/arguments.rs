//! What the soak is told.

use std::{fmt, fs, path::PathBuf};

use clap::Parser;

use crate::Result;

/// Lets many owners use a local stack in which everything goes wrong, and then checks every promise.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// For how long commands are asked for
    #[arg(long, default_value_t = 3.0)]
    pub(crate) minutes: f64,

    /// What everything random comes from; a random one unless given
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// Commands a second, at most
    #[arg(long, default_value_t = 14.0)]
    pub(crate) rate: f64,

    /// Owners, every fourth of them an organisation
    #[arg(long, default_value_t = 40)]
    pub(crate) owners: usize,

    /// An empty directory for the data; a temporary one unless given
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,

    /// Lets nothing go wrong
    #[arg(long)]
    pub(crate) calm: bool,

    /// What cargo tells every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// The timeouts of the deployment: shorter than the template's, so that a stall can happen and end within the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// Leaves time for both re-sends, after 75 s and 180 s.
    pub(crate) accepted_seconds: u64,
    /// Just above five receives of a queue that hides messages for 180 s: the template's inequality.
    pub(crate) running_seconds: u64,
}

/// Those of every soak.
pub(crate) const TIMEOUTS: Timeouts = Timeouts {
    accepted_seconds: 240,
    running_seconds: 960,
};

impl Arguments {
    /// Where the stack's files go.
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
