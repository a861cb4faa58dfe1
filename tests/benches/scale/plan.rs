//! The needs of a million owners and ten million commands a day, from measured costs, published limits and list prices.
//! docs/scale.md names the sources and draws the conclusions.

use crate::table;

const DAY: f64 = 86_400.0;
const MONTH: f64 = 30.0;
/// The load of the busiest minute relative to the average.
const PEAK: f64 = 5.0;

/// A daily event, with its frequency and the cost of one.
struct Step {
    what: &'static str,
    millions: f64,
    /// Requests at the HTTP API.
    http: f64,
    read_units: f64,
    write_units: f64,
    /// Messages sent. Each is also received, deleted and, if its worker claims, hidden again.
    messages: f64,
    visibility: f64,
    github: f64,
    work: Option<Work>,
}

/// The share of an invocation that one event takes.
struct Work {
    function: &'static str,
    gib: f64,
    seconds: f64,
    /// Records that one invocation processes at once.
    batch: f64,
    /// `MaximumConcurrency` of its event source in template.yaml; none for HTTP.
    concurrency: Option<f64>,
}

const fn work(
    function: &'static str,
    gib: f64,
    seconds: f64,
    batch: f64,
    concurrency: Option<f64>,
) -> Option<Work> {
    Some(Work {
        function,
        gib,
        seconds,
        batch,
        concurrency,
    })
}

const fn step(what: &'static str, millions: f64) -> Step {
    Step {
        what,
        millions,
        http: 0.0,
        read_units: 0.0,
        write_units: 0.0,
        messages: 0.0,
        visibility: 0.0,
        github: 0.0,
        work: None,
    }
}

/// Units and calls are from docs/costs.md. Times are its CPU times, plus 200 ms for each sequential response of GitHub
/// or the agent.
fn steps() -> Vec<Step> {
    let api = || work("api", 0.5, 0.010, 1.0, None);
    vec![
        Step {
            http: 1.0,
            read_units: 1.0,
            write_units: 3.0,
            messages: 1.0,
            work: api(),
            ..step("admission of a sync", 4.0)
        },
        Step {
            http: 1.0,
            read_units: 2.0,
            write_units: 3.0,
            messages: 1.0,
            work: api(),
            ..step("admission of a dismissal or launch", 6.0)
        },
        Step {
            http: 1.0,
            read_units: 1.0,
            work: api(),
            ..step("poll, 3 for each command", 30.0)
        },
        Step {
            read_units: 2.0,
            write_units: 27.0,
            visibility: 1.0,
            github: 6.0,
            work: work("sync", 0.5, 0.45, 5.0, Some(10.0)),
            ..step("sync, 5 repositories unchanged", 4.0)
        },
        Step {
            read_units: 2.0,
            write_units: 27.0,
            messages: 1.0,
            github: 6.0,
            work: work("sync, scheduled", 0.5, 0.45, 5.0, Some(5.0)),
            ..step("scheduled sync, unchanged", 4.0)
        },
        Step {
            write_units: 8.0,
            ..step("finding that a sync found changed", 8.0)
        },
        Step {
            read_units: 3.0,
            write_units: 19.0,
            visibility: 1.0,
            github: 1.0,
            work: work("dismiss", 0.25, 0.25, 1.0, Some(4.0)),
            ..step("dismissal", 4.0)
        },
        Step {
            read_units: 3.0,
            write_units: 27.0,
            visibility: 1.0,
            github: 1.0,
            work: work("analyse", 0.25, 0.45, 1.0, Some(5.0)),
            ..step("launch of an analysis", 2.0)
        },
        Step {
            http: 1.0,
            write_units: 4.0,
            messages: 1.0,
            work: api(),
            ..step("callback", 2.0)
        },
        Step {
            read_units: 3.0,
            write_units: 14.0,
            work: work("record-analysis", 0.25, 0.030, 5.0, Some(5.0)),
            ..step("recording of a callback", 2.0)
        },
        Step {
            http: 1.0,
            read_units: 56.0,
            work: api(),
            ..step("page of 50 findings", 2.0)
        },
        Step {
            write_units: 6.0,
            ..step("turn of a scheduled sync", 4.0)
        },
        Step {
            read_units: 20.5,
            work: work("reconcile", 0.25, 4.0, 1.0, None),
            ..step("run of the reconciler", 1440.0 / 1e6)
        },
    ]
}

impl Step {
    fn a_second(&self) -> f64 {
        self.millions * 1e6 / DAY
    }

    /// Requests that SQS bills: one each to send, receive and delete a message, unbatched.
    fn sqs(&self) -> f64 {
        3.0 * self.messages + self.visibility
    }
}

fn sum(steps: &[Step], of: impl Fn(&Step) -> f64) -> f64 {
    steps.iter().map(|step| step.millions * of(step)).sum()
}

pub(crate) fn print() {
    let steps = steps();
    volumes(&steps);
    limits(&steps);
    concurrency(&steps);
    dollars(&steps);
}

fn volumes(steps: &[Step]) {
    let mut lines: Vec<[String; 7]> = steps
        .iter()
        .map(|step| {
            [
                step.what.to_owned(),
                format!("{:.1}", step.a_second()),
                format!("{}", step.read_units),
                format!("{}", step.write_units),
                format!("{:.0}", step.a_second() * step.read_units),
                format!("{:.0}", step.a_second() * step.write_units),
                format!("{:.0}", step.a_second() * step.github),
            ]
        })
        .collect();
    let total = |of: &dyn Fn(&Step) -> f64| format!("{:.0}", sum(steps, of) * 1e6 / DAY);
    lines.push([
        "total".to_owned(),
        String::new(),
        String::new(),
        String::new(),
        total(&|step| step.read_units),
        total(&|step| step.write_units),
        total(&|step| step.github),
    ]);
    table::print(
        "A million owners, ten million commands a day: on average",
        ["what", "1/s", "RCU", "WCU", "RCU/s", "WCU/s", "GitHub/s"],
        &lines,
    );
}

/// Writes of a command to its entry in the `due` index: admission, claim (two, because the key moves), end.
const INDEX_WRITES: f64 = 4.0;

fn limits(steps: &[Step]) {
    let peak = |of: &dyn Fn(&Step) -> f64| sum(steps, of) * 1e6 / DAY * PEAK;
    let commands = 10e6 / DAY * PEAK;
    let due = |shards: u8, writes: f64| writes / f64::from(shards);
    let shards = store::table::DueKind::Command.shards();
    let turns = store::table::DueKind::Schedule.shards();
    let analyses = store::table::DueKind::Analysis.shards();
    // An analysis has four due times: slot taken, session stored, callback, recorded. Each takes two writes but the
    // first and last.
    let launches = 2e6 / DAY * PEAK * 6.0;
    let line = |what: &str, need: f64, limit: f64| {
        [
            what.to_owned(),
            format!("{need:.0}"),
            format!("{limit:.0}"),
            format!("{:.0} %", need / limit * 100.0),
        ]
    };
    let lines = [
        line("table, WCU/s", peak(&|step| step.write_units), 40_000.0),
        line("table, RCU/s", peak(&|step| step.read_units), 40_000.0),
        line(
            "one partition of due commands, WCU/s",
            due(shards, commands * INDEX_WRITES),
            1000.0,
        ),
        line(
            "one of scheduled syncs, WCU/s",
            due(turns, 4e6 / DAY * PEAK * 4.0),
            1000.0,
        ),
        line("one of analyses, WCU/s", due(analyses, launches), 1000.0),
        line("HTTP API, requests/s", peak(&|step| step.http), 10_000.0),
        line("one owner: admissions/s", 1.0, 1000.0 / 3.0),
        line("one owner: findings changed/s", 1.0, 1000.0 / 8.0),
    ];
    table::print(
        "In the busiest minute, against limits",
        ["what", "need", "limit", "used"],
        &lines,
    );
}

fn concurrency(steps: &[Step]) {
    let lines: Vec<[String; 5]> = steps
        .iter()
        .filter_map(|step| Some((step, step.work.as_ref()?)))
        .filter_map(|(step, work)| Some((step, work, work.concurrency?)))
        .map(|(step, work, allowed)| {
            let average = step.a_second() * work.seconds / work.batch;
            let carries = allowed * work.batch / work.seconds;
            [
                work.function.to_owned(),
                format!("{average:.1}"),
                format!("{:.0}", average * PEAK),
                format!("{allowed}"),
                format!("{:.1}", carries * DAY / 1e6),
            ]
        })
        .collect();
    table::print(
        "Invocations at once, full batches",
        [
            "function",
            "average",
            "busiest",
            "allowed",
            "carries, million/day",
        ],
        &lines,
    );
}

/// Stored rows with their index entries, commands for 30 days and findings as long as their owner; rounded up from
/// their write units.
const COMMAND_KIB: f64 = 1.0;
const FINDING_KIB: f64 = 3.0;
const FINDINGS_PER_OWNER: f64 = 100.0;

fn dollars(steps: &[Step]) {
    let month = |of: &dyn Fn(&Step) -> f64| sum(steps, of) * MONTH;
    let gib_seconds = |step: &Step| {
        step.work
            .as_ref()
            .map_or(0.0, |work| work.gib * work.seconds / work.batch)
    };
    let invocations = |step: &Step| step.work.as_ref().map_or(0.0, |work| 1.0 / work.batch);
    let kib = 10e6 * MONTH * COMMAND_KIB + 1e6 * FINDINGS_PER_OWNER * FINDING_KIB;
    let lines = [
        (
            "DynamoDB, writes, million units",
            month(&|step| step.write_units),
            0.625,
        ),
        (
            "DynamoDB, reads, million units",
            month(&|step| step.read_units),
            0.125,
        ),
        ("DynamoDB, storage, GB", kib / 1e6, 0.25),
        ("DynamoDB, point-in-time recovery, GB", kib / 1e6, 0.20),
        ("SQS, million requests", month(&Step::sqs), 0.40),
        ("HTTP API, million requests", month(&|step| step.http), 1.00),
        ("Lambda, million requests", month(&invocations), 0.20),
        (
            "Lambda on arm64, million GB-seconds",
            month(&gib_seconds),
            13.3334,
        ),
        // One KB per invocation.
        ("Logs, GB", month(&invocations), 0.50),
    ];
    let mut total = 0.0;
    let mut lines: Vec<[String; 4]> = lines
        .into_iter()
        .map(|(what, amount, price)| {
            total += amount * price;
            [
                what.to_owned(),
                format!("{amount:.0}"),
                format!("{price}"),
                format!("{:.0}", amount * price),
            ]
        })
        .collect();
    lines.push([
        "total".to_owned(),
        String::new(),
        String::new(),
        format!("{total:.0}"),
    ]);
    lines.push([
        "per thousand commands".to_owned(),
        String::new(),
        String::new(),
        format!("{:.4}", total / (10e6 * MONTH) * 1000.0),
    ]);
    table::print("Dollars a month", ["what", "amount", "$ each", "$"], &lines);
}
