//! Any HTTP response of GitHub or the agent: a worker ends in time without a panic and calls no other host; its command
//! ends or is released; stored rows are readable and consistent; and a possible effect is never reported as none. Once
//! responses are good again, a released command completes.

use std::{collections::BTreeMap, time::Duration};

use aws_lambda_events::event::sqs::SqsEvent;
use domain::{
    command::{Action, Command, CommandKey, DismissFinding, StartAnalysis, SyncFindings},
    finding::DismissReason,
    lifecycle::Status,
    result_code::Effect,
};
use proptest::{collection::vec, prelude::*, sample::select};
use runtime::queue::Message;
use serde_json::{Value, json};
use tests::{Holder, NOON, command, states};
use tokio::time::timeout;

use crate::{
    explore::{cases, explore, on_a_large_stack},
    functions::{Function, Functions},
    json::bodies,
    routes::Request,
    scene::{CALLER, OPEN, STRANGER, Scene, changed, command_id, finding_id, user},
    upstream::{Framing, Operation, Reply, Script, Upstream, body, good},
};

/// How many cases run at a time: they mostly wait for backoffs.
const WIDTH: usize = 20;
/// The time of an invocation in seconds: one that may be made to wait, and one with good responses.
const KILLED_AFTER: u64 = 7;
const UNHURRIED: u64 = 60;
/// Extra time for a busy machine.
const SLACK: Duration = Duration::from_secs(60);

/// Statuses of every class, and those with a meaning.
const STATUSES: [u16; 32] = [
    200, 200, 201, 202, 204, 206, 299, 300, 301, 302, 304, 307, 308, 400, 401, 402, 403, 403, 404,
    408, 409, 410, 418, 422, 429, 451, 500, 502, 503, 504, 599, 999,
];

/// Headers that steer a client, with values that may confuse it.
const HEADERS: [(&str, &[&str]); 7] = [
    (
        "link",
        &[
            "<{here}/repos/octo/app/dependabot/alerts?after=x>; rel=\"next\"",
            "<{here}/installation/repositories?per_page=100>; rel=\"next\"",
            "<{here}/installation/repositories?page=2>; rel=\"next\"",
            "<{elsewhere}/repos/octo/app/dependabot/alerts?after=x>; rel=\"next\"",
            "<//{elsewhere}>; rel=next, <>; rel=\"next\"",
            "<{here}/repos/octo/other/dependabot/alerts?after=x>; rel=\"next\"",
            ">;<,,;=\"",
        ],
    ),
    (
        "retry-after",
        &[
            "0",
            "1",
            "-1",
            "90",
            "99999999999999999999",
            "Mon, 23 Nov 2026 12:00:01 GMT",
            "soon",
            "",
        ],
    ),
    ("x-ratelimit-remaining", &["0", "0", "-1", "none"]),
    (
        "x-ratelimit-reset",
        &["0", "1795435260", "18446744073709551615", "-1", "later"],
    ),
    (
        "location",
        &[
            "{here}/repositories/7/dependabot/alerts",
            "{here}/repositories/8/dependabot/alerts/1",
            "{elsewhere}/repositories/7",
            "/repos/octo/app/dependabot/alerts",
            "//evil.example",
            "http://[",
            "",
        ],
    ),
    (
        "content-type",
        &["text/html", "application/json; charset=utf-16", "\u{ff}"],
    ),
    ("etag", &["W/\"x\"", "\""]),
];

fn header() -> impl Strategy<Value = (String, String)> {
    let fitting = select(&HEADERS[..])
        .prop_flat_map(|(name, values)| (Just(name), select(values)))
        .prop_map(|(name, value)| (name.to_owned(), value.to_owned()));
    let huge = select(vec!["link", "location", "retry-after", "x-huge"])
        .prop_map(|name| (name.to_owned(), "9".repeat(20_000)));
    prop_oneof![20 => fitting, 1 => huge]
}

fn reply(operation: Operation) -> BoxedStrategy<Reply> {
    let right = good(operation).status;
    let status = prop_oneof![2 => Just(right), 3 => select(&STATUSES[..])];
    let bodies = match body(operation) {
        Value::Null => vec(any::<u8>(), 0..64).boxed(),
        body => bodies(
            vec![body, json!({"message": "API rate limit exceeded"})],
            &["ses-9", "..", "dismissed"],
        ),
    };
    let framing = prop_oneof![
        24 => Just(Framing::Whole),
        2 => Just(Framing::Cut),
        1 => Just(Framing::Stalls),
        2 => Just(Framing::Absent),
        1 => Just(Framing::Noise),
    ];
    (status, vec(header(), 0..=2), bodies, framing)
        .prop_map(|(status, headers, body, framing)| Reply {
            status,
            headers,
            body,
            framing,
        })
        .boxed()
}

/// One or two operations whose next responses are arbitrary.
fn scripts(operations: &[Operation]) -> impl Strategy<Value = Script> + use<> {
    let one = select(operations.to_vec()).prop_flat_map(|operation| {
        let replies = vec(reply(operation), 1..=4).prop_map(Into::into);
        (Just(operation), replies)
    });
    vec(one, 1..=2)
}

/// A case's own scene, with one command of this function.
struct Stage {
    scene: Scene,
    upstream: Upstream,
    function: Function,
    key: CommandKey,
}

impl Stage {
    async fn set(function: Function, script: Script) -> Self {
        let scene = Scene::set().await;
        let finding = finding_id(OPEN);
        let action = match function {
            Function::Sync => SyncFindings::all().into(),
            Function::Dismiss => Action::from(DismissFinding {
                finding,
                reason: DismissReason::NotUsed,
                comment: None,
            }),
            Function::Analyse => StartAnalysis::of(finding).into(),
            other => unreachable!("{other:?} makes no calls"),
        };
        let (_, accepted) = states(Holder::Another).swap_remove(0);
        let mut row = command(user(CALLER), accepted);
        row.key.id = command_id(80);
        row.action = action;
        scene.table.put_command(&row).await;
        Self {
            scene,
            upstream: Upstream::start(script).await,
            function,
            key: row.key,
        }
    }

    /// Delivers the command's message and returns the command.
    async fn deliver(&self, functions: &Functions, killed_after: u64) -> Command {
        let command = self.command().await;
        let record = json!({
            "messageId": "1", "receiptHandle": "1", "body": Message::of(&command).body(),
            "attributes": {"ApproximateReceiveCount": "1"},
        });
        let event: SqsEvent =
            serde_json::from_value(json!({"Records": [record]})).expect("an event");
        let invoked = functions.invoke(self.function, &event, killed_after);
        let within = Duration::from_secs(killed_after) + SLACK;
        let response = timeout(within, invoked).await.expect("it ends in time");
        let after = self.command().await;
        let state = &after.state;
        if response.batch_item_failures.is_empty() {
            let queued = state.stage != command.state.stage;
            assert!(
                state.status.is_terminal() || queued,
                "acknowledged but not ended: {after:?}"
            );
        } else {
            assert!(
                !state.status.is_terminal(),
                "handed back but ended: {after:?}"
            );
            let held = state.lease.is_some_and(|lease| lease.until > NOON);
            assert!(!held, "handed back but still leased: {after:?}");
        }
        after
    }

    async fn command(&self) -> Command {
        let read = self.scene.app.ledger.read(&self.key, NOON).await;
        read.expect("the table answers").expect("it is there")
    }

    async fn check(&self, command: &Command) {
        let known = self.upstream.known();
        // If everything is slow, the time may be over before the first call.
        assert!(
            known.calls > 0 || command.ended.is_none(),
            "there was no call"
        );
        assert_eq!(known.strayed, 0, "another host was called");
        let done = match self.function {
            Function::Dismiss => known.dismissed,
            Function::Analyse => known.launched,
            _ => false,
        };
        if let Some(ended) = command.ended {
            assert!(
                !done || ended.effect != Effect::None,
                "it was done, but the command says {command:?}"
            );
            if command.status() == Status::Succeeded {
                assert_eq!(ended.effect, Effect::Applied);
            }
        }
        let rows = self.scene.rows().await;
        for (pk, sk) in changed(&self.scene.seeds, &rows) {
            assert!(!pk.contains(STRANGER), "{pk} {sk}");
        }
        self.scene.check_readable().await;
        self.check_sums().await;
    }

    /// Checks that the counts match the findings.
    async fn check_sums(&self) {
        let list = self.get("findings").await;
        let findings = list["findings"].as_array().expect("a list");
        let count = |pointer: &str, value: &str| -> u64 {
            let here = findings
                .iter()
                .filter(|finding| finding.pointer(pointer).and_then(Value::as_str) == Some(value));
            here.count() as u64
        };
        let summary = self.get("summary").await;
        let counted = |within: &str, names: &[&str]| -> BTreeMap<String, Value> {
            let count = |name: &&str| ((*name).to_owned(), summary[within][*name].clone());
            names.iter().map(count).collect()
        };
        let sums = |pointer: &str, names: &[&str]| -> BTreeMap<String, Value> {
            let count = |name: &&str| ((*name).to_owned(), count(pointer, name).into());
            names.iter().map(count).collect()
        };
        for (within, pointer, names) in [
            (
                "findings",
                "/status",
                ["open", "fixed", "ignored"].as_slice(),
            ),
            (
                "analysis",
                "/analysis/status",
                &["pending", "running", "completed", "failed"],
            ),
        ] {
            assert_eq!(counted(within, names), sums(pointer, names), "{within}");
        }
    }

    async fn get(&self, path: &str) -> Value {
        let mut request = Request::of(&format!("GET /v1/owners/{{owner}}/{path}"), "me");
        "limit=100".clone_into(&mut request.query);
        if path == "summary" {
            request.query.clear();
        }
        let answer = self.scene.ask(&request.event()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

async fn try_script(function: Function, script: Script) {
    let stage = Stage::set(function, script).await;
    let functions = Functions::of(&stage.scene, &stage.upstream.url);
    let command = stage.deliver(&functions, KILLED_AFTER).await;
    stage.check(&command).await;
    let waits = command
        .state
        .waiting_until
        .is_some_and(|until| until > NOON);
    if command.status().is_terminal() || waits {
        return;
    }
    stage.upstream.recover();
    // A new client: the first may remember earlier responses.
    let functions = Functions::of(&stage.scene, &stage.upstream.url);
    let command = stage.deliver(&functions, UNHURRIED).await;
    assert!(
        command.status().is_terminal(),
        "released but not completed: {command:?}"
    );
    stage.check(&command).await;
}

/// Responses that were once misread: success in an unusual form is not a refusal.
fn known() -> Vec<(Function, Script)> {
    let dismissed = |status| {
        let reply = Reply::json(status, &json!({"dismissed": true}));
        (
            Function::Dismiss,
            vec![(Operation::Dismissal, [reply].into())],
        )
    };
    vec![dismissed(201), dismissed(202), dismissed(204)]
}

#[test]
fn known_misread_responses_are_read_correctly() {
    on_a_large_stack(async || {
        for (function, script) in known() {
            try_script(function, script).await;
        }
    });
}

fn try_scripts(function: Function, of_a_hundred: u32, operations: &[Operation]) {
    on_a_large_stack(async || {
        let scripts = scripts(operations);
        explore(cases(of_a_hundred), WIDTH, &scripts, async |script| {
            try_script(function, script).await;
        })
        .await;
    });
}

#[test]
fn a_sync_stores_only_valid_rows_from_any_response() {
    let operations = [
        Operation::Token,
        Operation::Repositories,
        Operation::Alerts,
        Operation::Alerts,
    ];
    try_scripts(Function::Sync, 24, &operations);
}

#[test]
fn a_dismissal_reports_its_effect_after_any_response() {
    let operations = [
        Operation::Token,
        Operation::Dismissal,
        Operation::Dismissal,
        Operation::Alert,
    ];
    try_scripts(Function::Dismiss, 24, &operations);
}

#[test]
fn a_launch_reports_its_effect_after_any_response() {
    let operations = [
        Operation::Token,
        Operation::Launch,
        Operation::Launch,
        Operation::Alert,
    ];
    try_scripts(Function::Analyse, 24, &operations);
}
