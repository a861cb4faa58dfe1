//! The queues as a separate server.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use local_sqs::Queues;

/// A local Amazon SQS.
#[derive(Debug, Parser)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9324")]
    listen: SocketAddr,
    /// SQLite file to keep the queues in; without it they are in memory.
    #[arg(long)]
    data: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let queues = match &arguments.data {
        Some(path) => Queues::open(path)?,
        None => Queues::memory()?,
    };
    let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    // No graceful shutdown: every acknowledged change is on disk, and long polls can be cut off.
    tokio::select! {
        served = axum::serve(listener, queues.router()) => served?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
