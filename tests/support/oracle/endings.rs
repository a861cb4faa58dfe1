//! Points 2 and 7: every command ended once, in one way, and what came to a dead-letter queue ended its command or is
//! kept for an operator.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Evidence, Judgement, count,
    logs::{ENDINGS, KEPT},
};

/// Messages of which one process may hold the outcome when it dies: the largest batch.
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
        judgement.hold("2: it ended as it is told", otherwise.is_none(), || {
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
        || format!("{unwritten} ends that nobody logged, and {killed} processes killed"),
    );
    dead_letters_are_settled(evidence, lost, judgement).await;
}

/// Invocations of this run of the stack that ended with their process, or in an error.
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
    let what = "7: what ran out of deliveries was settled as that";
    judgement.hold(
        what,
        settled <= exhausted && exhausted <= settled + lost,
        || format!("{settled} logged, {exhausted} told"),
    );
    let kept: usize = KEPT
        .iter()
        .map(|message| evidence.logs.with(message).len())
        .sum();
    let held = stack.depth("MalformedQueue").await;
    let all = count(kept) <= held && held <= count(kept + lost);
    judgement.hold("7: what nobody can read is kept", all, || {
        format!("{kept} logged, {held} kept")
    });
    let malformed = with("MALFORMED_MESSAGE");
    judgement.hold(
        "7: what nobody can read ends its command",
        count(malformed) <= held,
        || format!("{malformed} told, {held} kept"),
    );
}
