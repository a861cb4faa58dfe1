//! The client against a stub of the agent.

use serde_json::json;

use super::*;
use stub::{Reply, SecretStore, Seen, Stub};

const NOON: Timestamp = Timestamp::from_seconds(1_795_435_200);

fn begun() -> Reply {
    Reply::json(
        201,
        json!({"cloudAgentSessionId": "cloud-1", "cliSessionId": "cli-1", "more": 1}),
    )
}

async fn agent(stub: &Stub) -> (Agent, SecretStore) {
    let secrets = SecretStore::start("first").await;
    let config = AgentConfig {
        base_url: stub.url.parse().expect("a loopback URL"),
        token: SecretName::new("agent"),
    };
    let agent = Agent::new(&config, Secrets::new(secrets.client())).expect("a client");
    (agent, secrets)
}

fn finding() -> Finding {
    serde_json::from_value(json!({
        "id": "dependabot-7-42", "repository": "octo/app", "severity": "high", "status": "open",
        "ignoredReason": null, "ignoredBy": null, "package": {"ecosystem": "npm", "name": "lodash"},
        "vulnerableVersionRange": "< 4.17.21", "patchedVersion": "4.17.21", "manifestPath": "package.json",
        "dependencyScope": "runtime", "ghsaId": "GHSA-35jh-r3h4-6jhm", "cveId": null, "cvssScore": 7.2,
        "cweIds": [], "title": "Command injection", "description": "…", "url": "https://github.com/octo/app",
        "firstDetectedAt": NOON, "fixedAt": null, "sourceUpdatedAt": NOON,
    }))
    .expect("a finding")
}

async fn launch(agent: &Agent, deadline: Instant) -> Result<Session, LaunchFailed> {
    let finding = finding();
    let launch = Launch {
        key: "01932b3a-5c00-7000-8000-000000000001"
            .parse()
            .expect("valid"),
        repository: &finding.repository,
        github_token: &"ghs_1".into(),
        model: "m",
        triage_model: "t",
        mode: AnalysisMode::Deep,
        finding: &finding,
        callback_url: &"http://127.0.0.1:1/v1/callbacks/analysis"
            .parse()
            .expect("valid"),
        callback_token: &"capability".into(),
        callback_by: NOON,
    };
    agent.launch(&launch, NOON, deadline).await
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[tokio::test]
async fn a_launch_sends_its_key_and_the_body_of_the_contract() {
    let stub = Stub::start(|_, _| begun()).await;
    let (agent, _secrets) = agent(&stub).await;
    let session = launch(&agent, soon()).await.expect("it begins");
    assert_eq!(session.cloud_agent_session_id.as_str(), "cloud-1");
    assert_eq!(session.cli_session_id.as_str(), "cli-1");
    let seen = stub.seen();
    let [
        Seen {
            method,
            target,
            token,
            headers,
            body,
            ..
        },
    ] = &seen[..]
    else {
        panic!("one request: {seen:?}")
    };
    assert_eq!(
        (method.as_str(), target.as_str(), token.as_str()),
        ("POST", "/v1/sessions", "first")
    );
    assert_eq!(
        headers["idempotency-key"],
        "01932b3a-5c00-7000-8000-000000000001"
    );
    assert_eq!(body["finding"]["id"], "dependabot-7-42");
    assert_eq!(body["finding"]["sourceId"], "42");
    assert_eq!(
        json!([
            body["repository"],
            body["githubToken"],
            body["model"],
            body["triageModel"],
            body["mode"]
        ]),
        json!(["octo/app", "ghs_1", "m", "t", "deep"])
    );
    assert_eq!(
        body["callback"],
        json!({"url": "http://127.0.0.1:1/v1/callbacks/analysis", "token": "capability", "expiresAt": NOON})
    );
}

#[tokio::test]
async fn a_transient_failure_is_retried_with_the_same_key() {
    for failure in [
        Reply::text(503, "no"),
        Reply::text(201, "not json"),
        Reply::json(
            201,
            json!({"cloudAgentSessionId": "..", "cliSessionId": "c"}),
        ),
        Reply::json(
            201,
            json!({"cloudAgentSessionId": "a", "cliSessionId": "b/c"}),
        ),
    ] {
        let stub = Stub::start(move |seen, _| match seen.earlier {
            0 | 1 => failure.clone(),
            _ => begun(),
        })
        .await;
        let (agent, _secrets) = agent(&stub).await;
        launch(&agent, soon()).await.expect("the third try starts");
        let keys: Vec<_> = stub
            .seen()
            .iter()
            .map(|seen| seen.headers["idempotency-key"].clone())
            .collect();
        assert_eq!(keys.len(), 3);
        assert!(keys.iter().all(|key| *key == keys[0]));
    }
}

#[tokio::test]
async fn a_failure_that_lasts_is_tried_three_times() {
    for (failure, understood) in [
        (
            Reply::text(503, ""),
            AgentError::Busy {
                status: 503,
                retry_after: None,
            },
        ),
        (
            Reply::text(429, ""),
            AgentError::Busy {
                status: 429,
                retry_after: None,
            },
        ),
        (Reply::text(200, "not json"), AgentError::Malformed),
        // A success status that the contract does not have.
        (Reply::text(202, ""), AgentError::Malformed),
        (Reply::text(204, ""), AgentError::Malformed),
    ] {
        let stub = Stub::start(move |_, _| failure.clone()).await;
        let (agent, _secrets) = agent(&stub).await;
        let failed = launch(&agent, soon()).await.expect_err("it is no success");
        assert_eq!(failed.error.to_string(), understood.to_string());
        assert!(failed.may_have_begun);
        assert_eq!(stub.seen().len(), 3, "{understood}");
    }
}

#[tokio::test]
async fn an_answer_of_60_kb_is_read_and_one_of_70_kb_is_not() {
    for (spaces, understood) in [(60_000, true), (70_000, false)] {
        let answer = format!(
            r#"{{"cloudAgentSessionId": "a",{}"cliSessionId": "b"}}"#,
            " ".repeat(spaces)
        );
        let stub = Stub::start(move |_, _| Reply::text(201, answer.clone())).await;
        let (agent, _secrets) = agent(&stub).await;
        let launched = launch(&agent, soon()).await;
        assert_eq!(launched.is_ok(), understood, "{spaces}: {launched:?}");
    }
}

#[tokio::test]
async fn every_status_has_its_error_and_says_if_it_may_have_begun() {
    for status in 300..600 {
        let stub = Stub::start(move |_, _| Reply::text(status, "").and("retry-after", "7")).await;
        let (agent, _secrets) = agent(&stub).await;
        let failed = launch(&agent, soon()).await.expect_err("it is no success");
        let error = failed.error;
        match (status, &error) {
            (402, AgentError::NoCredits) => {}
            (408 | 425 | 429 | 500.., AgentError::Busy { retry_after, .. }) => {
                assert_eq!(*retry_after, Some(Duration::from_secs(7)));
            }
            (408 | 425 | 429 | 402 | 500.., _) => panic!("{status} was taken for {error}"),
            (_, AgentError::Refused { status: found }) => assert_eq!(*found, status),
            (_, _) => panic!("{status} was taken for {error}"),
        }
        assert_eq!(
            failed.may_have_begun,
            matches!(error, AgentError::Busy { .. })
        );
        // With a `Retry-After`, the client does not retry itself. A refused token is read again and tried once more.
        assert_eq!(
            stub.seen().len(),
            if status == 401 { 2 } else { 1 },
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_rotated_token_is_read_again() {
    let stub = Stub::start(|seen, _| match seen.token.as_str() {
        "second" => begun(),
        _ => Reply::text(401, ""),
    })
    .await;
    let (agent, secrets) = agent(&stub).await;
    let failed = launch(&agent, soon()).await.expect_err("it is refused");
    assert!(matches!(failed.error, AgentError::Refused { status: 401 }));
    secrets.set("second");
    launch(&agent, soon()).await.expect("with the new token");
}

#[tokio::test]
async fn a_silent_agent_is_waited_for_until_the_deadline() {
    let stub = Stub::start(|_, _| Reply::Never).await;
    let (agent, _secrets) = agent(&stub).await;
    let deadline = Instant::now() + Duration::from_millis(80);
    let failed = launch(&agent, deadline).await.expect_err("nobody answers");
    assert!(matches!(failed.error, AgentError::OutOfTime) && failed.may_have_begun);
}

#[tokio::test]
async fn after_a_lost_try_a_refusal_may_still_have_begun() {
    let stub = Stub::start(|seen, _| match seen.earlier {
        0 => Reply::text(502, ""),
        _ => Reply::text(402, ""),
    })
    .await;
    let (agent, _secrets) = agent(&stub).await;
    let failed = launch(&agent, soon()).await.expect_err("no credits");
    assert!(matches!(failed.error, AgentError::NoCredits) && failed.may_have_begun);
}

#[tokio::test]
async fn a_refused_interruption_is_an_error() {
    for (status, understood) in [
        (400, AgentError::Refused { status: 400 }),
        (302, AgentError::Refused { status: 302 }),
        (
            500,
            AgentError::Busy {
                status: 500,
                retry_after: None,
            },
        ),
    ] {
        let stub = Stub::start(move |_, _| Reply::text(status, "")).await;
        let (agent, _secrets) = agent(&stub).await;
        let session = "cloud-1".parse().expect("a session id");
        let refused = agent.interrupt(&session, NOON, soon()).await;
        let refused = refused.expect_err("the session may still run");
        assert_eq!(refused.to_string(), understood.to_string());
    }
}

#[tokio::test]
async fn interrupting_a_session_that_is_gone_succeeds() {
    for status in [204, 404, 410] {
        let stub = Stub::start(move |_, _| Reply::text(status, "")).await;
        let (agent, _secrets) = agent(&stub).await;
        let session = "...:a@b+=".parse().expect("a session id");
        agent
            .interrupt(&session, NOON, soon())
            .await
            .expect("it is gone");
        let seen = stub.seen();
        assert_eq!(seen[0].method, "DELETE");
        assert_eq!(seen[0].target, "/v1/sessions/...:a@b+=");
    }
}
