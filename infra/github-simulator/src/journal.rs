//! Stores the alerts that differ from the dataset in a file: one JSON line per change, on disk before the change is
//! answered. Drops a line cut short by a kill: its change was never answered.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::alert::Alert;
use crate::dataset::OpenError;
use crate::version::ApiVersion;

#[derive(Debug)]
pub(crate) struct Journal {
    file: Option<File>,
}

/// The latest version of an alert.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) repository: String,
    pub(crate) alert: Alert,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    repository: &'a str,
    #[serde(borrow)]
    alert: &'a RawValue,
}

impl Journal {
    /// Stores nothing: every start serves the dataset unchanged.
    pub(crate) fn ephemeral() -> Self {
        Self { file: None }
    }

    /// Reads the file and rewrites it with only the last line of each alert.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Saved>), OpenError> {
        let read = |source| OpenError::Read {
            path: path.to_owned(),
            source,
        };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(read(source)),
        };
        let mut latest = BTreeMap::new();
        let complete = text.split_inclusive(|&byte| byte == b'\n');
        for (index, bytes) in complete.filter(|line| line.ends_with(b"\n")).enumerate() {
            let malformed = |source| OpenError::Parse {
                path: path.to_owned(),
                place: format!("line {}", index + 1),
                source,
            };
            let line: Line<'_> = serde_json::from_slice(bytes).map_err(malformed)?;
            let alert = Alert::parse(line.alert.get()).map_err(malformed)?;
            latest.insert((line.repository.to_owned(), alert.number()), (bytes, alert));
        }

        let lines: Vec<&[u8]> = latest.values().map(|(line, _)| *line).collect();
        let file =
            simulation::rewrite(path, &lines.concat()).map_err(|source| OpenError::Write {
                path: path.to_owned(),
                source,
            })?;
        let saved = latest
            .into_iter()
            .map(|((repository, _), (_, alert))| Saved { repository, alert })
            .collect();
        Ok((Self { file: Some(file) }, saved))
    }

    /// Appends the alert. It is on disk if this returns `Ok`, and not in the file if it returns `Err`.
    pub(crate) fn append(&mut self, repository: &str, alert: &Alert) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let alert = alert.text(ApiVersion::DEFAULT);
        let mut line = serde_json::to_vec(&Line { repository, alert })?;
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
