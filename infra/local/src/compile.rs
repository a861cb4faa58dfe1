//! Builds the function binaries in the stack's own profile and target directory.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::Command;

/// Why the functions could not be built.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Cargo could not be run.
    #[error("cannot build the functions: cannot run {} in {}", cargo.display(), workspace.display())]
    Cargo {
        /// The cargo program.
        cargo: PathBuf,
        /// The folder to run it in.
        workspace: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Cargo failed and printed the reason.
    #[error("cannot build the functions in {}: cargo ended with {status}; its output is above", workspace.display())]
    Failed {
        /// The folder it ran in.
        workspace: PathBuf,
        /// Cargo's exit status.
        status: ExitStatus,
    },
    /// The stack's own binary is not in a cargo target directory.
    #[error("cannot build the functions: {} is not in a cargo target directory", .0.display())]
    Misplaced(PathBuf),
}

impl CompileError {
    /// What the user can do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Cargo { .. } => {
                "install Rust, or run existing binaries with --no-build or --binaries DIR"
            }
            Self::Failed { .. } | Self::Misplaced(_) => {
                "fix the error, or run existing binaries with --no-build or --binaries DIR"
            }
        }
    }
}

/// Builds every binary of the workspace into `binaries`, which is `<target>/<profile>`. Cargo's output goes to
/// standard error.
pub async fn compile(workspace: &Path, binaries: &Path) -> Result<(), CompileError> {
    let misplaced = || CompileError::Misplaced(binaries.to_owned());
    let target = binaries.parent().ok_or_else(misplaced)?;
    let folder = binaries.file_name().ok_or_else(misplaced)?;
    // `dev` is the only profile whose folder has another name.
    let profile = if folder == "debug" {
        OsString::from("dev")
    } else {
        folder.to_owned()
    };
    // If cargo started the stack, use the same toolchain.
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
