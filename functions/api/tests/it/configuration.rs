//! Saving the configuration, and the sync that it starts.

use serde_json::{Value, json};

use crate::support::{Answer, Call, Queue, Stack, get, github::succeeded, put};

const CONFIG: &str = "/v1/owners/{owner}/config";

fn save(version: &str, body: Value) -> Call {
    put(CONFIG).header("if-match", version).body(body)
}

async fn saved(stack: &Stack, version: &str, body: Value) -> Answer {
    let answer = stack.call(save(version, body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

fn defaults() -> Value {
    json!({
        "enabled": false, "repositorySelection": "all", "selectedRepositoryIds": [], "autoSync": true,
        "analysisMode": "auto", "triageModel": "auto", "analysisModel": "auto",
        "autoAnalysis": {"enabled": false, "minSeverity": "high", "includeExisting": false},
        "autoDismiss": {"enabled": false, "minConfidence": "high"},
        "slaDays": {"critical": 15, "high": 30, "medium": 45, "low": 90}, "version": 0
    })
}

#[tokio::test]
async fn a_configuration_can_be_saved_as_read_and_omitted_fields_stay() {
    let stack = Stack::start().await;
    let read = stack.call(get(CONFIG)).await;
    assert_eq!((read.status, &read.body), (200, &defaults()));
    assert_eq!(read.header("etag"), Some("\"0\""));

    let tag = read.header("etag").expect("a tag");
    let unchanged = saved(&stack, tag, read.body.clone()).await;
    let mut expected = defaults();
    expected["version"] = 1.into();
    assert_eq!(
        unchanged.body,
        json!({"config": expected, "initialSync": null})
    );
    assert_eq!(unchanged.header("etag"), Some("\"1\""));

    let part = json!({"slaDays": {"low": 365}, "autoDismiss": {"minConfidence": "low"}, "triageModel": "small"});
    let changed = saved(&stack, "1", part).await;
    expected["slaDays"]["low"] = 365.into();
    expected["autoDismiss"]["minConfidence"] = "low".into();
    expected["triageModel"] = "small".into();
    expected["version"] = 2.into();
    assert_eq!(changed.body["config"], expected);
    assert_eq!(stack.call(get(CONFIG)).await.body, expected);
}

#[tokio::test]
async fn a_save_names_the_version_it_replaces_and_overwrites_no_other() {
    let stack = Stack::start().await;
    let blind = put(CONFIG).body(json!({"autoSync": false}));
    assert_eq!(stack.call(blind).await.problem(428), "VERSION_REQUIRED");
    saved(&stack, "W/\"0\"", json!({"triageModel": "a"})).await;
    let stale = stack
        .call(save("\"0\"", json!({"analysisModel": "b"})))
        .await;
    assert_eq!(stale.problem(412), "VERSION_CONFLICT");
    let contradicting = stack.call(save("1", json!({"version": 2}))).await;
    assert_eq!(contradicting.invalid(), ["/version"]);
    assert_eq!(
        stack.call(save("one", json!({}))).await.invalid(),
        ["/headers/if-match"]
    );

    let (a, b) = tokio::join!(
        stack.call(save("1", json!({"triageModel": "b"}))),
        stack.call(save("1", json!({"analysisModel": "c"})))
    );
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    let any = saved(&stack, "*", json!({"autoSync": false})).await;
    assert_eq!(any.body["config"]["version"], 3);
}

#[tokio::test]
async fn a_refused_configuration_lists_every_error() {
    let stack = Stack::start().await;
    let body = json!({
        "enabled": "yes", "repositorySelection": "some", "selectedRepositoryIds": [1, "2", -3], "autoSync": null,
        "analysisMode": "thorough", "triageModel": "", "analysisModel": "m".repeat(129),
        "autoAnalysis": {"minSeverity": "low", "speed": 1}, "autoDismiss": [],
        "slaDays": {"critical": 0, "high": 366, "medium": 1.5, "low": 365}, "colour": "red"
    });
    let answer = stack.call(save("0", body)).await;
    let mut found = answer.invalid();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "/analysisMode",
            "/analysisModel",
            "/autoAnalysis/minSeverity",
            "/autoAnalysis/speed",
            "/autoDismiss",
            "/autoSync",
            "/colour",
            "/enabled",
            "/repositorySelection",
            "/selectedRepositoryIds/1",
            "/selectedRepositoryIds/2",
            "/slaDays/critical",
            "/slaDays/high",
            "/slaDays/medium",
            "/triageModel"
        ]
    );
    let ids: Vec<_> = (0..1001).collect();
    let answer = stack
        .call(save("0", json!({"selectedRepositoryIds": ids})))
        .await;
    assert_eq!(answer.invalid(), ["/selectedRepositoryIds"]);
    assert_eq!(stack.call(get(CONFIG)).await.body, defaults());
}

#[tokio::test]
async fn enabling_needs_an_installation_that_may_read_alerts() {
    let stack = Stack::start().await;
    let enable = || save("0", json!({"enabled": true}));
    assert_eq!(
        stack.call(enable()).await.problem(409),
        "INTEGRATION_REQUIRED"
    );
    stack.connect(false).await;
    assert_eq!(
        stack.call(enable()).await.problem(409),
        "INTEGRATION_PERMISSION_MISSING"
    );
    stack.connect(true).await;
    assert_eq!(stack.call(enable()).await.status, 200);
    stack.connect(false).await;
    let still_enabled = save("1", json!({"autoSync": false}));
    assert_eq!(
        stack.call(still_enabled).await.problem(409),
        "INTEGRATION_PERMISSION_MISSING"
    );
    let disabled = save("1", json!({"enabled": false}));
    assert_eq!(stack.call(disabled).await.status, 200);
}

#[tokio::test]
async fn only_the_installations_or_already_selected_repositories_are_selectable() {
    let stack = Stack::connected().await;
    let answer = stack
        .call(save("0", json!({"selectedRepositoryIds": [7]})))
        .await;
    assert_eq!(answer.invalid(), ["/selectedRepositoryIds/0"]);
    stack.record((7, "octo/app"), true, &succeeded()).await;
    let answer = stack
        .call(save("0", json!({"selectedRepositoryIds": [7, 5, 7, 6]})))
        .await;
    assert_eq!(
        answer.invalid(),
        ["/selectedRepositoryIds/1", "/selectedRepositoryIds/3"]
    );
    saved(&stack, "0", json!({"selectedRepositoryIds": [7]})).await;
    stack.record((7, "octo/app"), false, &succeeded()).await;
    let kept = saved(&stack, "1", json!({"selectedRepositoryIds": [7, 7]})).await;
    assert_eq!(
        kept.body["config"]["selectedRepositoryIds"],
        json!([7]),
        "a set"
    );
}

#[tokio::test]
async fn enabling_or_selecting_other_repositories_starts_a_sync() {
    let stack = Stack::connected().await;
    stack.record((7, "octo/app"), true, &succeeded()).await;
    stack.record((8, "octo/docs"), true, &succeeded()).await;
    let enabled = saved(&stack, "0", json!({"enabled": true})).await;
    let sync = &enabled.body["initialSync"];
    assert_eq!(
        (&sync["admitted"], &sync["command"]["status"]),
        (&json!(true), &json!("accepted"))
    );
    assert_eq!(sync["command"]["origin"], "enable_initial_sync");
    assert_eq!(sync.as_object().expect("an object").len(), 2);
    assert_eq!(stack.services.sent().len(), 1);

    for (version, change, due) in [
        ("1", json!({"slaDays": {"low": 7}}), false),
        ("2", json!({"selectedRepositoryIds": [7]}), false),
        ("3", json!({"repositorySelection": "selected"}), true),
        ("4", json!({"selectedRepositoryIds": [7, 8]}), true),
        ("5", json!({"selectedRepositoryIds": [8, 7]}), false),
        ("6", json!({"repositorySelection": "all"}), true),
        ("7", json!({"enabled": false}), false),
        ("8", json!({"repositorySelection": "selected"}), false),
        ("9", json!({"enabled": true}), true),
    ] {
        let answer = saved(&stack, version, change.clone()).await;
        assert_eq!(!answer.body["initialSync"].is_null(), due, "{change}");
    }
    assert_eq!(stack.services.sent().len(), 5);
}

#[tokio::test]
async fn a_save_succeeds_even_if_its_sync_cannot_be_admitted() {
    let stack = Stack::connected().await;
    stack.services.queue(Queue::Refuses);
    let answer = saved(&stack, "0", json!({"enabled": true})).await;
    let refused = json!({"admitted": false, "code": "QUEUE_ADMISSION_FAILED"});
    assert_eq!(answer.body["initialSync"], refused);
    assert_eq!(answer.body["config"]["enabled"], true);
    let read = stack.call(get(CONFIG)).await;
    assert_eq!(
        (&read.body["enabled"], &read.body["version"]),
        (&json!(true), &json!(1))
    );
    let commands = stack.call(get("/v1/owners/{owner}/commands")).await;
    assert_eq!(
        commands.body["commands"][0]["resultCode"],
        "QUEUE_ADMISSION_FAILED"
    );

    // A worker has claimed the command, so it was queued.
    stack.services.queue(Queue::DeliversButFails);
    saved(&stack, "1", json!({"enabled": false})).await;
    let answer = saved(&stack, "2", json!({"enabled": true})).await;
    assert_eq!(answer.body["initialSync"]["command"]["status"], "running");
}

#[tokio::test]
async fn saves_of_any_version_at_the_same_time_all_succeed() {
    let stack = Stack::start().await;
    let days = |days: u16| save("*", json!({"slaDays": {"low": days}}));
    let mode = save("*", json!({"analysisMode": "deep"}));
    let answers = tokio::join!(
        stack.call(days(1)),
        stack.call(days(2)),
        stack.call(days(3)),
        stack.call(mode),
        stack.call(days(4)),
        stack.call(days(5)),
    );
    let answers: [Answer; 6] = answers.into();
    let mut versions = answers.map(|answer| {
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["config"]["version"].as_u64()
    });
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6].map(Some), "no save is lost");
    let kept = stack.call(get(CONFIG)).await;
    assert_eq!(kept.body["analysisMode"], "deep");
}
