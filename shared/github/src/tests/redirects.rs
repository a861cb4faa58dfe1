use super::*;

#[tokio::test]
async fn one_redirect_is_followed_and_its_repository_is_returned() {
    for (status, location, expected) in [
        (
            301,
            "/repositories/7/dependabot/alerts",
            RepositoryPath::Id(RepositoryId::new(7)),
        ),
        (
            302,
            "/repositories/8/dependabot/alerts",
            RepositoryPath::Id(RepositoryId::new(8)),
        ),
        (
            307,
            "/repos/octo/new/dependabot/alerts",
            RepositoryPath::Name("octo/new".parse().expect("valid")),
        ),
        (
            308,
            "/repos/octo/new/dependabot/alerts?per_page=5",
            RepositoryPath::Name("octo/new".parse().expect("valid")),
        ),
    ] {
        let stub = Stub::start(move |seen, url| match seen.target.as_str() {
            FIRST => Reply::json(status, json!({"message": "Moved"}))
                .and("location", format!("{url}{location}")),
            _ => Reply::json(200, json!([alert(1)])),
        })
        .await;
        let answer = page(list(&stub.github).await);
        assert_eq!((numbers(&answer), answer.led_to), (vec![1], Some(expected)));
        // A target without a query gets ours.
        let followed = stub.calls()[1].target.clone();
        let asked = if location.contains('?') {
            location.to_owned()
        } else {
            format!(
                "{location}?{}",
                &FIRST[FIRST.find('?').expect("a query") + 1..]
            )
        };
        assert_eq!(followed, asked);
    }
}

#[tokio::test]
async fn a_refusal_after_a_redirect_names_its_repository() {
    let stub = Stub::start(|seen, _| match seen.target.as_str() {
        FIRST => Reply::text(301, "").and("location", "/repositories/8/dependabot/alerts"),
        _ => Reply::json(404, json!({"message": "Not Found"})),
    })
    .await;
    let error = list(&stub.github).await.expect_err("404");
    let GithubError::Refused {
        refusal,
        led_to: Some(led_to),
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(refusal, Refusal::Unavailable);
    assert!(led_to.is_other_than(&repository()));
}

#[tokio::test]
async fn a_redirect_to_another_resource_or_host_is_not_followed() {
    let elsewhere = Stub::start(|_, _| Reply::json(200, json!([]))).await;
    for location in [
        format!("{}/repositories/7/dependabot/alerts", elsewhere.url),
        "https://evil.example/repositories/7/dependabot/alerts".to_owned(),
        "//evil.example/repositories/7/dependabot/alerts".to_owned(),
        "/user".to_owned(),
        "/repositories/7/dependabot/alerts/1".to_owned(),
        "https://[bad".to_owned(),
    ] {
        let told = location.clone();
        let stub =
            Stub::start(move |_, _| Reply::text(308, "").and("location", told.clone())).await;
        let refusal = refused(list(&stub.github).await.expect_err("no way"));
        assert_eq!(
            (refusal, stub.calls().len()),
            (Refusal::Unexpected { status: 308 }, 1),
            "{location}"
        );
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_second_redirect_is_not_followed() {
    let stub = Stub::start(|_, _| {
        Reply::text(301, "").and("location", "/repositories/8/dependabot/alerts")
    })
    .await;
    assert_eq!(
        refused(list(&stub.github).await.expect_err("a loop")),
        Refusal::Unexpected { status: 301 }
    );
    assert_eq!(stub.calls().len(), 2);
}
