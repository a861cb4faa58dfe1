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
    #[error("cannot run cargo")]
    Cargo(#[from] io::Error),
    /// Cargo said why.
    #[error("the functions do not build ({0})")]
    Failed(ExitStatus),
    /// The stack's binary lies where cargo would not put it.
    #[error("{0} is not in a cargo target directory; use --no-build")]
    Misplaced(PathBuf),
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
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--workspace", "--bins", "--profile"])
        .arg(profile)
        .arg("--target-dir")
        .arg(target)
        .current_dir(workspace)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await?;
    if status.success() {
        Ok(())
    } else {
        Err(CompileError::Failed(status))
    }
}
