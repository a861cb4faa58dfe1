//! Stores the sessions in a file: one JSON line per change, on disk before the change is answered. Drops a line cut
//! short by a kill: its change was never answered.
//!
//! The lines contain callback tokens, so on Unix only the file's owner can read it.

use std::collections::HashMap;
use std::fs::{self, File};
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
        let file =
            simulation::rewrite(path, &lines.concat()).map_err(|source| OpenError::Write {
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
