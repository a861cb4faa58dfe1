//! Stores the sessions in a file: one JSON line per change, on disk before the change is answered. Drops a line cut
//! short by a kill: its change was never answered.
//!
//! The lines contain callback tokens, so on Unix only the file's owner can read it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::OpenError;
use crate::session::Session;

#[derive(Debug)]
pub(crate) struct Journal {
    file: Option<File>,
}

impl Journal {
    /// Stores nothing: every start begins without sessions.
    pub(crate) fn ephemeral() -> Self {
        Self { file: None }
    }

    /// Reads the sessions, oldest first, and rewrites the file with only the last line of each session.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Session>), OpenError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => {
                return Err(OpenError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let mut places = HashMap::new();
        let mut latest: Vec<(&[u8], Session)> = Vec::new();
        let complete = text.split_inclusive(|&byte| byte == b'\n');
        for (index, line) in complete.filter(|line| line.ends_with(b"\n")).enumerate() {
            let session: Session =
                serde_json::from_slice(line).map_err(|source| OpenError::Parse {
                    path: path.to_owned(),
                    line: index + 1,
                    source,
                })?;
            let next = latest.len();
            let place = *places.entry(session.cloud_agent_session_id).or_insert(next);
            match latest.get_mut(place) {
                Some(known) => *known = (line, session),
                None => latest.push((line, session)),
            }
        }

        let lines: Vec<&[u8]> = latest.iter().map(|(line, _)| *line).collect();
        let file = rewrite(path, &lines.concat()).map_err(|source| OpenError::Write {
            path: path.to_owned(),
            source,
        })?;
        let sessions = latest.into_iter().map(|(_, session)| session).collect();
        Ok((Self { file: Some(file) }, sessions))
    }

    /// Appends the session. It is on disk if this returns `Ok`, and not in the file if it returns `Err`.
    pub(crate) fn append(&mut self, session: &Session) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut line = serde_json::to_vec(session)?;
        line.push(b'\n');
        let end = file.seek(SeekFrom::End(0))?;
        let written = file.write_all(&line).and_then(|()| file.sync_data());
        if written.is_err() {
            // A partial line would corrupt the next one.
            file.set_len(end)?;
        }
        written
    }
}

fn rewrite(path: &Path, content: &[u8]) -> io::Result<File> {
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
    let mut file = private().create_new(true).open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(directory)?.sync_all()?;
    OpenOptions::new().write(true).open(path)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
