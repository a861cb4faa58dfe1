//! `cargo local`: Security Agent on this machine.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use local::arguments::Arguments;
use local::shutdown::Signals;
use local::stack::{Layout, Stack, StartError};
use tracing_subscriber::EnvFilter;

/// What a shell reports of a program that was interrupted.
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
    // Dropping an unfinished start kills whatever it has started.
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
        // Asked twice: the functions are killed with this process.
        () = signals.next() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// One line for whoever watches. That nobody can read it is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
