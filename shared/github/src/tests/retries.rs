use super::*;

#[tokio::test]
async fn a_transient_failure_is_tried_three_times() {
    for (failure, expected) in [
        (
            Reply::json(500, json!({"message": "Server Error"})),
            Refusal::ServerError {
                status: 500,
                retry_after: None,
            },
        ),
        (
            Reply::text(502, "<html>"),
            Refusal::ServerError {
                status: 502,
                retry_after: None,
            },
        ),
        (Reply::text(200, "[{\"number\": 1"), Refusal::Malformed),
        (Reply::text(200, ""), Refusal::Malformed),
        (
            Reply::json(200, json!({"message": "no list"})),
            Refusal::Malformed,
        ),
        (
            Reply::json(200, json!([alert(1)])).and("link", "<".repeat(5_000)),
            Refusal::Malformed,
        ),
    ] {
        let failing = failure.clone();
        let stub = Stub::start(move |_, _| failing.clone()).await;
        assert_eq!(
            refused(list(&stub.github).await.expect_err("a failure")),
            expected
        );
        assert_eq!(stub.calls().len(), 3);

        let stub = Stub::start(move |seen, _| {
            if seen.earlier < 2 {
                failure.clone()
            } else {
                Reply::json(200, json!([alert(1)]))
            }
        })
        .await;
        assert_eq!(
            numbers(&page(list(&stub.github).await)),
            [1],
            "the third try succeeds"
        );
    }
}

#[tokio::test]
async fn a_permanent_failure_is_tried_once() {
    for status in [400, 403, 404, 409, 410, 422, 429, 451] {
        let stub = Stub::start(move |_, _| Reply::json(status, json!({"message": "No"}))).await;
        refused(list(&stub.github).await.expect_err("no"));
        assert_eq!(stub.calls().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_long_wait_is_left_to_the_caller() {
    let stub = Stub::start(|_, _| Reply::text(503, "").and("retry-after", "90")).await;
    let listed = timeout(Duration::from_secs(10), list(&stub.github)).await;
    let refusal = refused(listed.expect("no wait").expect_err("503"));
    assert_eq!(
        refusal,
        Refusal::ServerError {
            status: 503,
            retry_after: Some(Duration::from_secs(90))
        }
    );
    assert_eq!(stub.calls().len(), 1);
}

#[tokio::test]
async fn a_broken_connection_is_tried_three_times_without_naming_the_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let accepted = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = accepted.clone();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            // Read the request, and close the connection without an answer.
            let _ = connection.read(&mut [0; 4096]).await;
        }
    });
    let secrets = SecretStore::start(&keys()[0].pem).await;
    let error = list(&client(&url, &secrets)).await.expect_err("no answer");
    assert!(matches!(error, GithubError::Network { .. }), "{error:?}");
    assert_eq!(accepted.load(Ordering::SeqCst), 3);
    assert!(!format!("{error:?}").contains("installations"), "{error:?}");
}

#[tokio::test]
async fn the_callers_deadline_ends_the_call_and_the_token_request() {
    let within = async |time: Duration, github: &Github| {
        let budget = Budget {
            now: NOON,
            deadline: Instant::now() + time,
        };
        let (source, first) = (Source::Dependabot, PageRequest::First);
        github
            .alerts_page(INSTALLATION, source, &repository(), first, budget)
            .await
    };
    let brief = Duration::from_millis(50);
    let silent = Stub::start(|_, _| Reply::Never).await;
    let listed = within(brief, &silent.github).await;
    assert!(matches!(listed, Err(GithubError::OutOfTime)), "{listed:?}");
    let no_token = Stub::with_tokens(|_, _| Reply::Never).await;
    let listed = within(brief, &no_token.github).await;
    assert!(matches!(listed, Err(GithubError::OutOfTime)), "{listed:?}");
    // The wait that GitHub asks for exceeds the deadline: the error is GitHub's failure, not the deadline.
    let busy = Stub::start(|_, _| Reply::text(503, "").and("retry-after", "4")).await;
    let listed = within(Duration::from_secs(1), &busy.github).await;
    let four = Some(Duration::from_secs(4));
    assert_eq!(
        refused(listed.expect_err("503")),
        Refusal::ServerError {
            status: 503,
            retry_after: four
        }
    );
}

#[tokio::test]
async fn a_page_of_15_mb_is_read_and_one_of_17_mb_is_not() {
    let page_of = |megabytes: usize| {
        Stub::start(move |_, _| {
            Reply::text(200, format!("[{}]", " ".repeat(megabytes * 1024 * 1024)))
        })
    };
    page(list(&page_of(15).await.github).await);
    assert_eq!(
        refused(
            list(&page_of(17).await.github)
                .await
                .expect_err("too large")
        ),
        Refusal::Malformed
    );
}

#[tokio::test]
async fn no_error_contains_githubs_message_or_a_token() {
    for status in [400, 401, 403, 404, 410, 422, 429, 451, 500] {
        let stub =
            Stub::start(move |_, _| Reply::json(status, json!({"message": "mona@example.com"})))
                .await;
        let error = list(&stub.github).await.expect_err("no");
        let said = format!("{error} {error:?} {:?}", stub.github);
        for secret in ["mona", "token-1", "token-2", "PRIVATE KEY"] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}
