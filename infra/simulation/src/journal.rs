//! The file in which a simulator stores its changes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Replaces the file's content, on disk and all at once, and opens it for writing. Creates its directory. Only the user
/// who runs the simulator can read it: a dataset may be an organisation's own, and sessions have callback tokens.
pub fn rewrite(path: &Path, content: &[u8]) -> io::Result<File> {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory)?;
    let unfinished = path.with_extension("unfinished");
    // A leftover file would keep its own mode, which may not be private.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(directory)?.sync_all()?;
    OpenOptions::new().write(true).open(path)
}
