//! Why the stack cannot start: what it attempted, on what, why, and what the user can do.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::compile::CompileError;
use crate::data_directory::DataError;
use crate::functions::InvokeError;
use crate::queues::QueueError;
use crate::tables::TableError;
use crate::template::TemplateError;

/// The variable that names the file with the App's private key if GitHub is not simulated.
pub(crate) const GITHUB_KEY_FILE: &str = "LOCAL_GITHUB_PRIVATE_KEY_FILE";

/// Why the stack does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system does not report the path of the running executable.
    #[error("cannot find the path of this program's executable")]
    Program(#[source] io::Error),
    /// The checkout with the template, the dataset and the functions' sources is gone.
    #[error("cannot find the checkout {path} that this program was built from")]
    Checkout {
        /// Its path at build time.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Without signal handlers only SIGKILL could end the stack.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// The `ready` line could not be written.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// The data directory cannot be used.
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
    /// A parameter has an invalid value.
    #[error(transparent)]
    Parameter(TemplateError),
    /// The template creates no table with these parameters.
    #[error("cannot run {path}: it creates no table with these parameters")]
    NoTable {
        /// The template file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {path}, {what}")]
    Read {
        /// What the file should contain, and which setting names it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot append to {path}, {what}")]
    Write {
        /// What the file is for, and which setting names it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// GitHub is not simulated, and no variable names the App's key.
    #[error("with --github URL, {GITHUB_KEY_FILE} must name the file with the App's private key")]
    NoGithubKey,
    /// The functions do not build.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Some functions have no binary.
    #[error("cannot run the functions: {} has no {}", folder.display(), missing.join(", no "))]
    NoBinaries {
        /// Where the binaries should be.
        folder: PathBuf,
        /// The missing binaries.
        missing: Vec<String>,
    },
    /// A port is not available.
    #[error("cannot listen on {address} for {service}")]
    Listen {
        /// The service that needs the port.
        service: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// An embedded service could not start.
    #[error("cannot start {service}{}", on(place.as_ref()))]
    Embedded {
        /// The service.
        service: &'static str,
        /// The file or directory that it loads.
        place: Option<PathBuf>,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The tables could not be created.
    #[error("cannot prepare DynamoDB at {endpoint}")]
    Table {
        /// DynamoDB's address.
        endpoint: String,
        /// The cause.
        #[source]
        source: Box<TableError>,
    },
    /// The queues could not be created.
    #[error("cannot prepare SQS at {endpoint}")]
    Queue {
        /// SQS's address.
        endpoint: String,
        /// The cause.
        #[source]
        source: Box<QueueError>,
    },
    /// A function could not start.
    #[error("cannot start the functions")]
    Function {
        /// The folder of the functions' logs.
        logs: PathBuf,
        /// The cause.
        #[source]
        source: Box<InvokeError>,
    },
}

impl StartError {
    /// What the user can do about the error.
    pub fn advice(&self) -> String {
        match self {
            Self::Program(_) => "run the program from a file that exists".to_owned(),
            Self::Checkout { .. } => {
                "run `cargo local` in a checkout to rebuild it".to_owned()
            }
            Self::Signals(_) | Self::Output(_) => {
                "start it with standard output open, and raise the limit on open files".to_owned()
            }
            Self::Data(error) => error.advice().to_owned(),
            Self::Template { path, .. } => {
                format!("fix {}, or check it out again", path.display())
            }
            Self::NoTable { path } => {
                format!(
                    "omit --parameter ExistingTableName, since the local stack uses only a table that it creates; or fix {}",
                    path.display()
                )
            }
            Self::Parameter(_) => {
                "`cargo local` takes parameters as --parameter NAME=VALUE".to_owned()
            }
            Self::Read { .. } => "name a readable file".to_owned(),
            Self::Write { .. } => "name a file in a writable directory".to_owned(),
            Self::NoGithubKey => {
                "set it, or omit --github to use the simulator".to_owned()
            }
            Self::Compile(error) => error.advice().to_owned(),
            Self::NoBinaries { .. } => {
                "build them with `cargo build --workspace --bins`, or omit --no-build and --binaries".to_owned()
            }
            Self::Listen { address, .. } if address.port() == 0 => {
                "check whether the machine has free ports".to_owned()
            }
            Self::Listen { .. } => {
                "stop the process that listens there, or choose another address with --listen; port 0 takes a free one".to_owned()
            }
            Self::Embedded { .. } => {
                "fix or move that file, or choose another directory with --data or another dataset \
                 with --github"
                    .to_owned()
            }
            Self::Table { .. } => "check whether DynamoDB runs there, or choose another endpoint with --dynamodb".to_owned(),
            Self::Queue { .. } => "check whether SQS runs there, or choose another endpoint with --sqs".to_owned(),
            Self::Function { logs, .. } => format!("read the functions' logs in {}", logs.display()),
        }
    }
}

fn on(place: Option<&PathBuf>) -> String {
    place.map_or_else(String::new, |path| format!(" on {}", path.display()))
}
