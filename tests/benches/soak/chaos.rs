//! Injects faults one after the other until the run ends.

use std::time::Duration;

use fastrand::Rng;
use tests::Stack;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    Result, Soak,
    faults::{self, Fault, Lasting, Place},
    host::Host,
    sampler::Sampler,
};

/// From one fault to the next.
const PAUSE_MS: std::ops::Range<u64> = 200..1_500;
/// From one clearing of all faults to the next.
const CLEARED_EVERY: Duration = Duration::from_secs(12);
/// From one kill of the whole stack to the next.
const KILLED_EVERY_S: std::ops::Range<u64> = 60..240;
/// A process frozen for this long has lost its leases.
const LONG_FREEZE_MS: std::ops::Range<u64> = 36_000..45_000;
/// The minimum length of a run with faults that last until commands end by them.
const LASTING_FROM: Duration = Duration::from_secs(8 * 60);

/// The state of the fault injection.
struct Chaos<'a> {
    soak: &'a Soak,
    host: &'a mut Host,
    sampler: &'a Sampler,
    /// Frozen processes, and when each resumes.
    frozen: JoinSet<()>,
    /// Faults that outlive clearings and restarts, and until when.
    lasting: Vec<(Instant, Fault)>,
}

/// Injects faults until the run ends. Leaves nothing frozen.
pub(crate) async fn run(
    soak: &Soak,
    host: &mut Host,
    sampler: &Sampler,
    rng: &mut Rng,
    length: Duration,
) -> Result<()> {
    let began = Instant::now();
    let mut chaos = Chaos {
        soak,
        host,
        sampler,
        frozen: JoinSet::new(),
        lasting: Vec::new(),
    };
    let mut next_clearing = began + CLEARED_EVERY;
    // A short run has one too.
    let first = Duration::from_secs(rng.u64(KILLED_EVERY_S)).min(length / 2);
    let mut next_kill = began + first;
    let mut pending = faults::lasting().into_iter().peekable();
    while Instant::now() < soak.ends {
        let now = Instant::now();
        if length >= LASTING_FROM
            && let Some(lasting) =
                pending.next_if(|lasting| began + length.mul_f64(lasting.begins) <= now)
        {
            chaos.begin(lasting, now).await;
        }
        if now >= next_kill {
            chaos.kill_everything().await?;
            next_kill = Instant::now() + Duration::from_secs(rng.u64(KILLED_EVERY_S));
        }
        if now >= next_clearing {
            chaos.host.stack().heal().await;
            chaos.lasting.retain(|(until, _)| now < *until);
            chaos.go_on().await;
            next_clearing = now + CLEARED_EVERY;
        }
        chaos.do_something(rng).await;
        sleep(Duration::from_millis(rng.u64(PAUSE_MS))).await;
    }
    chaos.frozen.join_all().await;
    Ok(())
}

impl Chaos<'_> {
    async fn do_something(&mut self, rng: &mut Rng) {
        let fault = match rng.u32(..100) {
            0..=49 => faults::aws(rng),
            50..=69 => faults::github(rng),
            70..=79 => faults::agent(rng),
            80..=82 => faults::outage(rng),
            83..=89 => return self.kill_one(rng),
            90..=92 => return self.freeze_one(rng),
            93..=94 => {
                self.soak.github.revoke_tokens();
                return self.soak.tally.fault("GitHub: all tokens revoked");
            }
            95..=97 => return self.schedule(rng).await,
            98 => return self.garbage(rng).await,
            _ => return self.freeze_everything(rng).await,
        };
        self.set(&fault).await;
        self.soak.tally.fault(fault.kind);
    }

    async fn set(&self, fault: &Fault) {
        let stack = self.host.stack();
        match fault.at {
            Place::Aws => stack.fault(&fault.body).await,
            Place::Github => stack.github_fault(&fault.body).await,
            Place::Agent => stack.agent_fault(&fault.body).await,
        }
    }

    async fn begin(&mut self, lasting: Lasting, now: Instant) {
        self.soak.tally.fault(lasting.kind);
        for fault in &lasting.at_once {
            self.set(fault).await;
        }
        self.lasting.push((now + lasting.lasts, lasting.fault));
        self.go_on().await;
    }

    /// Sets the lasting faults again after all faults were cleared.
    async fn go_on(&self) {
        for (_, fault) in &self.lasting {
            self.set(fault).await;
        }
    }

    fn kill_one(&self, rng: &mut Rng) {
        if let Some((function, pid)) = rng.choice(self.sampler.processes())
            && Stack::signal(pid, "KILL")
        {
            self.soak
                .tally
                .fault(format!("SIGKILL of a process of {function}"));
        }
    }

    /// Freezes a process for some seconds, or for longer than its leases last.
    fn freeze_one(&mut self, rng: &mut Rng) {
        let Some((_, pid)) = rng.choice(self.sampler.processes()) else {
            return;
        };
        let long = rng.u32(..4) == 0;
        let still = Duration::from_millis(rng.u64(if long { LONG_FREEZE_MS } else { 500..8_000 }));
        if Stack::signal(pid, "STOP") {
            let kind = format!("SIGSTOP of a function's process {}", duration(long));
            self.soak.tally.fault(kind);
            self.frozen.spawn(async move {
                sleep(still).await;
                // It may have been killed in the meantime.
                let _ = Stack::signal(pid, "CONT");
            });
        }
    }

    /// Freezes the stack, and the functions with it: gateway, queues, tables and clocks at once.
    async fn freeze_everything(&self, rng: &mut Rng) {
        let long = rng.u32(..8) == 0;
        let still = Duration::from_millis(rng.u64(if long { LONG_FREEZE_MS } else { 500..5_000 }));
        let pid = self.host.pid();
        if Stack::signal(pid, "STOP") {
            let kind = format!("SIGSTOP of the stack {}", duration(long));
            self.soak.tally.fault(kind);
            sleep(still).await;
            let _ = Stack::signal(pid, "CONT");
        }
    }

    async fn kill_everything(&mut self) -> Result<()> {
        let killed = self.sampler.last_look().await;
        self.soak.tally.counts().killed += killed;
        self.host.kill_and_restart().await?;
        self.sampler.watch(self.host.pid());
        self.soak.tally.fault("SIGKILL of the whole stack");
        self.go_on().await;
        Ok(())
    }

    /// Makes an owner's scheduled sync due.
    async fn schedule(&self, rng: &mut Rng) {
        let party = &self.soak.parties[rng.usize(..self.soak.parties.len())];
        self.host
            .stack()
            .backstage
            .schedule_due(party.caller.owner())
            .await;
        self.soak.tally.client("scheduled syncs made due");
    }

    /// Sends a message that no function can parse.
    async fn garbage(&self, rng: &mut Rng) {
        let queues = [
            "SyncQueue",
            "DismissQueue",
            "AnalyseQueue",
            "CallbackQueue",
            "ScheduledSyncQueue",
        ];
        let queue = queues[rng.usize(..queues.len())];
        self.host
            .stack()
            .backstage
            .send(queue, "not a message")
            .await;
        self.soak.tally.fault("an unreadable message");
    }
}

/// The length of a freeze, in words.
const fn duration(long: bool) -> &'static str {
    if long {
        "for longer than a lease"
    } else {
        "for some seconds"
    }
}
