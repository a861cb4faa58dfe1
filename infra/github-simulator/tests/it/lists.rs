use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{PYGOAT, Reply, Server, ZEPPELIN, file};

/// Follows `Link` headers and calls `between` after each page.
async fn follow(
    server: &Server,
    first: &str,
    relation: &str,
    mut between: impl AsyncFnMut(&Reply),
) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut url = Some(first.to_owned());
    while let Some(page) = url {
        let page = server.get(&page).await;
        assert_eq!(page.status, 200, "{page:?}");
        numbers.extend(page.numbers());
        url = page.link(relation);
        between(&page).await;
    }
    numbers
}

fn unique(numbers: &[u64]) -> BTreeSet<u64> {
    numbers.iter().copied().collect()
}

#[tokio::test]
async fn every_order_and_page_size_yields_each_alert_once() {
    let server = Server::start().await;
    for sort in ["created", "updated", "epss_percentage"] {
        for direction in ["asc", "desc"] {
            for per_page in [7, 100] {
                let first =
                    format!("{ZEPPELIN}?sort={sort}&direction={direction}&per_page={per_page}");
                let numbers = follow(&server, &first, "next", async |_| {}).await;
                assert_eq!(numbers.len(), 317, "{first}");
                assert_eq!(unique(&numbers), (1..=317).collect(), "{first}");
            }
        }
    }
}

#[tokio::test]
async fn pages_are_in_the_requested_order() {
    let server = Server::start().await;
    let newest = server.get(&format!("{ZEPPELIN}?per_page=100")).await;
    assert_eq!(
        newest.numbers(),
        (218..=317).rev().collect::<Vec<_>>(),
        "created, descending, is the default"
    );

    let updated = server
        .get(&format!(
            "{ZEPPELIN}?per_page=100&sort=updated&direction=asc"
        ))
        .await;
    let times: Vec<&str> = updated
        .body
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|alert| alert["updated_at"].as_str())
        .collect();
    assert_eq!(times.len(), 100);
    assert!(times.is_sorted());
}

#[tokio::test]
async fn paging_back_from_the_last_page_mirrors_paging_forward() {
    let server = Server::start().await;
    let mut url = format!("{ZEPPELIN}?per_page=100");
    let mut last = server.get(&url).await;
    assert_eq!(last.link("prev"), None);
    while let Some(next) = last.link("next") {
        url = next;
        last = server.get(&url).await;
    }
    let mut pages = Vec::new();
    follow(&server, &url, "prev", async |page| {
        pages.push(page.numbers());
    })
    .await;
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [17, 100, 100, 100]);
    let numbers: BTreeSet<u64> = pages.into_iter().flatten().collect();
    assert_eq!(numbers, (1..=317).collect());
}

#[tokio::test]
async fn links_use_the_numeric_form_and_keep_filters_and_page_size() {
    let server = Server::start().await;
    let page = server
        .get(&format!(
            "{ZEPPELIN}?state=open,fixed&per_page=10&manifest=a%26b,zeppelin-web/package-lock.json"
        ))
        .await;
    let next = page.link("next").expect("there are more");
    let expected = format!(
        "{}/repositories/700000001/dependabot/alerts?state=open%2Cfixed&per_page=10&manifest=a%26b%2Czeppelin-web%2Fpackage-lock.json&after=",
        server.base
    );
    assert!(next.starts_with(&expected), "{next}");
    let all = server
        .get("/repositories/700000005/dependabot/alerts")
        .await;
    assert_eq!((all.body, all.headers.get("link")), (json!([]), None));
}

#[tokio::test]
async fn created_order_neither_repeats_nor_skips_alerts_during_changes() {
    let server = Server::start().await;
    let mut turn = 0;
    let numbers = follow(
        &server,
        &format!("{ZEPPELIN}?per_page=50"),
        "next",
        async |_| {
            turn += 1;
            touch(&server, 317 - turn).await;
            touch(&server, turn).await;
            add(&server).await;
        },
    )
    .await;
    assert_eq!(numbers.len(), 317);
    assert_eq!(unique(&numbers), (1..=317).collect());
}

#[tokio::test]
async fn updated_order_repeats_no_alert_during_changes() {
    let server = Server::start().await;
    // The changed alert moves from the end of the order to its front, past the reader: only this one may be missed.
    let order = follow(
        &server,
        &format!("{ZEPPELIN}?sort=updated&per_page=100"),
        "next",
        async |_| {},
    )
    .await;
    let (seen, unseen) = (order[0], order[316]);
    let mut changed = false;
    let numbers = follow(
        &server,
        &format!("{ZEPPELIN}?sort=updated&per_page=100"),
        "next",
        async |_| {
            if !std::mem::replace(&mut changed, true) {
                touch(&server, seen).await;
                touch(&server, unseen).await;
                add(&server).await;
            }
        },
    )
    .await;
    assert_eq!(numbers.len(), 316);
    assert_eq!(
        unique(&numbers),
        (1..=317).filter(|number| *number != unseen).collect()
    );

    let front = server
        .get(&format!("{ZEPPELIN}?sort=updated&per_page=3"))
        .await
        .numbers();
    assert_eq!(unique(&front), BTreeSet::from([seen, unseen, 318]));
}

async fn touch(server: &Server, number: u64) {
    let path = format!("/alerts/acme-appsec/zeppelin/{number}");
    let changed = server
        .local(
            Method::PATCH,
            &path,
            &json!({"dismissed_comment": "touched"}),
        )
        .await;
    assert_eq!(changed.status, 200, "{changed:?}");
}

async fn add(server: &Server) {
    let mut alert = file("pygoat").swap_remove(0);
    let fields = alert.as_object_mut().expect("an alert");
    fields.retain(|name, _| {
        ["dependency", "security_advisory", "security_vulnerability"].contains(&name.as_str())
    });
    let added = server
        .local(Method::POST, "/alerts/acme-appsec/zeppelin", &alert)
        .await;
    assert_eq!(added.status, 201, "{added:?}");
}

#[tokio::test]
async fn filters_select_the_matching_alerts_of_the_file() {
    type Test = fn(&Value) -> bool;
    let server = Server::start().await;
    let alerts = file("zeppelin");
    let filters: [(&str, Test); 8] = [
        ("state=open", |alert| alert["state"] == "open"),
        ("state=dismissed,auto_dismissed", |alert| {
            alert["state"] == "dismissed" || alert["state"] == "auto_dismissed"
        }),
        ("severity=critical", |alert| {
            alert["security_advisory"]["severity"] == "critical"
        }),
        ("ecosystem=maven", |alert| {
            alert["dependency"]["package"]["ecosystem"] == "maven"
        }),
        ("package=undici", |alert| {
            alert["dependency"]["package"]["name"] == "undici"
        }),
        ("manifest=zeppelin-web/package-lock.json", |alert| {
            alert["dependency"]["manifest_path"] == "zeppelin-web/package-lock.json"
        }),
        ("scope=runtime&relationship=direct", |alert| {
            alert["dependency"]["scope"] == "runtime"
                && alert["dependency"]["relationship"] == "direct"
        }),
        ("epss_percentage=%3E0.01", |alert| {
            alert["security_advisory"]["epss"]["percentage"]
                .as_f64()
                .is_some_and(|score| score > 0.01)
        }),
    ];
    for (filter, selects) in filters {
        let numbers = follow(
            &server,
            &format!("{ZEPPELIN}?per_page=100&{filter}"),
            "next",
            async |_| {},
        )
        .await;
        let expected: Vec<u64> = alerts
            .iter()
            .filter(|alert| selects(alert))
            .filter_map(|alert| alert["number"].as_u64())
            .collect();
        assert!(
            !expected.is_empty() && expected.len() < 317,
            "{filter} must not select all alerts"
        );
        assert_eq!(numbers, expected, "{filter}");
    }
}

#[tokio::test]
async fn a_query_that_github_refuses_is_refused() {
    let server = Server::start().await;
    for parameter in ["page", "first", "last"] {
        let refused = server.get(&format!("{ZEPPELIN}?{parameter}=1")).await;
        let message = format!("Pagination using the `{parameter}` parameter is not supported.");
        assert_eq!((refused.status, refused.message()), (400, message.as_str()));
    }
    for (query, status) in [
        ("after=nonsense", 400),
        ("state=closed", 422),
        ("sort=number", 422),
        ("direction=up", 422),
        ("epss_percentage=lots", 422),
    ] {
        assert_eq!(
            server.get(&format!("{ZEPPELIN}?{query}")).await.status,
            status,
            "{query}"
        );
    }
    assert_eq!(
        server
            .get(&format!("{ZEPPELIN}?per_page=1000"))
            .await
            .numbers()
            .len(),
        100
    );
    assert_eq!(
        server
            .get(&format!("{ZEPPELIN}?surprise=1"))
            .await
            .numbers()
            .len(),
        30
    );
    assert_eq!(server.get(&format!("{PYGOAT}/15")).await.status, 404);
    assert_eq!(
        server
            .get("/repos/acme-appsec/unknown/dependabot/alerts")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn every_served_alert_equals_its_file() {
    let server = Server::start().await;
    for name in [
        "zeppelin",
        "nodegoat",
        "security-agent-testbed",
        "pygoat",
        "docs-site",
    ] {
        let mut served = Vec::new();
        let first = format!("/repos/acme-appsec/{name}/dependabot/alerts?per_page=100");
        follow(&server, &first, "next", async |page| {
            served.extend(page.body.as_array().expect("a list").clone());
        })
        .await;
        assert_eq!(served, file(name), "{name}");
    }
    for alert in file("pygoat") {
        let one = server.get(&format!("{PYGOAT}/{}", alert["number"])).await;
        assert_eq!(one.body, alert);
    }
}

#[tokio::test]
async fn the_newer_api_version_omits_removed_fields() {
    let server = Server::start().await;
    let ask = async |path: &str, version: &str| {
        let request = server
            .authorized(Method::GET, path)
            .header("x-github-api-version", version);
        server.send(request).await
    };
    let mut expected = file("pygoat").swap_remove(0);
    let path = format!("{PYGOAT}/14");
    assert_eq!(ask(&path, "2022-11-28").await.body, expected);
    let advisory = expected["security_advisory"]
        .as_object_mut()
        .expect("an advisory");
    assert!(advisory.remove("cvss").is_some());
    assert_eq!(ask(&path, "2026-03-10").await.body, expected);
    assert!(
        ask("/rate_limit", "2022-11-28")
            .await
            .body
            .get("rate")
            .is_some()
    );
    assert!(
        ask("/rate_limit", "2026-03-10")
            .await
            .body
            .get("rate")
            .is_none()
    );
}

#[tokio::test]
async fn an_unknown_api_version_is_refused() {
    let server = Server::start().await;
    let request = server
        .authorized(Method::GET, &format!("{PYGOAT}/14"))
        .header("x-github-api-version", "2020-01-01");
    let unknown = server.send(request).await;
    assert_eq!(
        (unknown.status, unknown.message()),
        (400, "Not a supported version")
    );
}

#[tokio::test]
async fn repositories_are_listed_in_numbered_pages() {
    let server = Server::start().await;
    let first = server.get("/installation/repositories?per_page=4").await;
    assert_eq!(first.body["total_count"], 11);
    assert_eq!(first.link("prev"), None);
    assert_eq!(
        first.link("last"),
        Some(format!(
            "{}/installation/repositories?per_page=4&page=3",
            server.base
        ))
    );
    let (mut names, mut page) = (Vec::new(), Some(first));
    while let Some(reply) = page {
        let repositories = reply.body["repositories"].as_array().expect("a list");
        names.extend(
            repositories
                .iter()
                .map(|repository| repository["full_name"].clone()),
        );
        page = match reply.link("next") {
            Some(next) => Some(server.get(&next).await),
            None => None,
        };
    }
    let listed: Vec<String> = server
        .simulator
        .repositories()
        .into_iter()
        .map(|repository| repository.full_name)
        .collect();
    assert_eq!(names, listed);
    assert_eq!(listed.len(), 11);
}
