//! The directory for the data that outlives a stack.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A directory, locked by this stack while it runs.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    /// Whether dropping this value removes the directory.
    temporary: bool,
    /// Holds the lock; the system releases it however the process ends.
    _lock: File,
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        if self.temporary {
            // If this fails, the directory is still in the system's temporary folder.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Another stack has locked it.
    #[error("cannot use {path}: another local stack uses it")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A file system operation failed.
    #[error("cannot {attempt} {path}, where the stack keeps its data")]
    Unusable {
        /// What was attempted.
        attempt: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl DataError {
    /// What the user can do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::InUse { .. } => {
                "stop that stack, choose another directory with --data, or keep no data with --ephemeral"
            }
            Self::Unusable { .. } => {
                "choose another directory with --data; with --ephemeral, set TMPDIR to another directory"
            }
        }
    }
}

impl DataDirectory {
    /// Creates the directory if it is missing, and locks it.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        fs::create_dir_all(path).map_err(unusable("create", path))?;
        // Functions run in another working directory and receive paths in here.
        let path = path.canonicalize().map_err(unusable("find", path))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(unusable("write", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataError::InUse { path }),
            Err(TryLockError::Error(source)) => {
                return Err(DataError::Unusable {
                    attempt: "lock",
                    path: lock_path,
                    source,
                });
            }
        }
        Ok(Self {
            path,
            temporary: false,
            _lock: lock,
        })
    }

    /// Creates a directory that dropping this value removes.
    pub fn temporary() -> Result<Self, DataError> {
        let name = format!("security-agent-local-{}", Uuid::new_v4().simple());
        let mut directory = Self::open(&std::env::temp_dir().join(name))?;
        directory.temporary = true;
        Ok(directory)
    }

    /// The path of a file in the directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The path of a subdirectory, created if it is missing.
    pub fn directory(&self, name: &str) -> Result<PathBuf, DataError> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(unusable("create", &path))?;
        Ok(path)
    }

    /// Returns the secret stored under this name; creates a random one on first use.
    pub fn secret(&self, name: &str) -> Result<String, DataError> {
        let path = self.directory("secrets")?.join(name);
        match fs::read_to_string(&path) {
            Ok(text) if !text.is_empty() => return Ok(text),
            // The file is empty if the machine stopped in the middle of writing it: create a new secret.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unusable("read", &path)(error)),
        }
        let text = random_text();
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(unusable("write", &path))?;
        let written = file.write_all(text.as_bytes());
        written
            .and_then(|()| file.sync_all())
            .map_err(unusable("write", &path))?;
        Ok(text)
    }
}

/// Returns 244 random bits as text.
fn random_text() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

fn unusable(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataError {
    let path = path.to_owned();
    move |source| DataError::Unusable {
        attempt,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> PathBuf {
        std::env::temp_dir().join(format!("local-data-{}", Uuid::new_v4()))
    }

    #[test]
    fn a_directory_belongs_to_one_stack_at_a_time() {
        let path = temporary();
        let first = DataDirectory::open(&path).expect("the directory is not locked");
        let refused = DataDirectory::open(&path).expect_err("the first stack holds the lock");
        assert!(matches!(refused, DataError::InUse { .. }), "{refused}");
        drop(first);
        DataDirectory::open(&path).expect("the lock is released");
        fs::remove_dir_all(&path).expect("the directory can be removed");
    }

    #[test]
    fn a_temporary_directory_is_removed_on_drop() {
        let directory = DataDirectory::temporary().expect("the directory is not locked");
        let path = directory.file("lock");
        assert!(path.exists());
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn a_secret_survives_a_restart() {
        let path = temporary();
        let first = DataDirectory::open(&path).expect("the directory is not locked");
        let secret = first.secret("tokens").expect("a secret");
        assert_eq!(secret.len(), 64);
        assert_ne!(secret, first.secret("other").expect("another secret"));
        drop(first);
        let again = DataDirectory::open(&path).expect("the lock is released");
        assert_eq!(again.secret("tokens").expect("the secret"), secret);
        fs::remove_dir_all(&path).expect("the directory can be removed");
    }
}
