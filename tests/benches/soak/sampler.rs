//! Memory, processes and failed invocations of the stack, sampled every second.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::Client;
use serde_json::Value;
use tokio::{task::JoinHandle, time::sleep};

/// From one sample to the next.
const PAUSE: Duration = Duration::from_secs(1);
/// The name of the stack's own entry.
const STACK: &str = "the stack itself";

/// A task that samples until it is dropped.
#[derive(Debug)]
pub(crate) struct Sampler {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    http: Client,
    url: String,
    seen: Mutex<Seen>,
}

/// What was seen of one function, or of the stack.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// The peak memory of one process, in KiB.
    pub(crate) peak_kib: u64,
    /// The maximum number of processes at once.
    pub(crate) processes: usize,
    /// Invocations over all runs of the stack.
    pub(crate) invocations: u64,
    /// Failed invocations: the process was killed, or timed out.
    pub(crate) errors: u64,
    /// Invocations that timed out.
    pub(crate) timeouts: u64,
    /// Invocations that Lambda refused, because the concurrency was used up.
    pub(crate) throttles: u64,
    /// Invocations that Lambda refused as parts of a recursive loop.
    pub(crate) loops_stopped: u64,
    /// The counts of the current run of the stack.
    latest: [u64; 5],
}

#[derive(Debug, Default)]
struct Seen {
    stack: u64,
    by_name: BTreeMap<String, Usage>,
    functions: Vec<Value>,
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sampler {
    pub(crate) fn start(url: &str, stack: u64) -> Self {
        let seen = Seen {
            stack,
            ..Seen::default()
        };
        let shared = Arc::new(Shared {
            http: Client::new(),
            url: url.to_owned(),
            seen: Mutex::new(seen),
        });
        let looking = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                looking.look().await;
                sleep(PAUSE).await;
            }
        });
        Self { shared, task }
    }

    /// Samples once more before the stack is killed. Returns the number of its functions' processes.
    pub(crate) async fn last_look(&self) -> usize {
        self.shared.look().await;
        let mut seen = self.shared.seen();
        for usage in seen.by_name.values_mut() {
            // The next run counts from zero.
            usage.latest = [0; 5];
        }
        seen.functions.iter().flat_map(pids).count()
    }

    /// Notes the restarted stack's process.
    pub(crate) fn watch(&self, stack: u64) {
        self.shared.seen().stack = stack;
    }

    /// The functions' processes by name, at the last sample.
    pub(crate) fn processes(&self) -> Vec<(String, u64)> {
        let seen = self.shared.seen();
        let of = |function: &Value| {
            let name = function["name"].as_str().unwrap_or_default().to_owned();
            pids(function)
                .map(|pid| (name.clone(), pid))
                .collect::<Vec<_>>()
        };
        seen.functions.iter().flat_map(of).collect()
    }

    pub(crate) fn usage(&self) -> BTreeMap<String, Usage> {
        self.shared.seen().by_name.clone()
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does nothing while the stack is down or frozen.
    async fn look(&self) {
        let request = self.http.get(format!("{}/local/functions", self.url));
        let Ok(answer) = request.timeout(Duration::from_secs(2)).send().await else {
            return;
        };
        let Ok(Value::Array(functions)) = answer.json().await else {
            return;
        };
        let mut seen = self.seen();
        let stack = seen.stack;
        let usage = seen.by_name.entry(STACK.to_owned()).or_default();
        usage.peak_kib = usage.peak_kib.max(peak_kib(stack));
        usage.processes = 1;
        for function in &functions {
            let name = function["name"].as_str().unwrap_or_default();
            let usage = seen.by_name.entry(name.to_owned()).or_default();
            usage.processes = usage.processes.max(pids(function).count());
            let peak = pids(function).map(peak_kib).max().unwrap_or_default();
            usage.peak_kib = usage.peak_kib.max(peak);
            let now = [
                "invocations",
                "errors",
                "timeouts",
                "throttles",
                "recursiveInvocationsDropped",
            ]
            .map(|count| function[count].as_u64().unwrap_or_default());
            let Usage {
                invocations,
                errors,
                timeouts,
                throttles,
                loops_stopped,
                latest,
                ..
            } = usage;
            let sums = [invocations, errors, timeouts, throttles, loops_stopped];
            for ((sum, before), now) in sums.into_iter().zip(latest).zip(now) {
                *sum += now.saturating_sub(*before);
                *before = now;
            }
        }
        seen.functions = functions;
    }
}

fn pids(function: &Value) -> impl Iterator<Item = u64> {
    let pids = function["pids"].as_array().into_iter().flatten();
    pids.filter_map(Value::as_u64)
}

/// The peak memory of a process, or 0 if it is gone.
fn peak_kib(pid: u64) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse().ok()).unwrap_or_default()
}
