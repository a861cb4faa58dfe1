//! Requests and capacity of each request, message and scheduled run.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    Result,
    owner::{Owner, id},
    stack::Stack,
    table,
    usage::listed,
};

/// Commands for the lists and for the reconciler.
const MANY: usize = 100;

pub(crate) async fn measure(binaries: &Path) -> Result<()> {
    let mut steps = Steps::default();
    let stack = Stack::start(binaries, &[])?;
    commands(&stack, &mut steps).await?;
    findings(&stack, &mut steps).await?;
    drop(stack);
    reconciling(binaries, &mut steps).await?;
    table::print(
        "Requests and capacity units, no latency",
        ["step", "by", "DynamoDB", "RCU", "WCU", "SQS", "GitHub"],
        &steps.0,
    );
    Ok(())
}

/// Commands of an owner who has enabled nothing: workers end them early.
async fn commands(stack: &Stack, steps: &mut Steps) -> Result<()> {
    let owner = Owner::connected(stack, "commands").await?;
    let body = json!({"type": "sync"});
    stack.hold_workers().await?;
    let admit = owner.ask(&body, None);
    let first = steps.of(stack, "admission", "api", admit).await?;
    let admit = owner.ask(&body, Some("a-key"));
    let second = steps
        .of(stack, "admission with a key", "api", admit)
        .await?;
    let admit = owner.ask(&body, Some("a-key"));
    let replayed = steps
        .of(stack, "replay of that admission", "api", admit)
        .await?;
    if id(&second) != id(&replayed) {
        return Err(format!("{replayed} is not a replay of {second}").into());
    }
    let mut ids = vec![id(&first).to_owned(), id(&second).to_owned()];
    let path = format!("commands/{}", ids[0]);
    steps
        .of(stack, "poll of a command", "api", owner.get(&path))
        .await?;
    while ids.len() < MANY {
        ids.push(id(&owner.ask(&body, None).await?).to_owned());
    }
    let path = format!("commands?ids={}", ids.join(","));
    let poll = steps
        .of(stack, "poll of 100 by ids", "api", owner.get(&path))
        .await?;
    expect_many(&poll, MANY)?;
    let list = owner.get("commands?state=active");
    let active = steps.of(stack, "list of 100 active", "api", list).await?;
    expect_many(&active, MANY)?;
    stack.clear_faults().await?;
    stack.idle().await?;
    let list = owner.get("commands?state=active");
    let active = steps
        .of(stack, "list when all have ended", "api", list)
        .await?;
    expect_many(&active, 0)?;
    let history = steps
        .of(stack, "history, 50 of 100", "api", owner.get("commands"))
        .await?;
    expect_many(&history, 50)
}

fn expect_many(list: &Value, many: usize) -> Result<()> {
    match list["commands"].as_array().map(Vec::len) {
        Some(length) if length == many => Ok(()),
        length => Err(format!("{length:?} commands instead of {many}").into()),
    }
}

/// Configuration, syncs, and reads of their results.
async fn findings(stack: &Stack, steps: &mut Steps) -> Result<()> {
    let owner = Owner::connected(stack, "findings").await?;
    let change = json!({"slaDays": {"critical": 7}});
    let save = owner.configure(&change);
    steps
        .of(stack, "save of the configuration", "api", save)
        .await?;
    let enable = owner.enable();
    let enabled = steps.of(stack, "save that enables", "api", enable).await?;
    owner.completed(&enabled).await?;
    stack.idle().await?;

    // Another owner, so that the first call to GitHub with its sign-in is not counted.
    let owner = Owner::connected(stack, "findings-2").await?;
    let first = async { owner.completed(&owner.enable().await?).await };
    steps
        .of(stack, "first sync, 5 repositories", "sync", first)
        .await?;
    owner.has_every_finding().await?;
    let page = steps
        .of(stack, "page of 50 findings", "api", owner.get("findings"))
        .await?;
    let finding = format!("findings/{}", id(&page["findings"][0]).replace('#', "%23"));
    steps
        .of(stack, "one finding", "api", owner.get(&finding))
        .await?;
    steps
        .of(stack, "summary", "api", owner.get("summary"))
        .await?;
    stack.idle().await?;
    for (step, body) in [
        ("sync, nothing changed", json!({"type": "sync"})),
        (
            "sync of one of them, unchanged",
            json!({"type": "sync", "repository": "acme-appsec/zeppelin"}),
        ),
    ] {
        let again = async { owner.completed(&owner.ask(&body, None).await?).await };
        steps.of(stack, step, "sync", again).await?;
        stack.idle().await?;
    }
    owner.has_every_finding().await?;
    acting(stack, &owner, steps).await?;
    let run = async { stack.post("/local/schedules/reconcile", &json!({})).await };
    steps
        .of(stack, "reconcile, nothing due", "reconcile", run)
        .await?;
    let erase = async {
        owner.erase().await?;
        stack.idle().await?;
        Ok(Value::Null)
    };
    steps
        .of(stack, "erasure of 486 findings", "erase", erase)
        .await?;
    Ok(())
}

/// A dismissal, a reopening and an analysis of stored findings.
async fn acting(stack: &Stack, owner: &Owner<'_>, steps: &mut Steps) -> Result<()> {
    let open = owner.get("findings?status=open&limit=5").await?;
    let finding = |place: usize| open["findings"][place]["id"].clone();
    let dismissal = |place| json!({"type": "dismiss_finding", "findingId": finding(place), "reason": "not_used"});
    let launch = |place| json!({"type": "start_analysis", "findingId": finding(place)});

    // The first of each signs in to GitHub or to the agent, and is not counted.
    for command in [dismissal(0), launch(1)] {
        owner.completed(&owner.ask(&command, None).await?).await?;
    }
    stack.analyses_settled().await?;
    let body = dismissal(2);
    let admit = owner.ask(&body, None);
    let admitted = steps
        .of(stack, "admission of a dismissal", "api", admit)
        .await?;
    owner.completed(&admitted).await?;
    stack.idle().await?;
    let work = async {
        owner
            .completed(&owner.ask(&dismissal(4), None).await?)
            .await
    };
    steps.of(stack, "dismissal", "dismiss", work).await?;
    stack.idle().await?;
    let reopening = json!({"type": "reopen_finding", "findingId": finding(4)});
    let work = async { owner.completed(&owner.ask(&reopening, None).await?).await };
    steps.of(stack, "reopening", "dismiss", work).await?;
    stack.idle().await?;

    let faults = "/local/agent/faults";
    let hold = json!({"operation": "callback", "effect": "hold"});
    stack.post(faults, &hold).await?;
    let work = async { owner.completed(&owner.ask(&launch(3), None).await?).await };
    steps
        .of(stack, "launch of an analysis", "analyse", work)
        .await?;
    stack.idle().await?;
    let callback = async {
        stack.clear_agent_faults().await?;
        stack.analyses_settled().await?;
        stack.idle().await?;
        Ok(Value::Null)
    };
    steps.of(stack, "callback", "api", callback).await?;
    let nothing = async { Ok(Value::Null) };
    steps
        .counted(
            stack,
            "recording of the callback",
            "record-analysis",
            nothing,
        )
        .await?;
    stack.idle().await?;
    let events = owner.get("audit-events");
    steps
        .of(stack, "page of audit events", "api", events)
        .await?;
    Ok(())
}

/// A stack whose commands stall after a second without a worker.
async fn reconciling(binaries: &Path, steps: &mut Steps) -> Result<()> {
    let stack = Stack::start(binaries, &["--parameter", "AcceptedTimeoutSeconds=1"])?;
    let owner = Owner::connected(&stack, "stalled").await?;
    stack.hold_workers().await?;
    for _ in 0..MANY {
        owner.ask(&json!({"type": "sync"}), None).await?;
    }
    sleep(Duration::from_millis(1_100)).await;
    let run = async { stack.post("/local/schedules/reconcile", &json!({})).await };
    let report = steps
        .of(&stack, "reconcile, 100 stalled", "reconcile", run)
        .await?;
    if report["stalled"] == MANY {
        Ok(())
    } else {
        Err(format!("the reconciler did not end {MANY} stalled commands: {report}").into())
    }
}

/// The rows of the table.
#[derive(Default)]
struct Steps(Vec<[String; 7]>);

impl Steps {
    /// Takes a step and adds its cost for one function.
    async fn of(
        &mut self,
        stack: &Stack,
        step: &str,
        function: &str,
        work: impl Future<Output = Result<Value>>,
    ) -> Result<Value> {
        stack.count_anew().await?;
        self.counted(stack, step, function, work).await
    }

    /// Takes a step and adds the cost counted so far.
    async fn counted(
        &mut self,
        stack: &Stack,
        step: &str,
        function: &str,
        work: impl Future<Output = Result<Value>>,
    ) -> Result<Value> {
        let github_before = stack.github_calls().await?;
        let done = work.await.map_err(|error| format!("{step}: {error}"))?;
        let usage = stack.usage(function).await?;
        let github = match function {
            "sync" | "dismiss" | "analyse" => stack.github_calls().await? - github_before,
            _ => 0,
        };
        self.0.push([
            step.to_owned(),
            function.to_owned(),
            listed(&usage.dynamodb),
            usage.read_units.to_string(),
            usage.write_units.to_string(),
            listed(&usage.sqs),
            github.to_string(),
        ]);
        Ok(done)
    }
}
