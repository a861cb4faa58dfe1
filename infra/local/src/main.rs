//! `cargo local`: runs Security Agent on this machine.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use local::arguments::Arguments;
use local::shutdown::Signals;
use local::stack::{Layout, Stack};
use local::start_error::StartError;
use tracing_subscriber::EnvFilter;

/// The exit code that shells report for an interrupted program (128 + SIGINT).
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false)
        .init();
    match run(&arguments).await {
        Ok(code) => code,
        Err(error) => {
            say(&format!(
                "error: {}; {}",
                local::chain(&error),
                error.advice()
            ));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<ExitCode, StartError> {
    let layout = Layout::of(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    // Dropping an unfinished start kills every process that it has started.
    let stack = tokio::select! {
        started = Stack::start(arguments, &layout, say) => started?,
        () = signals.next() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let mut output = io::stdout();
    writeln!(output, "ready {}", stack.url())
        .and_then(|()| output.flush())
        .map_err(StartError::Output)?;
    let code = if arguments.demo {
        let (url, dataset) = (stack.url(), arguments.dataset(&layout.workspace));
        tokio::select! {
            shown = local::demo::run(&url, dataset.as_deref(), &mut output) => match shown {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    say(&format!("the demo failed: {}", local::chain(&error)));
                    ExitCode::FAILURE
                }
            },
            () = signals.next() => ExitCode::from(INTERRUPTED),
        }
    } else {
        signals.next().await;
        ExitCode::SUCCESS
    };
    say("stopping");
    tokio::select! {
        () = stack.stop() => Ok(code),
        // A second signal ends this process at once, and with it the functions.
        () = signals.next() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// Prints a status line. Standard error may be closed; the stack keeps running.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
