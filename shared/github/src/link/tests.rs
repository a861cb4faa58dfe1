use reqwest::header::HeaderValue;

use super::*;
use crate::testing::repository;
use domain::finding::Source;

fn base() -> BaseUrl {
    "https://api.github.com".parse().expect("valid")
}

fn linking(links: &[&str]) -> HeaderMap {
    links
        .iter()
        .map(|link| (LINK, HeaderValue::from_str(link).expect("valid")))
        .collect()
}

fn first() -> Url {
    base().alerts(Source::Dependabot, &repository())
}

/// What follows a first page that links to `target`.
fn follow(target: &str) -> Next {
    after(
        &linking(&[&format!("<{target}>; rel=\"next\"")]),
        &base(),
        Source::Dependabot,
        &repository(),
        PageRequest::First,
        &first(),
    )
}

#[test]
fn the_next_link_is_found_in_every_spelling() {
    let url = "https://api.github.com/repositories/7/dependabot/alerts?per_page=100&after=a,b;c=";
    let prev = "<https://api.github.com/x?before=1>; rel=\"prev\"";
    for links in [
        vec![format!("<{url}>; rel=\"next\"")],
        vec![format!("<{url}>; rel=next")],
        vec![format!("<{url}>;rel=\"next\"")],
        vec![format!("<{url}>; REL=\"NEXT\"")],
        vec![format!("<{url}>; title=\"a, b; c\"; rel=\"next\"")],
        vec![format!("<{url}>; rel=\"last next\"")],
        vec![format!("<{url}>; rel=\"next\", {prev}")],
        vec![format!("{prev}, <{url}>; rel=\"next\"")],
        vec![prev.to_owned(), format!("<{url}>; rel=\"next\"")],
    ] {
        let links: Vec<&str> = links.iter().map(String::as_str).collect();
        let found = next_link(&linking(&links), &base(), &first());
        assert_eq!(
            found.map(|found| found.map(String::from)),
            Ok(Some(url.to_owned())),
            "{links:?}"
        );
    }
}

#[test]
fn without_a_next_link_the_listing_is_complete() {
    for links in [
        vec![],
        vec!["<https://api.github.com/x>; rel=\"prev\""],
        vec!["<https://api.github.com/x>; rel=\"nextish\""],
        vec!["<https://api.github.com/x>; title=\"next\""],
        vec!["<https://api.github.com/x>"],
        vec!["rel=\"next\""],
        vec!["<https://api.github.com/x; rel=\"next\""],
        vec![""],
    ] {
        let next = after(
            &linking(&links),
            &base(),
            Source::Dependabot,
            &repository(),
            PageRequest::First,
            &first(),
        );
        assert_eq!(next, Next::End, "{links:?}");
    }
}

#[test]
fn a_link_is_followed_within_the_listing_only() {
    for target in [
        "https://api.github.com/repositories/7/dependabot/alerts?after=x",
        "https://api.github.com/repos/octo/app/dependabot/alerts?after=x",
        "https://api.github.com/repos/Octo/App/dependabot/alerts?after=x",
        "https://API.GITHUB.COM:443/repositories/7/dependabot/alerts?after=x",
        "/repositories/7/dependabot/alerts?after=x",
        "?after=x",
    ] {
        assert!(matches!(follow(target), Next::Page(_)), "{target}");
    }
    for target in [
        "https://evil.example/repositories/7/dependabot/alerts",
        "http://api.github.com/repositories/7/dependabot/alerts",
        "https://api.github.com:8443/repositories/7/dependabot/alerts",
        "https://api.github.com.evil.example/repositories/7/dependabot/alerts",
        "https://api.github.com@evil.example/repositories/7/dependabot/alerts",
        "https://user@api.github.com/repositories/7/dependabot/alerts",
        "//evil.example/repositories/7/dependabot/alerts",
        "\\\\evil.example/repositories/7/dependabot/alerts",
    ] {
        assert_eq!(
            follow(target),
            Next::Refused(LinkRefusal::OtherHost),
            "{target}"
        );
    }
    for target in [
        "https://api.github.com/repositories/8/dependabot/alerts",
        "https://api.github.com/repos/octo/other/dependabot/alerts",
        "https://api.github.com/repositories/7/dependabot/alerts/../../../8/dependabot/alerts",
        "https://api.github.com/user",
    ] {
        assert_eq!(
            follow(target),
            Next::Refused(LinkRefusal::OtherListing),
            "{target}"
        );
    }
    assert_eq!(
        follow("https://[bad"),
        Next::Refused(LinkRefusal::Unreadable)
    );
}

#[test]
fn after_a_redirect_the_listing_is_the_one_that_answered() {
    let moved = base().at(format_args!(
        "/repositories/8/dependabot/alerts?per_page=100"
    ));
    let go = |target: &str| {
        after(
            &linking(&[&format!("<{target}>; rel=\"next\"")]),
            &base(),
            Source::Dependabot,
            &repository(),
            PageRequest::First,
            &moved,
        )
    };
    assert!(matches!(
        go("/repositories/8/dependabot/alerts?after=x"),
        Next::Page(_)
    ));
    assert_eq!(
        go("/repositories/9/dependabot/alerts?after=x"),
        Next::Refused(LinkRefusal::OtherListing)
    );
}

/// Follows links to `cursors`, storing each cursor as text in between, like continuations.
fn walk<'a>(cursors: impl IntoIterator<Item = &'a str>) -> (usize, Next) {
    let mut pages = 1;
    let mut kept: Option<PageCursor> = None;
    let mut last = Next::End;
    for cursor in cursors {
        let (request, fetched) = match &kept {
            None => (PageRequest::First, first()),
            Some(page) => (
                PageRequest::Next(page),
                NextPage::of(page)
                    .and_then(|page| page.url_for(&base(), Source::Dependabot, &repository()))
                    .expect("its page"),
            ),
        };
        let link = format!(
            "<https://api.github.com/repositories/7/dependabot/alerts?after={cursor}>; rel=\"next\""
        );
        last = after(
            &linking(&[&link]),
            &base(),
            Source::Dependabot,
            &repository(),
            request,
            &fetched,
        );
        let Next::Page(next) = &last else { break };
        let text = serde_json::to_string(next).expect("JSON");
        kept = Some(serde_json::from_str(&text).expect("a cursor"));
        pages += 1;
    }
    (pages, last)
}

#[test]
fn every_loop_is_detected_even_across_continuations() {
    assert!(matches!(walk(["a", "b", "c"]), (4, Next::Page(_))));
    assert_eq!(walk(["a", "a"]), (2, Next::Refused(LinkRefusal::Repeated)));
    assert_eq!(
        walk(["a", "b", "c", "b"]),
        (4, Next::Refused(LinkRefusal::Repeated))
    );
    let back = after(
        &linking(&[&format!("<{}>; rel=\"next\"", first())]),
        &base(),
        Source::Dependabot,
        &repository(),
        PageRequest::First,
        &first(),
    );
    assert_eq!(back, Next::Refused(LinkRefusal::Repeated));
}

#[test]
fn an_endless_listing_without_repeats_ends_too() {
    let cursors: Vec<String> = (0..2 * MOST_PAGES)
        .map(|cursor| cursor.to_string())
        .collect();
    assert_eq!(
        walk(cursors.iter().map(String::as_str)),
        (MOST_PAGES, Next::Refused(LinkRefusal::TooLong))
    );
}

#[test]
fn a_stored_cursor_is_checked_again_when_it_is_used() {
    let Next::Page(page) = follow("/repositories/7/dependabot/alerts?after=x") else {
        panic!("a page")
    };
    let page = NextPage::of(&page).expect("a page");
    assert!(
        page.url_for(&base(), Source::Dependabot, &repository())
            .is_some()
    );
    let other = Repository {
        id: RepositoryId::new(8),
        ..repository()
    };
    assert_eq!(
        page.url_for(&base(), Source::Dependabot, &other),
        None,
        "another repository's"
    );
    let elsewhere = "https://ghe.example".parse().expect("valid");
    assert_eq!(
        page.url_for(&elsewhere, Source::Dependabot, &repository()),
        None,
        "another host's"
    );
    for url in [
        "https://evil.example/repositories/7/dependabot/alerts",
        "https://api.github.com/user",
        "nonsense",
    ] {
        let altered = NextPage {
            url: url.to_owned(),
            ..page.clone()
        };
        assert_eq!(
            altered.url_for(&base(), Source::Dependabot, &repository()),
            None,
            "{url}"
        );
    }
}
