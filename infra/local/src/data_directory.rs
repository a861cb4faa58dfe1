//! The directory for the data that outlives a stack. It holds keys, tokens and an owner's rows, so only the user who
//! runs the stack can read what is created here.

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
        create_private(path).map_err(unusable("create", path))?;
        // Functions run in another working directory and receive paths in here.
        let path = path.canonicalize().map_err(unusable("find", path))?;
        let lock_path = path.join("lock");
        let lock = private_file(&lock_path).map_err(unusable("write", &lock_path))?;
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

    /// The path of a database in the directory, created empty if it is missing. SQLite gives its log and its index the
    /// mode of the database, so neither is readable by others at any time.
    pub fn database(&self, name: &str) -> Result<PathBuf, DataError> {
        for suffix in ["-wal", "-shm"] {
            let path = self.path.join(format!("{name}{suffix}"));
            if path.exists() {
                // A stack that was killed has left it.
                private_file(&path).map_err(unusable("write", &path))?;
            }
        }
        let path = self.path.join(name);
        private_file(&path).map_err(unusable("write", &path))?;
        Ok(path)
    }

    /// The path of a subdirectory, created if it is missing.
    pub fn directory(&self, name: &str) -> Result<PathBuf, DataError> {
        let path = self.path.join(name);
        create_private(&path).map_err(unusable("create", &path))?;
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
        let mut file = private_file(&path).map_err(unusable("write", &path))?;
        let written = file
            .set_len(0)
            .and_then(|()| file.write_all(text.as_bytes()));
        written
            .and_then(|()| file.sync_all())
            .map_err(unusable("write", &path))?;
        Ok(text)
    }
}

/// Creates a directory, and its missing parents, that only this user can enter. One that exists keeps its mode.
fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a file for appending and writing that only this user can read. An existing file loses the rights of others.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
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

    #[cfg(unix)]
    #[test]
    fn what_an_earlier_version_left_readable_becomes_private() {
        use std::os::unix::fs::PermissionsExt as _;

        let path = temporary();
        let directory = DataDirectory::open(&path).expect("the directory is not locked");
        let names = ["sqs.db", "sqs.db-wal", "sqs.db-shm"];
        for name in names {
            let file = directory.file(name);
            fs::write(&file, "x").expect("written");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("changed");
        }
        directory.database("sqs.db").expect("the file is there");
        for name in names {
            let file = directory.file(name);
            let mode = fs::metadata(&file).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
            assert_eq!(fs::read(&file).expect("readable"), b"x", "{name}");
        }
        fs::remove_dir_all(&path).expect("the directory can be removed");
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
