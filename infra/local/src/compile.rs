//! Building the function binaries, in the profile and the target directory of the stack itself.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::Command;

/// Why there are no binaries to run.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Cargo could not be run.
    #[error("cannot run {} in {}, to build the functions", cargo.display(), workspace.display())]
    Cargo {
        /// The program.
        cargo: PathBuf,
        /// The folder it was to run in.
        workspace: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Cargo said why.
    #[error("cannot build the functions in {}: cargo ended with {status}, as it says above", workspace.display())]
    Failed {
        /// The folder it ran in.
        workspace: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
    /// The stack's binary lies where cargo would not put it.
    #[error("cannot build the functions: {} is not in a cargo target directory", .0.display())]
    Misplaced(PathBuf),
}

impl CompileError {
    /// What to do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Cargo { .. } => {
                "install Rust, or run what is built already with --no-build or --binaries DIR"
            }
            Self::Failed { .. } | Self::Misplaced(_) => {
                "mend that, or run what is built already with --no-build or --binaries DIR"
            }
        }
    }
}

/// Builds every binary of the workspace into `binaries`, which is `<target>/<profile>`. What cargo has to say goes
/// to standard error.
pub async fn compile(workspace: &Path, binaries: &Path) -> Result<(), CompileError> {
    let misplaced = || CompileError::Misplaced(binaries.to_owned());
    let target = binaries.parent().ok_or_else(misplaced)?;
    let folder = binaries.file_name().ok_or_else(misplaced)?;
    // The one profile whose folder has another name.
    let profile = if folder == "debug" {
        OsString::from("dev")
    } else {
        folder.to_owned()
    };
    // The toolchain that runs the stack, if cargo started it.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(&cargo)
        .args(["build", "--quiet", "--workspace", "--bins", "--profile"])
        .arg(profile)
        .arg("--target-dir")
        .arg(target)
        .current_dir(workspace)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|source| CompileError::Cargo {
            cargo: PathBuf::from(cargo),
            workspace: workspace.to_owned(),
            source,
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(CompileError::Failed {
            workspace: workspace.to_owned(),
            status,
        })
    }
}
