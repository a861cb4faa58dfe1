//! What can keep the stack from starting.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::GITHUB_KEY_FILE;
use crate::compile::CompileError;
use crate::data_directory::DataError;
use crate::functions::InvokeError;
use crate::queues::QueueError;
use crate::tables::TableError;
use crate::template::TemplateError;

/// Why the stack does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory is not to be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The template cannot be run.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The template has no table.
    #[error("the template has no table")]
    NoTable,
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// GitHub is elsewhere and there is no key for it.
    #[error("with --github URL, {GITHUB_KEY_FILE} must name the file with the App's private key")]
    NoGithubKey,
    /// The functions do not build.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A port is not to be had.
    #[error("cannot listen for {service}")]
    Listen {
        /// Who wanted to.
        service: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An embedded service does not start.
    #[error("{service} does not start")]
    Embedded {
        /// Which.
        service: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A table is not there.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A queue is not there.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A function does not start.
    #[error(transparent)]
    Function(#[from] InvokeError),
}
