//! Time and memory with a region's latencies: 2 ms to DynamoDB and SQS, 40 ms to GitHub.

use std::{path::Path, time::Instant};

use serde_json::{Value, json};

use crate::{
    Result,
    owner::Owner,
    process::{cpu_ms, peak_mib},
    stack::Stack,
    table::{self, quantile},
};

/// Warm rounds, each with its own owner.
const ROUNDS: usize = 7;
const ADMISSIONS: usize = 200;

/// The cost of one sync.
struct Sync {
    /// From the request until the client sees the outcome.
    seen_ms: f64,
    /// From `acceptedAt` to `completedAt`.
    completed_ms: f64,
    requests: f64,
    read_units: f64,
    write_units: f64,
    cpu_ms: f64,
    peak_mib: f64,
}

pub(crate) async fn measure(binaries: &Path) -> Result<()> {
    let stack = Stack::start(binaries, &[])?;
    stack.slow_down().await?;
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let owner = Owner::connected(&stack, &format!("round-{round}")).await?;
        first.push(sync(&stack, &owner, owner.enable()).await?);
        owner.has_every_finding().await?;
        let body = json!({"type": "sync"});
        again.push(sync(&stack, &owner, owner.ask(&body, None)).await?);
    }
    let columns = ["", "cold", "median", "range", "replaced", "aim"];
    let heading = format!(
        "First sync of five repositories with 486 alerts; {ROUNDS} warm rounds after a cold one"
    );
    let known = ["10700", "", "3945", "", "", "", "132"];
    let aims = ["800", "", "100", "", "", "", "40"];
    table::print(&heading, columns, &rows(&first, known, aims));
    let known = ["10400", "", "3930", "", "", "", "132"];
    let aims = ["400", "", "20", "", "", "", "40"];
    table::print(
        "The same sync again, nothing changed",
        columns,
        &rows(&again, known, aims),
    );
    admissions(&stack).await
}

async fn sync(
    stack: &Stack,
    owner: &Owner<'_>,
    admission: impl Future<Output = Result<Value>>,
) -> Result<Sync> {
    stack.idle().await?;
    stack.count_anew().await?;
    let github = stack.github_calls().await?;
    let cpu = cpu_ms(&stack.processes("sync").await?)?;
    let asked = Instant::now();
    let command = owner.completed(&admission.await?).await?;
    let seen = asked.elapsed();
    stack.idle().await?;
    let workers = stack.processes("sync").await?;
    let usage = stack.usage("sync").await?;
    let github = stack.github_calls().await? - github;
    Ok(Sync {
        seen_ms: seen.as_secs_f64() * 1e3,
        completed_ms: millis(&command["completedAt"])? - millis(&command["acceptedAt"])?,
        requests: usage.requests() as f64 + github as f64,
        read_units: usage.read_units,
        write_units: usage.write_units,
        cpu_ms: cpu_ms(&workers)? - cpu,
        peak_mib: peak_mib(&workers)?,
    })
}

/// Milliseconds of the day in a time of the API.
fn millis(time: &Value) -> Result<f64> {
    let text = time.as_str().unwrap_or_default();
    let of_day = text
        .get(11..23)
        .map(|clock| clock.split(':').map(str::parse));
    let mut parts = of_day.ok_or_else(|| format!("{time} is not a time"))?;
    let mut next = || -> Result<f64> { Ok(parts.next().ok_or("a time is incomplete")??) };
    Ok(((next()? * 60.0 + next()?) * 60.0 + next()?) * 1e3)
}

fn rows(syncs: &[Sync], known: [&str; 7], aims: [&str; 7]) -> Vec<[String; 6]> {
    type Figure = (&'static str, usize, fn(&Sync) -> f64);
    let figures: [Figure; 7] = [
        ("request to outcome seen, ms", 0, |sync| sync.seen_ms),
        ("acceptedAt to completedAt, ms", 0, |sync| sync.completed_ms),
        ("requests of the worker, GitHub's included", 0, |sync| {
            sync.requests
        }),
        ("read units", 1, |sync| sync.read_units),
        ("write units", 1, |sync| sync.write_units),
        ("CPU of the worker, ms", 0, |sync| sync.cpu_ms),
        ("peak memory of a worker so far, MiB", 1, |sync| {
            sync.peak_mib
        }),
    ];
    let rows = figures.iter().zip(known.iter().zip(aims));
    rows.map(|((name, digits, figure), (known, aim))| {
        let (cold, warm) = syncs.split_at(1);
        let cold = format!("{:.digits$}", cold.iter().map(figure).sum::<f64>());
        let warm: Vec<f64> = warm.iter().map(figure).collect();
        let (median, range) = spread(&warm, *digits);
        let [name, known, aim] = [*name, *known, aim].map(str::to_owned);
        [name, cold, median, range, known, aim]
    })
    .collect()
}

/// Sequential admissions over one connection, with sync workers delayed.
async fn admissions(stack: &Stack) -> Result<()> {
    let owner = Owner::connected(stack, "admissions").await?;
    stack.clear_faults().await?;
    stack.hold_workers().await?;
    stack.slow_down().await?;
    let mut taken = Vec::new();
    for admission in 0..ADMISSIONS + 20 {
        let asked = Instant::now();
        owner.ask(&json!({"type": "sync"}), None).await?;
        // The first few start processes and connections.
        if admission >= 20 {
            taken.push(asked.elapsed().as_secs_f64() * 1e3);
        }
    }
    stack.clear_faults().await?;
    taken.sort_by(f64::total_cmp);
    let peak = peak_mib(&stack.processes("api").await?)?;
    table::print(
        &format!("{ADMISSIONS} sequential admissions over one connection"),
        [
            "minimum, ms",
            "median",
            "p99",
            "most",
            "aim",
            "peak memory, MiB",
        ],
        &[[
            format!("{:.1}", taken[0]),
            format!("{:.1}", quantile(&taken, 0.5)),
            format!("{:.1}", quantile(&taken, 0.99)),
            format!("{:.1}", quantile(&taken, 1.0)),
            "8".to_owned(),
            format!("{peak:.1}"),
        ]],
    );
    stack.idle().await
}

/// Formats the median, and the range from minimum to maximum.
fn spread(numbers: &[f64], digits: usize) -> (String, String) {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
        return (String::new(), String::new());
    };
    (
        format!("{:.digits$}", quantile(&sorted, 0.5)),
        format!("{least:.digits$}–{most:.digits$}"),
    )
}
