//! The end: faults are cleared, work completes, and the oracle judges.

use std::{collections::BTreeSet, time::Duration};

use domain::command::CommandId;
use futures::{StreamExt as _, stream};
use serde_json::Value;
use tests::{
    Caller, is_over,
    oracle::{self, Circumstances, Judgement},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    Result, Soak,
    arguments::TIMEOUTS,
    host::Host,
    parties::{Party, settled},
    sampler::Sampler,
};

/// The time limit for all work after the last fault: point 1, and some minutes for the queue behind it.
const ALL_ENDED: Duration =
    Duration::from_secs(TIMEOUTS.accepted_seconds + TIMEOUTS.running_seconds + 180);
/// Owners whose last sync runs at once.
const AT_ONCE: usize = 4;

/// The result of the run.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) judgement: Judgement,
    /// All remaining commands of all owners, as the API shows them.
    pub(crate) views: Vec<Value>,
    /// Commands that a worker took over from another that had died or released them.
    pub(crate) taken_over: usize,
    /// From the last fault until no work was left.
    pub(crate) drained_in: Duration,
    /// The duration of the oracle.
    pub(crate) judged_in: Duration,
}

impl Judged {
    pub(crate) fn holds(&self) -> bool {
        self.judgement.breaches().is_empty()
    }
}

/// Clears all faults, waits until no work is left, has every owner sync once more, and asks the oracle.
pub(crate) async fn judge(
    soak: &Soak,
    host: &mut Host,
    sampler: &Sampler,
    clients: JoinHandle<()>,
    guests: JoinHandle<()>,
) -> Result<Judged> {
    let began = Instant::now();
    host.stack().heal().await;
    settle(soak).await;
    let deadline = began + ALL_ENDED;
    let mut judgement = Judgement::default();
    let left = drain(soak, host, deadline).await;
    judgement.hold("1: everything ends in time", left.is_none(), || {
        left.unwrap_or_default()
    });
    for tasks in [clients, guests] {
        let ended = timeout_at(deadline + Duration::from_secs(60), tasks).await;
        judgement.hold(
            "1: every client sees its command end",
            matches!(ended, Ok(Ok(()))),
            || format!("{ended:?}"),
        );
    }
    let drained_in = began.elapsed();
    // The last clients may have restored their owners' settings.
    settle(soak).await;

    soak.tally.counts().killed += sampler.last_look().await;
    host.stop_the_clock();
    host.kill_and_restart().await?;
    sampler.watch(host.pid());
    let last = stream::iter(&soak.parties)
        .map(last_sync)
        .buffer_unordered(AT_ONCE);
    for refused in last.collect::<Vec<_>>().await {
        judgement.hold(
            "4: a sync completes after recovery",
            refused.is_none(),
            || refused.unwrap_or_default(),
        );
    }
    let left = drain(soak, host, Instant::now() + Duration::from_secs(120)).await;
    judgement.hold("1: everything ends in time", left.is_none(), || {
        left.unwrap_or_default()
    });

    let asked = Instant::now();
    let callers: Vec<&Caller> = soak.parties.iter().map(|party| &party.caller).collect();
    let circumstances = circumstances(soak, sampler);
    judgement.add(oracle::judge(host.stack(), &callers, &circumstances).await);
    judgement.add(oracle::judge_analyses(host.stack(), &callers, &circumstances).await);
    nothing_is_left_of_the_erased(soak, host, &mut judgement).await;
    judgement.add(std::mem::take(&mut soak.tally.counts().judgement));

    let (views, taken_over) = all_commands(host, &callers).await;
    let known: BTreeSet<CommandId> = views.iter().map(tests::command_id).collect();
    for id in callers.iter().flat_map(|caller| caller.told_ended()) {
        let what = "1: every reported command is in the history";
        judgement.hold(what, known.contains(&id), || id.to_string());
    }
    Ok(Judged {
        judgement,
        views,
        taken_over,
        drained_in,
        judged_in: asked.elapsed(),
    })
}

/// Selects the good repositories for every owner, and disables automation.
async fn settle(soak: &Soak) {
    for party in &soak.parties {
        // The response may be lost with a process just killed; a retry succeeds.
        while !party
            .caller
            .try_configure(&settled())
            .await
            .is_ok_and(|saved| saved.status.is_success())
        {
            sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Waits until no work is left. Returns what is left at the deadline.
async fn drain(soak: &Soak, host: &Host, deadline: Instant) -> Option<String> {
    loop {
        let left = under_way(soak, host).await?;
        if Instant::now() > deadline {
            return Some(left);
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Returns unfinished work.
async fn under_way(soak: &Soak, host: &Host) -> Option<String> {
    let queues = host.stack().get("/local/queues").await;
    for queue in queues.as_array().into_iter().flatten() {
        let states = ["visible", "inFlight", "delayed"];
        let messages: u64 = states
            .iter()
            .filter_map(|state| queue[*state].as_u64())
            .sum();
        if messages > 0 && queue["name"] != "MalformedQueue" {
            return Some(format!("messages: {queue}"));
        }
    }
    let sessions = host.stack().agent_sessions().await;
    if let Some(session) = sessions.iter().find(|session| session["settled"] != true) {
        return Some(format!("a session: {session}"));
    }
    for party in &soak.parties {
        for path in ["commands?state=active", "summary"] {
            let Ok(shown) = party.caller.try_get(path, &[]).await else {
                return Some(format!("no answer from {path}"));
            };
            let active = shown.body["commands"]
                .as_array()
                .is_some_and(|active| !active.is_empty());
            let analyses = &shown.body["analysis"];
            let running = ["pending", "running"]
                .iter()
                .any(|state| analyses[*state].as_u64().unwrap_or(0) > 0);
            if active || running || !shown.status.is_success() {
                return Some(format!("{}: {}", party.caller.owner(), shown.body));
            }
        }
    }
    None
}

/// Syncs once more, after which findings must match GitHub's alerts; returns what is wrong. If GitHub has refused the
/// owner's credentials twice in a row, it is not called for an hour, and the sync reports that.
async fn last_sync(party: &Party) -> Option<String> {
    let id = party.caller.sync().await;
    let call_timeouts = Duration::from_secs(180);
    let view = party
        .caller
        .until_within(call_timeouts, id, "over", is_over)
        .await;
    let integration = party.caller.get("integration").await.body;
    let refused =
        view["resultCode"] == "GITHUB_AUTH_INVALID" && !integration["authInvalidAt"].is_null();
    let holds = view["resultCode"] == "SYNC_COMPLETED" || refused;
    (!holds).then(|| view.to_string())
}

fn circumstances(soak: &Soak, sampler: &Sampler) -> Circumstances {
    let counts = soak.tally.counts();
    let errors: u64 = sampler.usage().values().map(|usage| usage.errors).sum();
    Circumstances {
        subjects: soak
            .parties
            .iter()
            .map(|party| party.subject.clone())
            .collect(),
        untold: counts.untold.clone(),
        erased: counts.erased.clone(),
        reopened: soak.alerts.paths(),
        killed: counts.killed + usize::try_from(errors).unwrap_or(usize::MAX),
    }
}

/// 34: only the tombstone of an erased owner is left.
async fn nothing_is_left_of_the_erased(soak: &Soak, host: &Host, judgement: &mut Judgement) {
    let gone = soak.tally.counts().gone.clone();
    for owner in &gone {
        let mut rows = Vec::new();
        for kind in ["command", "key", "owner", "repository", "finding", "audit"] {
            let keys = host
                .stack()
                .backstage
                .partition(&format!("{kind}#{owner}"))
                .await;
            rows.extend(keys.into_iter().map(|key| format!("{kind} {key}")));
        }
        let what = "7: only the tombstone of an erased owner is left";
        judgement.hold(what, rows == ["owner erasure"], || {
            format!("{owner}: {rows:?}")
        });
    }
}

async fn all_commands(host: &Host, callers: &[&Caller]) -> (Vec<Value>, usize) {
    let (mut views, mut taken_over) = (Vec::new(), 0);
    for caller in callers {
        for view in caller.all("commands").await {
            if view["attempts"].as_u64() > Some(1) {
                let key = caller.key(tests::command_id(&view));
                let command = host.stack().backstage.command(&key).await;
                taken_over += usize::from(command.state.follows_another());
            }
            views.push(view);
        }
    }
    (views, taken_over)
}
