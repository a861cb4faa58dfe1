use super::*;

#[tokio::test]
async fn links_are_followed_to_the_end_and_each_page_is_read_once() {
    let stub = Stub::start(|seen, url| match seen.target.as_str() {
        FIRST => Reply::json(200, json!([alert(3)])).and(
            "link",
            format!(
                "<{url}/repositories/7/dependabot/alerts?per_page=100&after=b%3D>; rel=\"next\""
            ),
        ),
        _ => Reply::json(200, json!([alert(2)])),
    })
    .await;
    let first = page(list(&stub.github).await);
    let Next::Page(next) = &first.next else {
        panic!("{:?}", first.next)
    };
    let second = stub
        .github
        .alerts_page(
            INSTALLATION,
            Source::Dependabot,
            &repository(),
            PageRequest::Next(next),
            budget(),
        )
        .await;
    let second = page(second);
    assert_eq!(
        (numbers(&first), numbers(&second), second.next),
        (vec![3], vec![2], Next::End)
    );
    let targets: Vec<String> = stub.calls().into_iter().map(|seen| seen.target).collect();
    assert_eq!(
        targets,
        [
            FIRST,
            "/repositories/7/dependabot/alerts?per_page=100&after=b%3D"
        ]
    );
}

#[tokio::test]
async fn another_host_never_sees_the_token() {
    let elsewhere = Stub::start(|_, _| Reply::json(200, json!([]))).await;
    let link = format!(
        "<{}/repositories/7/dependabot/alerts?after=x>; rel=\"next\"",
        elsewhere.url
    );
    let stub =
        Stub::start(move |_, _| Reply::json(200, json!([alert(1)])).and("link", link.clone()))
            .await;
    let answer = page(list(&stub.github).await);
    assert_eq!(
        (numbers(&answer), answer.next),
        (vec![1], Next::Refused(LinkRefusal::OtherHost))
    );

    // A cursor to the other host, as if the stored one had been altered.
    let foreign = Stub::start(|_, _| {
        Reply::json(200, json!([])).and(
            "link",
            "</repositories/7/dependabot/alerts?after=x>; rel=next",
        )
    })
    .await;
    let Next::Page(foreign) = page(list(&foreign.github).await).next else {
        panic!("a page")
    };
    let error = stub
        .github
        .alerts_page(
            INSTALLATION,
            Source::Dependabot,
            &repository(),
            PageRequest::Next(&foreign),
            budget(),
        )
        .await;
    assert!(matches!(error, Err(GithubError::PageElsewhere)));
    assert!(elsewhere.seen().is_empty() && stub.calls().len() == 1);
}

#[tokio::test]
async fn a_listing_that_links_to_an_earlier_page_ends() {
    let stub = Stub::start(|seen, url| {
        let cursor = if seen.target.ends_with("after=a") {
            "b"
        } else {
            "a"
        };
        Reply::json(200, json!([alert(1)])).and(
            "link",
            format!("<{url}/repositories/7/dependabot/alerts?after={cursor}>; rel=\"next\""),
        )
    })
    .await;
    let mut next = page(list(&stub.github).await).next;
    let mut pages = 1;
    while let Next::Page(cursor) = &next {
        let listed = stub
            .github
            .alerts_page(
                INSTALLATION,
                Source::Dependabot,
                &repository(),
                PageRequest::Next(cursor),
                budget(),
            )
            .await;
        next = page(listed).next;
        pages += 1;
    }
    assert_eq!((next, pages), (Next::Refused(LinkRefusal::Repeated), 3));
}

#[tokio::test]
async fn an_unreadable_alert_does_not_lose_the_others() {
    let mut broken = alert(2);
    broken["created_at"] = json!("yesterday");
    let mut new_words = alert(4);
    new_words["state"] = json!("snoozed");
    new_words["security_vulnerability"]["severity"] = json!("apocalyptic");
    let body = json!([alert(1), broken, {"number": "three"}, 17, new_words, alert(5)]);
    let stub = Stub::start(move |_, _| Reply::json(200, body.clone())).await;
    let answer = page(list(&stub.github).await);
    assert_eq!(numbers(&answer), [1, 4, 5]);
    assert_eq!(answer.alerts[1].state, AlertState::Other);
    let unreadable: Vec<Option<u32>> = answer
        .unreadable
        .iter()
        .map(|alert| alert.number.map(AlertNumber::get))
        .collect();
    assert_eq!(unreadable, [Some(2), None, None]);
    assert_eq!(stub.calls().len(), 1, "a retry would not help");
}

#[tokio::test]
async fn not_modified_is_an_answer() {
    let stub = Stub::start(|_, _| Reply::text(304, "")).await;
    assert!(matches!(list(&stub.github).await, Ok(Listed::NotModified)));
}

fn entry(id: u64) -> Value {
    json!({"id": id, "full_name": format!("octo/app-{id}"), "private": id == 2, "archived": id == 3})
}

#[tokio::test]
async fn the_repositories_of_all_pages_are_listed_once_each() {
    let stub = Stub::start(|seen, url| {
        let next = |page| {
            format!("<{url}/installation/repositories?per_page=100&page={page}>; rel=\"next\"")
        };
        match seen.target.as_str() {
            "/installation/repositories?per_page=100" => Reply::json(
                200,
                json!({"total_count": 4, "repositories": [entry(1), entry(2)]}),
            )
            .and("link", next(2)),
            "/installation/repositories?per_page=100&page=2" => Reply::json(
                200,
                json!({"repositories": [entry(2), {"id": 9, "full_name": "../x"}]}),
            )
            .and("link", next(3)),
            _ => Reply::json(200, json!({"repositories": [entry(3)]})),
        }
    })
    .await;
    let found = stub
        .github
        .installation_repositories(INSTALLATION, budget())
        .await
        .expect("all pages");
    let ids: Vec<u64> = found
        .repositories
        .iter()
        .map(|entry| entry.repository.id.get())
        .collect();
    assert_eq!((ids, found.unreadable), (vec![1, 2, 3], 1));
    assert!(found.repositories[1].private && found.repositories[2].archived);
}

#[tokio::test]
async fn repositories_are_listed_completely_or_not_at_all() {
    let cases: [fn(&Seen, &str) -> Reply; 4] = [
        |_, url| {
            Reply::json(200, json!({"repositories": []})).and(
                "link",
                format!("<{url}/installation/repositories?page=2>; rel=\"next\""),
            )
        },
        |_, url| {
            Reply::json(200, json!({"repositories": []}))
                .and("link", format!("<{url}/user>; rel=\"next\""))
        },
        |_, _| {
            Reply::json(200, json!({"repositories": []})).and(
                "link",
                "<https://evil.example/installation/repositories>; rel=\"next\"",
            )
        },
        |_, _| Reply::json(200, json!([])),
    ];
    for answer in cases {
        let stub = Stub::start(answer).await;
        let error = stub
            .github
            .installation_repositories(INSTALLATION, budget())
            .await
            .expect_err("no end");
        assert_eq!(refused(error), Refusal::Malformed);
        let calls = stub.calls();
        assert!(calls.len() <= 3, "{calls:?}");
        let list = "/installation/repositories?";
        assert!(
            calls.iter().all(|call| call.target.starts_with(list)),
            "{calls:?}"
        );
    }
}

#[tokio::test]
async fn the_bundled_repositories_are_read() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/data/dependabot/installation-repositories.json"
    );
    let body = std::fs::read_to_string(path).expect("the bundled data");
    let stub = Stub::start(move |_, _| Reply::text(200, body.clone())).await;
    let found = stub
        .github
        .installation_repositories(INSTALLATION, budget())
        .await
        .expect("a page");
    assert_eq!((found.repositories.len(), found.unreadable), (11, 0));
}
