//! Points 2 and 3: a late message moves no command and reaches neither GitHub nor the agent.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Judgement, Records};
use crate::{Caller, Consumer, Stack, batch, command_id, failures, is_over, message};

/// Messages per invocation: far fewer than it has time for.
const BATCH: usize = 50;

/// Redelivers every message that each command ever had, to its worker and as a dead letter.
pub(super) async fn deliver(stack: &Stack, commands: &Records<'_>, judgement: &mut Judgement) {
    let mut messages: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    let ended = commands
        .iter()
        .filter(|(_, command)| is_over(&command.view));
    for (id, command) in ended {
        let key = command.caller.key(*id);
        let consumer = Consumer::of(command.stored.action.command_type());
        for stage in 0..=command.stored.state.stage.0 {
            let late = message(&key, stage);
            let dead = ("dead-letter", consumer.dead_letters);
            messages.entry(dead).or_default().push(late.clone());
            let alive = (consumer.function, consumer.queue);
            messages.entry(alive).or_default().push(late);
        }
    }
    let asked = stack.github_requests().await.len();
    let sessions = stack.agent_sessions().await.len();
    for ((function, queue), late) in &messages {
        for late in late.chunks(BATCH) {
            let answer = stack.invoke(function, &batch(queue, late)).await;
            let done = answer
                .as_ref()
                .is_ok_and(|answer| failures(answer).is_empty());
            let what = "2: late messages are acknowledged";
            judgement.hold(what, done, || format!("{function} of {queue}: {answer:?}"));
        }
    }
    let calls = stack.github_requests().await.len() - asked;
    let begun = stack.agent_sessions().await.len() - sessions;
    let what = "3: no late message reaches GitHub or the agent";
    judgement.hold(what, (calls, begun) == (0, 0), || {
        format!("{calls} calls, {begun} sessions")
    });
    // The reconciler would continue whatever the late messages had started.
    let report = stack.reconcile().await;
    let idle = report["stalled"] == 0 && report["resent"] == 0;
    judgement.hold("2: the reconciler finds nothing to do", idle, || {
        report.to_string()
    });
    let callers = commands.values().map(|command| command.caller);
    let callers: BTreeMap<String, &Caller> = callers
        .map(|caller| (caller.owner().to_string(), caller))
        .collect();
    for caller in callers.values() {
        for view in caller.all("commands").await {
            let before = commands
                .get(&command_id(&view))
                .map(|command| &command.view);
            let moved = || format!("{} became {view}", before.unwrap_or(&Value::Null));
            judgement.hold(
                "2: no late message moves a command",
                before == Some(&view),
                moved,
            );
        }
    }
}
