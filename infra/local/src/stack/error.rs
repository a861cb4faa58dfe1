//! What can keep the stack from starting: what was attempted, on what and why; and what to do about it.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
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
    /// The system does not tell which file is run.
    #[error("cannot tell where this program's own file is")]
    Program(#[source] io::Error),
    /// The sources are gone: the template, the dataset and what builds the functions.
    #[error("cannot find the checkout {path} that this program was built from")]
    Checkout {
        /// Where it was.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nothing would end it but SIGKILL.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// Nobody would know that it is ready.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// The data directory is not to be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The template cannot be run.
    #[error("cannot run {path}")]
    Template {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<TemplateError>,
    },
    /// A parameter cannot have its value.
    #[error(transparent)]
    Parameter(TemplateError),
    /// The template has no table.
    #[error("cannot run {path}: it has no table")]
    NoTable {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {path}, {what}")]
    Read {
        /// What it is to hold, and who says so.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot append to {path}, {what}")]
    Write {
        /// What it is for, and who says so.
        what: &'static str,
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
    /// Some functions have no binary.
    #[error("cannot run the functions: {} has no {}", folder.display(), missing.join(", no "))]
    NoBinaries {
        /// Where they should be.
        folder: PathBuf,
        /// The binaries that are not there.
        missing: Vec<String>,
    },
    /// A port is not to be had.
    #[error("cannot listen on {address} for {service}")]
    Listen {
        /// Who wanted to.
        service: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An embedded service does not start.
    #[error("cannot start {service}{}", on(place.as_ref()))]
    Embedded {
        /// Which.
        service: &'static str,
        /// The file or directory that it starts from.
        place: Option<PathBuf>,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A table is not there.
    #[error("cannot prepare DynamoDB at {endpoint}")]
    Table {
        /// Its address.
        endpoint: String,
        /// What went wrong.
        #[source]
        source: Box<TableError>,
    },
    /// A queue is not there.
    #[error("cannot prepare SQS at {endpoint}")]
    Queue {
        /// Its address.
        endpoint: String,
        /// What went wrong.
        #[source]
        source: Box<QueueError>,
    },
    /// A function does not start.
    #[error("cannot start the functions")]
    Function {
        /// The folder with their logs.
        logs: PathBuf,
        /// What went wrong.
        #[source]
        source: Box<InvokeError>,
    },
}

impl StartError {
    /// What to do about it, for whoever reads the error.
    pub fn advice(&self) -> String {
        match self {
            Self::Program(_) => "run it from a file that exists".to_owned(),
            Self::Checkout { .. } => {
                "run `cargo local` in a checkout, which builds it again".to_owned()
            }
            Self::Signals(_) | Self::Output(_) => {
                "start it with an open standard output, and as many files as it needs".to_owned()
            }
            Self::Data(error) => error.advice().to_owned(),
            Self::Template { path, .. } | Self::NoTable { path } => {
                format!("mend {}, or check it out again", path.display())
            }
            Self::Parameter(_) => {
                "`cargo local` takes parameters as --parameter NAME=VALUE".to_owned()
            }
            Self::Read { .. } => "name a file that can be read".to_owned(),
            Self::Write { .. } => "name a file in a directory that exists".to_owned(),
            Self::NoGithubKey => {
                "set it, or leave out --github for the simulator".to_owned()
            }
            Self::Compile(error) => error.advice().to_owned(),
            Self::NoBinaries { .. } => {
                "build them with `cargo build --workspace --bins`, or leave out --no-build and --binaries".to_owned()
            }
            Self::Listen { address, .. } if address.port() == 0 => {
                "see whether the machine has ports left".to_owned()
            }
            Self::Listen { .. } => {
                "end what listens there, or choose another address with --listen; port 0 takes a free one".to_owned()
            }
            Self::Embedded { .. } => {
                "mend or move away what it starts from, or choose another directory with --data, or another dataset \
                 with --github"
                    .to_owned()
            }
            Self::Table { .. } => "see whether it runs there; --dynamodb names another".to_owned(),
            Self::Queue { .. } => "see whether it runs there; --sqs names another".to_owned(),
            Self::Function { logs, .. } => format!("their logs are in {}", logs.display()),
        }
    }
}

fn on(place: Option<&PathBuf>) -> String {
    place.map_or_else(String::new, |path| format!(" on {}", path.display()))
}
