use super::*;

#[tokio::test]
async fn the_app_signs_with_its_key_and_requests_minimal_permissions() {
    let stub = Stub::start(|_, _| Reply::json(200, json!([]))).await;
    page(list(&stub.github).await);
    let seen = stub.seen();
    let [mint, call] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    assert_eq!(
        (mint.method.as_str(), mint.target.as_str()),
        ("POST", "/app/installations/51000001/access_tokens")
    );
    let claims = claims(mint, &keys()[0]).expect("signed with the App's key");
    let (iat, exp) = (
        claims["iat"].as_i64().expect("iat"),
        claims["exp"].as_i64().expect("exp"),
    );
    assert_eq!(claims["iss"], APP);
    // GitHub accepts the JWT even if its clock is two minutes behind ours, or ahead.
    for githubs in [NOON.as_seconds() - 120, NOON.as_seconds() + 120] {
        let valid = iat <= githubs && githubs < exp && exp <= githubs + 600;
        assert!(valid, "{claims} at {githubs}");
    }
    assert_eq!(
        mint.body,
        json!({"permissions": {"metadata": "read", "vulnerability_alerts": "read"}})
    );
    assert_eq!(
        (call.target.as_str(), call.token.as_str()),
        (FIRST, "token-1")
    );
    assert_eq!(call.headers["accept"], "application/vnd.github+json");
    assert_eq!(call.headers["x-github-api-version"], "2022-11-28");
    assert!(
        call.headers["user-agent"]
            .to_str()
            .is_ok_and(|agent| agent.starts_with("security-agent/"))
    );
}

#[tokio::test]
async fn a_token_is_cached_until_five_minutes_before_it_expires() {
    let stub = Stub::start(|_, _| Reply::json(200, json!([]))).await;
    let at = async |minute: u64| {
        let budget = Budget {
            now: NOON + Duration::from_secs(60 * minute),
            ..budget()
        };
        page(
            stub.github
                .clone()
                .alerts_page(
                    INSTALLATION,
                    Source::Dependabot,
                    &repository(),
                    PageRequest::First,
                    budget,
                )
                .await,
        );
        stub.mints()
    };
    assert_eq!((at(0).await, at(30).await, at(55).await), (1, 1, 1));
    assert_eq!(at(56).await, 2);
}

#[tokio::test]
async fn a_token_with_little_time_left_is_not_reused() {
    let stub = Stub::with_tokens(|seen, _| match seen.is_mint() {
        true => minted_until(seen, NOON + Duration::from_secs(299)),
        false => Reply::json(200, json!([])),
    })
    .await;
    page(list(&stub.github).await);
    page(list(&stub.github).await);
    assert_eq!(stub.mints(), 2);
}

#[tokio::test]
async fn concurrent_calls_mint_one_token_per_installation() {
    let stub = Stub::start(|_, _| Reply::json(200, json!([]))).await;
    let ask = |installation| {
        let github = stub.github.clone();
        async move {
            github
                .alerts_page(
                    InstallationId::new(installation),
                    Source::Dependabot,
                    &repository(),
                    PageRequest::First,
                    budget(),
                )
                .await
        }
    };
    for listed in futures::future::join_all((0..20).map(|n| ask(1 + n % 2))).await {
        page(listed);
    }
    assert_eq!((stub.mints(), stub.calls().len()), (2, 20));
}

#[tokio::test]
async fn a_rejected_token_is_replaced_once() {
    let stub = Stub::start(|seen, _| match seen.token.as_str() {
        "token-1" => Reply::json(401, json!({"message": "Bad credentials"})),
        _ => Reply::json(200, json!([alert(1)])),
    })
    .await;
    assert_eq!(numbers(&page(list(&stub.github).await)), [1]);
    assert_eq!((stub.mints(), stub.calls().len()), (2, 2));
    page(list(&stub.github).await);
    assert_eq!(
        (stub.mints(), stub.calls().len()),
        (2, 3),
        "the fresh token is kept"
    );
}

#[tokio::test]
async fn concurrent_calls_with_a_rejected_token_mint_one_fresh_token() {
    let stub = Stub::start(|seen, _| match seen.token.as_str() {
        "token-1" => Reply::json(401, json!({"message": "Bad credentials"})),
        _ => Reply::json(200, json!([])),
    })
    .await;
    for listed in futures::future::join_all((0..10).map(|_| list(&stub.github))).await {
        page(listed);
    }
    assert_eq!(stub.mints(), 2);
}

#[tokio::test]
async fn a_rejected_fresh_token_is_an_error() {
    let stub = Stub::start(|_, _| Reply::json(401, json!({"message": "Bad credentials"}))).await;
    assert_eq!(
        refused(list(&stub.github).await.expect_err("401")),
        Refusal::AuthInvalid
    );
    assert_eq!((stub.mints(), stub.calls().len()), (2, 2));
}

#[tokio::test]
async fn a_rotated_key_is_read_again_when_the_old_one_is_rejected() {
    let rotated = &keys()[1];
    let stub = Stub::with_tokens(|seen, _| match (seen.is_mint(), claims(seen, &keys()[1])) {
        (true, Some(_)) => minted(seen),
        (true, None) => Reply::json(
            401,
            json!({"message": "A JSON web token could not be decoded"}),
        ),
        (false, _) => Reply::json(200, json!([])),
    })
    .await;
    // The old key is cached when the new one is stored.
    assert_eq!(
        refused(list(&stub.github).await.expect_err("401")),
        Refusal::AuthInvalid
    );
    assert_eq!(
        (stub.mints(), stub.secrets.reads.load(Ordering::SeqCst)),
        (2, 2),
        "read again, asked again, once"
    );
    stub.secrets.set(&rotated.pem);
    page(list(&stub.github).await);
    assert_eq!(
        (stub.mints(), stub.secrets.reads.load(Ordering::SeqCst)),
        (4, 3)
    );
}

#[tokio::test]
async fn an_invalid_key_is_read_again_and_then_an_error_names_its_secret() {
    let stub = Stub::start(|_, _| Reply::json(200, json!([]))).await;
    stub.secrets
        .set("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----");
    let error = list(&stub.github).await.expect_err("no key");
    let GithubError::Credentials { source } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(
        source.to_string(),
        "secret key is not an RSA private key in PEM"
    );
    assert!(!format!("{error:?}").contains("nonsense"), "{error:?}");
    assert_eq!(
        (stub.secrets.reads.load(Ordering::SeqCst), stub.seen().len()),
        (2, 0)
    );
    stub.secrets.set(&keys()[0].pem);
    page(list(&stub.github).await);
}

#[tokio::test]
async fn a_refused_token_request_is_about_the_installation() {
    let limited = json!({"message": "You have exceeded a secondary rate limit."});
    for (status, body, expected) in [
        (404, json!({"message": "Not Found"}), Refusal::AuthInvalid),
        (
            403,
            json!({"message": "This installation has been suspended"}),
            Refusal::AuthInvalid,
        ),
        (403, json!({"message": "Forbidden"}), Refusal::AuthInvalid),
        (
            422,
            json!({"message": "The permissions requested are not granted to this installation."}),
            Refusal::PermissionMissing,
        ),
        (
            400,
            json!({"message": "No"}),
            Refusal::Unexpected { status: 400 },
        ),
        (
            403,
            limited,
            Refusal::RateLimited(RateLimit {
                until: NOON + Duration::from_secs(60),
                kind: RateLimitKind::Secondary,
            }),
        ),
        (201, json!({"token": 17}), Refusal::Malformed),
        (
            503,
            json!({}),
            Refusal::ServerError {
                status: 503,
                retry_after: None,
            },
        ),
    ] {
        let answer = body.clone();
        let stub = Stub::with_tokens(move |_, _| Reply::json(status, answer.clone())).await;
        assert_eq!(
            refused(list(&stub.github).await.expect_err("no token")),
            expected,
            "{status} {body}"
        );
        assert!(stub.calls().is_empty());
    }
}

#[tokio::test]
async fn an_installation_is_read_with_the_apps_jwt() {
    for (permissions, expected) in [
        (json!({"vulnerability_alerts": "read"}), AlertsAccess::Read),
        (
            json!({"vulnerability_alerts": "write"}),
            AlertsAccess::Write,
        ),
        (json!({"vulnerability_alerts": "admin"}), AlertsAccess::None),
        (json!({"metadata": "read"}), AlertsAccess::None),
        (Value::Null, AlertsAccess::None),
    ] {
        let body = json!({"id": 51_000_001, "permissions": permissions, "suspended_at": null, "app_id": 1234});
        let stub = Stub::start(move |_, _| Reply::json(200, body.clone())).await;
        let installation = stub
            .github
            .installation(INSTALLATION, budget())
            .await
            .expect("an installation");
        assert_eq!(
            (installation.id, installation.suspended_at),
            (INSTALLATION, None)
        );
        assert_eq!(installation.access(Source::Dependabot), expected);
        let seen = stub.seen();
        assert_eq!(seen[0].target, "/app/installations/51000001");
        assert!(claims(&seen[0], &keys()[0]).is_some(), "signed as the App");
    }
    let stub = Stub::start(|_, _| Reply::json(404, json!({"message": "Not Found"}))).await;
    let gone = stub
        .github
        .installation(INSTALLATION, budget())
        .await
        .expect_err("404");
    assert_eq!(refused(gone), Refusal::Unavailable);
}
