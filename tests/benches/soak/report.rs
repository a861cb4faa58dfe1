//! The summary, in Markdown.

use std::{collections::BTreeMap, fs, path::Path};

use domain::Timestamp;
use serde_json::Value;
use tests::Stack;

use crate::{
    Soak,
    finish::Judged,
    host::Host,
    sampler::Sampler,
    table::{self, quantile},
};

/// The maximum number of breaches printed; the others are similar.
const SHOWN: usize = 40;

/// The time by the machine's clock.
#[expect(clippy::disallowed_methods, reason = "the run lives in real time")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

pub(crate) fn print(
    soak: &Soak,
    host: &Host,
    sampler: &Sampler,
    judged: &Judged,
    (began, ended): (Timestamp, Timestamp),
) {
    throughput(judged, began, ended);
    outcomes(judged);
    times(judged);
    faults(soak);
    consequences(soak, host, sampler, judged);
    clients(soak);
    memory(host, sampler);
    verdict(judged);
}

fn throughput(judged: &Judged, began: Timestamp, ended: Timestamp) {
    let within = |view: &&Value| {
        let at = moment(view, "acceptedAt");
        at.is_some_and(|at| began <= at && at <= ended)
    };
    let admitted = judged.views.iter().filter(within).count();
    let seconds = ended.since(began).as_secs_f64();
    println!(
        "\n**{admitted} commands admitted in {:.1} minutes: {:.1} a second**; {} with those before and after. Everything \
         had ended {} s after the last fault; the oracle took {} s.",
        seconds / 60.0,
        admitted as f64 / seconds,
        judged.views.len(),
        judged.drained_in.as_secs(),
        judged.judged_in.as_secs(),
    );
}

fn outcomes(judged: &Judged) {
    let mut outcomes: BTreeMap<[String; 4], u64> = BTreeMap::new();
    for view in &judged.views {
        let outcome = ["type", "status", "resultCode", "effect"];
        let outcome = outcome.map(|field| view[field].as_str().unwrap_or("–").to_owned());
        *outcomes.entry(outcome).or_default() += 1;
    }
    let rows: Vec<[String; 5]> = outcomes
        .into_iter()
        .map(|([kind, status, code, effect], count)| {
            [kind, status, code, effect, count.to_string()]
        })
        .collect();
    table::print(
        "## Outcomes",
        ["type", "status", "code", "effect", "commands"],
        &rows,
    );
}

/// From admission to the end in seconds, by the commands' own times.
fn times(judged: &Judged) {
    let mut times: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for view in &judged.views {
        let (Some(from), Some(to)) = (moment(view, "acceptedAt"), moment(view, "completedAt"))
        else {
            continue;
        };
        let kind = view["type"].as_str().unwrap_or_default();
        let taken = to.since(from).as_secs_f64();
        let deliveries = match view["attempts"].as_u64() {
            Some(1) => "claimed once",
            Some(0) | None => "never claimed",
            Some(_) => "claimed again",
        };
        for group in ["all", deliveries] {
            times.entry((kind, group)).or_default().push(taken);
        }
    }
    let rows: Vec<[String; 6]> = times
        .into_iter()
        .map(|((kind, group), mut taken)| {
            taken.sort_by(f64::total_cmp);
            let at = |share| format!("{:.2}", quantile(&taken, share));
            [
                kind.to_owned(),
                group.to_owned(),
                taken.len().to_string(),
                at(0.5),
                at(0.99),
                at(1.0),
            ]
        })
        .collect();
    let columns = ["type", "commands", "number", "p50, s", "p99, s", "most, s"];
    table::print("## Time from admission to the end", columns, &rows);
    println!(
        "\nFaults cannot be attributed to commands: one that was claimed once may have met delays, \
         or errors retried within its delivery."
    );
}

fn moment(view: &Value, field: &str) -> Option<Timestamp> {
    view[field].as_str()?.parse().ok()
}

fn faults(soak: &Soak) {
    let counts = soak.tally.counts();
    let rows = counts
        .faults
        .iter()
        .map(|(kind, times)| [kind.clone(), times.to_string()]);
    table::print(
        "## What went wrong",
        ["what", "times"],
        &rows.collect::<Vec<_>>(),
    );
    println!("\nA fault in calls affects one to nine of them, fewer if it is cleared first.");
}

fn consequences(soak: &Soak, host: &Host, sampler: &Sampler, judged: &Judged) {
    let stack = host.stack();
    let with = |code: &str| {
        judged
            .views
            .iter()
            .filter(|view| view["resultCode"] == code)
            .count()
    };
    let usage = sampler.usage();
    let killed = usage.values().map(|usage| usage.errors).sum::<u64>();
    let timeouts = usage.values().map(|usage| usage.timeouts).sum::<u64>();
    let throttles = usage.values().map(|usage| usage.throttles).sum::<u64>();
    let loops_stopped = usage.values().map(|usage| usage.loops_stopped).sum::<u64>();
    let counts = soak.tally.counts();
    let logged = Logged::read(stack);
    let rows = [
        (
            "restarts of the whole stack after a kill",
            host.kills.to_string(),
        ),
        (
            "invocations that failed with an error or a killed process",
            killed.to_string(),
        ),
        (
            "of those, killed at the function's timeout",
            timeouts.to_string(),
        ),
        ("invocations that Lambda throttled", throttles.to_string()),
        (
            "invocations that Lambda refused as a loop",
            loops_stopped.to_string(),
        ),
        (
            "commands claimed again after a worker died or released them",
            judged.taken_over.to_string(),
        ),
        (
            "workers that noticed a lost lease",
            logged.of("fenced").to_string(),
        ),
        (
            "messages resent by the reconciler",
            logged.of("resent").to_string(),
        ),
        (
            "dead letters that ended their command",
            logged.of("settled").to_string(),
        ),
        (
            "commands that ran out of deliveries",
            with("QUEUE_RETRIES_EXHAUSTED").to_string(),
        ),
        ("commands that stalled", with("COMMAND_STALLED").to_string()),
        ("scheduled syncs", logged.of("scheduled").to_string()),
        ("callbacks recorded", logged.of("recorded").to_string()),
        ("owners erased", counts.gone.len().to_string()),
    ];
    let rows = rows.map(|(what, times)| [what.to_owned(), times]);
    table::print("## What followed", ["what", "times"], &rows);
    println!("\nCounts from the logs lack the lines that killed processes did not write.");
}

/// Totals from the functions' logs.
struct Logged(BTreeMap<&'static str, u64>);

impl Logged {
    fn read(stack: &Stack) -> Self {
        let mut counts = BTreeMap::new();
        for text in stack.log_files() {
            for line in text.lines() {
                let Ok(line) = serde_json::from_str::<Value>(line) else {
                    continue;
                };
                let number = |field: &str| line[field].as_u64().unwrap_or_default();
                let (what, times) = match line["message"].as_str() {
                    Some("reconciled") => ("resent", number("resent")),
                    Some("dead letters handled") => ("settled", number("settled")),
                    Some("a scheduled sync has ended") => ("scheduled", 1),
                    Some("the callback is recorded") => ("recorded", 1),
                    Some(message) if message.starts_with("fenced") => ("fenced", 1),
                    Some(_) | None => continue,
                };
                *counts.entry(what).or_default() += times;
            }
        }
        Self(counts)
    }

    fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }
}

fn clients(soak: &Soak) {
    let counts = soak.tally.counts();
    let rows = counts
        .clients
        .iter()
        .map(|(what, times)| [(*what).to_owned(), times.to_string()]);
    table::print(
        "## What clients did",
        ["what", "times"],
        &rows.collect::<Vec<_>>(),
    );
}

fn memory(host: &Host, sampler: &Sampler) {
    let mib = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
    let rows: Vec<[String; 4]> = sampler
        .usage()
        .into_iter()
        .map(|(name, usage)| {
            let processes = usage.processes.to_string();
            [
                name,
                mib(usage.peak_kib),
                processes,
                usage.invocations.to_string(),
            ]
        })
        .collect();
    let columns = ["process", "peak resident, MiB", "at once", "invocations"];
    table::print("## Memory", columns, &rows);
    let data = host.stack().data();
    let sizes = [
        "dynamodb.db",
        "dynamodb.db-wal",
        "sqs.db",
        "sqs.db-wal",
        "logs",
    ];
    let sizes = sizes.map(|name| format!("{name} {} MiB", mib(size(&data.join(name)) / 1024)));
    println!("\nOn disk: {}.", sizes.join(", "));
}

/// Bytes of a file, or of a directory's files.
fn size(path: &Path) -> u64 {
    match fs::read_dir(path) {
        Ok(files) => files.flatten().map(|file| size(&file.path())).sum(),
        Err(_) => fs::metadata(path).map_or(0, |metadata| metadata.len()),
    }
}

fn verdict(judged: &Judged) {
    let compared = judged.judgement.compared();
    let rows = compared
        .iter()
        .map(|(what, times)| [(*what).to_owned(), times.to_string()]);
    table::print(
        "## The oracle",
        ["what holds", "compared"],
        &rows.collect::<Vec<_>>(),
    );
    let breaches = judged.judgement.breaches();
    if breaches.is_empty() {
        println!("\n**Every promise was kept.**");
        return;
    }
    println!("\n**{} promises were broken:**\n", breaches.len());
    for breach in breaches.iter().take(SHOWN) {
        println!("- {breach}");
    }
}
