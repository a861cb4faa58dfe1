//! The soak: many owners, mixed commands, random faults and kills, and then the oracle over everything.
//!
//! `cargo bench --bench soak -- --minutes 30 --seed 7` runs the real `local` binary in real time on a data directory,
//! with realistic clients and every kind of fault. It then clears the faults and asks the oracle of the fault tests
//! whether every promise was kept. It prints Markdown. If a promise is broken, it fails and keeps the data.

#![expect(clippy::print_stdout, reason = "the summary is its output")]

mod alerts;
mod arguments;
mod chaos;
mod client;
mod faults;
mod finish;
mod github;
mod guests;
mod host;
mod mix;
mod parties;
mod report;
mod sampler;
#[path = "../costs/table.rs"]
mod table;
mod tally;

use std::{env, error::Error, process::ExitCode, sync::Arc, time::Duration};

use clap::Parser;
use fastrand::Rng;
use tokio::time::Instant;

use arguments::Arguments;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What all parts of the run share.
#[derive(Debug)]
struct Soak {
    github: github::Github,
    parties: Vec<parties::Party>,
    alerts: alerts::Alerts,
    tally: tally::Tally,
    /// From here on clients request nothing new.
    ends: Instant,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    // `cargo test --all-targets` runs it too; skip it there, because it takes minutes.
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(ExitCode::SUCCESS);
    }
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let data = arguments.data_directory(seed)?;
    println!(
        "# Soak of {} minutes, seed {seed}\n\nData in {}.",
        arguments.minutes,
        data.display()
    );
    let mut rng = Rng::with_seed(seed);

    let binaries = tests::bench_binaries()?;
    let github = github::Github::open(&data).await?;
    let mut host = host::Host::start(&binaries, &data, &github, arguments.concurrency).await?;
    println!(
        "{}, --concurrency {}.",
        arguments::TIMEOUTS,
        arguments.concurrency
    );
    let parties = parties::settle_in(&host, &arguments, &mut rng).await?;
    let length = Duration::from_secs_f64(arguments.minutes * 60.0);
    let soak = Arc::new(Soak {
        alerts: alerts::Alerts::read(&github).await?,
        github,
        parties,
        tally: tally::Tally::default(),
        ends: Instant::now() + length,
    });

    let sampler = sampler::Sampler::start(host.url(), host.pid());
    let began = report::now();
    let clients = tokio::spawn(mix::keep_asking(
        Arc::clone(&soak),
        rng.fork(),
        arguments.rate,
    ));
    let guests = tokio::spawn(guests::come_and_go(
        Arc::clone(&soak),
        host.desk(),
        rng.fork(),
    ));
    if arguments.calm {
        tokio::time::sleep_until(soak.ends).await;
    } else {
        chaos::run(&soak, &mut host, &sampler, &mut rng, length).await?;
    }
    let ended = report::now();
    let judged = finish::judge(&soak, &mut host, &sampler, clients, guests).await?;
    report::print(&soak, &host, &sampler, &judged, (began, ended));
    if judged.holds() {
        drop(host);
        std::fs::remove_dir_all(&data)?;
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "\nThe data stays in {}; `--seed {seed}` repeats its requests and faults.",
        data.display()
    );
    Ok(ExitCode::FAILURE)
}
