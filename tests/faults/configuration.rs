//! The local stack refuses invalid parameters before it starts anything.

use tests::Stack;

#[tokio::test]
async fn a_stack_with_an_invalid_parameter_does_not_start() {
    for (parameter, name) in [
        ("RetentionDays=0", "RetentionDays"),
        ("AcceptedTimeoutSeconds=abc", "AcceptedTimeoutSeconds"),
        ("AcceptedTimeoutSeconds=0", "AcceptedTimeoutSeconds"),
        ("RunningTimeoutSeconds=-1", "RunningTimeoutSeconds"),
        ("PausedCommands=syncs", "PausedCommands"),
    ] {
        let said = Stack::refusal(&["--parameter", parameter]).await;
        assert!(said.contains(name), "{parameter}: {said}");
    }
}

#[tokio::test]
async fn local_timeouts_may_be_shorter_than_deployed_ones() {
    let short = [
        "--parameter=AcceptedTimeoutSeconds=5",
        "--parameter=RunningTimeoutSeconds=5",
    ];
    let stack = Stack::start(&short).await;
    assert_eq!(stack.get("/v1/health").await["status"], "ok");
}
