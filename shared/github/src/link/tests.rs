use proptest::{collection::vec, prelude::*, sample::select};
use reqwest::header::{HeaderValue, LINK};

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
    after_first(&[&format!("<{target}>; rel=\"next\"")]).expect("a well-formed header")
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
            found.map(|found| found.map(|followed| followed.map(String::from))),
            Ok(Some(Ok(url.to_owned()))),
            "{links:?}"
        );
    }
}

fn after_first(links: &[&str]) -> Result<Next, MalformedLink> {
    after(
        &linking(links),
        &base(),
        Source::Dependabot,
        &repository(),
        PageRequest::First,
        &first(),
    )
}

#[test]
fn without_a_next_link_the_listing_is_complete() {
    for links in [
        vec![],
        vec!["<https://api.github.com/x>; rel=\"prev\""],
        vec!["<https://api.github.com/x>; rel=\"nextish\""],
        vec!["<https://api.github.com/x>; rel=prev; rel=next"],
        vec!["<https://api.github.com/x>; title=\"next\""],
        vec!["<https://api.github.com/x>; title=\"\\\"; rel=next\""],
        vec!["<https://api.github.com/x>; rel"],
        vec!["<https://api.github.com/x>;"],
        vec!["<https://api.github.com/x>"],
        vec![""],
        vec![" , ,"],
    ] {
        assert_eq!(after_first(&links), Ok(Next::End), "{links:?}");
    }
}

#[test]
fn a_malformed_header_is_not_the_end_of_a_listing() {
    let many = "<".repeat(5_000);
    let long = format!(
        "<https://api.github.com/{}>; rel=prev",
        "x".repeat(8 * 1024)
    );
    let good = "<https://api.github.com/repositories/7/dependabot/alerts?after=x>; rel=next";
    for links in [
        vec!["rel=\"next\""],
        vec!["<https://api.github.com/x; rel=\"next\""],
        vec!["<https://api.github.com/x>; rel=\"next"],
        vec!["<https://api.github.com/x>; rel=\"prev\\\""],
        vec!["<https://api.github.com/x> rel=\"next\""],
        vec!["<https://api.github.com/x>; rel=\"prev\" <y>; rel=\"next\""],
        vec!["<https://api.github.com/x y>; rel=\"prev\""],
        vec!["<<https://api.github.com/x>; rel=\"prev\""],
        vec!["<https://api.github.com/x>; =next"],
        vec!["<https://[bad>; rel=\"next\""],
        vec!["\u{ab}"],
        vec![&many],
        vec![&long],
        vec![good, "<"],
        vec!["<", good],
    ] {
        assert_eq!(after_first(&links), Err(MalformedLink), "{links:?}");
    }
}

/// A link, and how it is written.
#[derive(Clone, Debug)]
struct Written {
    target: String,
    rel: Option<&'static str>,
    quoted: bool,
    space: &'static str,
    title: Option<&'static str>,
}

impl Written {
    fn text(&self) -> String {
        let Self { target, space, .. } = self;
        let mut text = format!("{space}<{target}>{space}");
        if let Some(title) = self.title {
            text += &format!(";{space}title{space}={space}\"{title}\"{space}");
        }
        if let Some(rel) = self.rel {
            let quote = if self.quoted || rel.contains(' ') {
                "\""
            } else {
                ""
            };
            text += &format!(";{space}Rel={quote}{rel}{quote}{space}");
        }
        text
    }
}

fn written() -> impl Strategy<Value = Written> {
    (
        "[!#-;=?-~]{0,40}",
        select(vec![
            None,
            Some("prev"),
            Some("next"),
            Some("first NEXT"),
            Some("nextish"),
        ]),
        any::<bool>(),
        select(vec!["", " ", "\t "]),
        select(vec![
            None,
            Some("a, b; <c>; rel=next"),
            Some("\\\"; rel=next"),
            Some(""),
        ]),
    )
        .prop_map(|(target, rel, quoted, space, title)| Written {
            target,
            rel,
            quoted,
            space,
            title,
        })
}

proptest! {
    #[test]
    fn the_first_next_link_of_a_well_formed_header_is_found(links in vec(written(), 0..6)) {
        let text: Vec<String> = links.iter().map(Written::text).collect();
        let is_next = |link: &&Written| matches!(link.rel, Some("next" | "first NEXT"));
        let expected = links.iter().find(is_next).map(|link| link.target.as_str());
        let texts: Vec<&str> = text.iter().map(String::as_str).collect();
        for headers in [linking(&[&text.join(",")]), linking(&texts)] {
            prop_assert_eq!(header::target_of_next(&headers), Ok(expected), "{:?}", headers);
        }
    }

    /// A header whose end is missing is malformed, or the list of the links before it: never less than those.
    #[test]
    fn a_cut_header_hides_no_link(links in vec(written(), 1..4), cut in any::<prop::sample::Index>()) {
        let text: Vec<String> = links.iter().map(Written::text).collect();
        let text = text.join(",");
        let kept = &text[..cut.index(text.len())];
        let whole: Vec<&Written> = {
            let mut at = 0;
            let ends = links.iter().map(|link| { at += link.text().len() + 1; (at, link) });
            ends.filter(|(end, _)| *end <= kept.len()).map(|(_, link)| link).collect()
        };
        let expected = whole.iter().find(|link| matches!(link.rel, Some("next" | "first NEXT")));
        let headers = linking(&[kept]);
        if let (Some(link), Ok(found)) = (expected, header::target_of_next(&headers)) {
            prop_assert_eq!(found, Some(link.target.as_str()), "{}", kept);
        }
    }

    /// Whatever is sent is read, in time.
    #[test]
    fn any_header_is_classified(bytes in vec(any::<u8>(), 0..200), times in 1usize..60) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes.repeat(times)) {
            let headers = HeaderMap::from_iter([(LINK, value)]);
            if let Ok(Some(target)) = header::target_of_next(&headers) {
                prop_assert!(!target.contains(['<', '>', '"', ' ']), "{}", target);
            }
        }
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
        .expect("a well-formed header")
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
        )
        .expect("a well-formed header");
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
    let back = follow(first().as_str());
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
