//! Points 2 and 7: every command ended once, in one way, and each dead letter ended its command or is quarantined for
//! an operator.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Evidence, Judgement, count,
    logs::{ENDINGS, KEPT},
};

/// The most messages whose outcomes a process can lose when it dies: the largest batch.
const IN_HAND: usize = 10;

pub(super) async fn judge(evidence: &Evidence<'_>, judgement: &mut Judgement) {
    let mut endings: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for message in ENDINGS {
        for line in evidence.logs.with(message) {
            if line["ended"] != false {
                let id = line["command.id"].as_str().unwrap_or_default();
                endings.entry(id).or_default().push(line);
            }
        }
    }
    let mut unwritten = 0;
    for (id, command) in &evidence.commands {
        let view = &command.view;
        let lines = endings.remove(id.to_string().as_str()).unwrap_or_default();
        let queued = view["resultCode"] != "QUEUE_ADMISSION_FAILED";
        judgement.hold(
            "2: every command ended once",
            lines.len() <= usize::from(queued),
            || format!("{} endings of {view}: {lines:?}", lines.len()),
        );
        let otherwise = lines.iter().find(|line| {
            let code = &line["command.code"];
            !code.is_null() && *code != view["resultCode"]
        });
        judgement.hold("2: it ended as the API says", otherwise.is_none(), || {
            format!("{view}: {}", otherwise.copied().unwrap_or(&Value::Null))
        });
        if queued && lines.is_empty() {
            unwritten += 1;
        }
    }
    let killed = evidence.circumstances.killed + failed_invocations(evidence).await;
    let lost = killed * IN_HAND;
    judgement.hold(
        "2: every end is logged, unless its process was killed",
        unwritten <= lost,
        || format!("{unwritten} ends were not logged, and {killed} processes were killed"),
    );
    dead_letters_are_settled(evidence, lost, judgement).await;
}

/// The number of invocations in this run of the stack that died with their process or returned an error.
async fn failed_invocations(evidence: &Evidence<'_>) -> usize {
    let functions = evidence.stack.functions().await;
    let errors = functions
        .iter()
        .filter_map(|function| function["errors"].as_u64());
    usize::try_from(errors.sum::<u64>()).unwrap_or(usize::MAX)
}

async fn dead_letters_are_settled(evidence: &Evidence<'_>, lost: usize, judgement: &mut Judgement) {
    let stack = evidence.stack;
    for queue in &stack.dead_letter_queues().await {
        let depth = stack.depth(queue).await;
        judgement.hold("7: dead-letter queues are empty", depth == 0, || {
            format!("{depth} in {queue}")
        });
    }
    let with = |code: &str| {
        let found = evidence.commands.values();
        found
            .filter(|command| command.view["resultCode"] == code)
            .count()
    };
    let is_known = |line: &&Value| {
        let id = line["command.id"].as_str().and_then(|id| id.parse().ok());
        id.is_some_and(|id| evidence.commands.contains_key(&id))
    };
    let [by_worker, by_dead_letter, _, _] = ENDINGS.map(|message| evidence.logs.with(message));
    let exhausted = |line: &&Value| line["command.code"] == "QUEUE_RETRIES_EXHAUSTED";
    let settled = by_worker.iter().chain(by_dead_letter).filter(exhausted);
    let settled = settled.filter(is_known).count();
    let exhausted = with("QUEUE_RETRIES_EXHAUSTED");
    let what = "7: exhausted commands match their log lines";
    judgement.hold(
        what,
        settled <= exhausted && exhausted <= settled + lost,
        || format!("{settled} logged, {exhausted} reported"),
    );
    let kept: usize = KEPT
        .iter()
        .map(|message| evidence.logs.with(message).len())
        .sum();
    let held = stack.depth("MalformedQueue").await;
    let all = count(kept) <= held && held <= count(kept + lost);
    judgement.hold("7: unreadable messages are quarantined", all, || {
        format!("{kept} logged, {held} quarantined")
    });
    let malformed = with("MALFORMED_MESSAGE");
    judgement.hold(
        "7: an unreadable message ends its command",
        count(malformed) <= held,
        || format!("{malformed} reported, {held} quarantined"),
    );
}
