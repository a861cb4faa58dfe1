//! The reconciler's work depends on what is due, not on how much is stored.
//!
//! `cargo bench --bench scale` prints the tables of docs/scale.md: first the computed needs of many owners (all that
//! `-- --plan` prints), then the measured work of the reconciler. The reconciler runs in this process against an
//! embedded DynamoDB and SQS behind the local stack's proxy, which counts requests and capacity. Only the due rows are
//! made up. The benchmark fails if due work is left.

#![expect(clippy::print_stdout, reason = "the table is its output")]

mod plan;
mod rows;
mod scene;
#[path = "../costs/table.rs"]
#[expect(dead_code, reason = "prints one table, spreads no numbers")]
mod table;

use std::error::Error;

use rows::Due;
use scene::{Scene, Spent};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The maximum number of commands, or owners.
const MANY: usize = 100_000;

#[tokio::main]
async fn main() -> Result<()> {
    // `cargo test --all-targets` runs it too; skip it there, because it takes minutes.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    plan::print();
    if std::env::args().any(|argument| argument == "--plan") {
        return Ok(());
    }
    let mut scene = Scene::set().await?;
    let mut lines = Vec::new();
    for (others, what, due) in [
        (0, Due::Stalled, 0),
        (MANY, Due::Stalled, 0),
        (0, Due::Stalled, MANY / 100),
        (0, Due::Stalled, MANY / 10),
        (0, Due::Stalled, MANY),
        (0, Due::Unclaimed, MANY / 100),
        (0, Due::Unclaimed, MANY),
        (0, Due::Scheduled, MANY / 100),
        (0, Due::Scheduled, MANY),
    ] {
        scene.add(&rows::others(others)).await;
        let there = scene.rows();
        scene.add(&what.rows(due).await?).await;
        lines.push(line(what, due, there, &scene.reconcile(what, due).await?));
    }
    table::print(
        "The reconciler until nothing is due",
        [
            "due", "rows", "others", "runs", "seconds", "Query", "writes", "SQS", "RCU", "WCU",
            "WCU/row",
        ],
        &lines,
    );
    Ok(())
}

fn line(what: Due, due: usize, others: usize, spent: &Spent) -> [String; 11] {
    let per_row = match due {
        0 => "–".to_owned(),
        _ => format!("{:.2}", spent.write_units / due as f64),
    };
    [
        what.name().to_owned(),
        due.to_string(),
        others.to_string(),
        spent.runs.to_string(),
        format!("{:.1}", spent.seconds),
        spent.queries.to_string(),
        spent.writes.to_string(),
        spent.messages.to_string(),
        spent.read_units.to_string(),
        spent.write_units.to_string(),
        per_row,
    ]
}
