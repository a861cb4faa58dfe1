//! `Link` headers, and the cursors made from them. GitHub's URLs are followed unchanged, but only within the listing
//! that they continue.

mod header;

use reqwest::{Url, header::HeaderMap};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::base::{AlertPaths as _, RepositoryPath};
use domain::{
    finding::{Repository, RepositoryId, Source},
    page::PageCursor,
};
use outbound::BaseUrl;

pub(super) use header::MalformedLink;

/// The most pages of a listing: 100,000 alerts.
const MOST_PAGES: usize = 1_000;

/// Which page of a listing to fetch.
#[derive(Clone, Copy, Debug)]
pub enum PageRequest<'a> {
    /// The first.
    First,
    /// The page that follows an earlier one.
    Next(&'a PageCursor),
}

/// What follows a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the listing is complete.
    End,
    /// Another page.
    Page(PageCursor),
    /// A link that must not be followed. The page itself is valid, but the listing cannot be completed.
    Refused(LinkRefusal),
}

/// Why a link to the next page is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefusal {
    /// It leads to another host, which must not see the token.
    #[error("link to the next page leads to another host")]
    OtherHost,
    /// It leads to something that is not this listing.
    #[error("link to the next page leads out of the listing")]
    OtherListing,
    /// It leads back to a page that was already fetched.
    #[error("link to the next page leads to an earlier page")]
    Repeated,
    /// The listing is longer than any real one.
    #[error("listing has more than {MOST_PAGES} pages")]
    TooLong,
}

/// The contents of a cursor of a listing of alerts.
///
/// A cursor belongs to one repository and remembers the pages before it, so every loop is detected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NextPage {
    source: Source,
    repository: RepositoryId,
    url: String,
    /// A short hash of each page's URL up to and including this one.
    trail: Vec<u64>,
}

impl NextPage {
    fn cursor(&self) -> PageCursor {
        let text = serde_json::to_string(self).expect("plain data always serialises");
        PageCursor::new(text)
    }

    /// Reads a cursor; `None` if it is not one of ours.
    pub(super) fn of(cursor: &PageCursor) -> Option<Self> {
        serde_json::from_str(cursor.as_str()).ok()
    }

    /// The URL to fetch, if it can be a page of `repository`'s alerts of this source at `base`. A stored URL is checked
    /// like one from the network: the token is sent there.
    pub(super) fn url_for(
        &self,
        base: &BaseUrl,
        source: Source,
        repository: &Repository,
    ) -> Option<Url> {
        let url = Url::parse(&self.url).ok()?;
        let fits = (self.source, self.repository) == (source, repository.id)
            && base.is_origin_of(&url)
            && base.alerts_listing(source, &url).is_some();
        fits.then_some(url)
    }
}

/// What follows the page of `repository`'s alerts that `request` named and that came from `fetched`.
pub(super) fn after(
    headers: &HeaderMap,
    base: &BaseUrl,
    source: Source,
    repository: &Repository,
    request: PageRequest<'_>,
    fetched: &Url,
) -> Result<Next, MalformedLink> {
    Ok(match next_link(headers, base, fetched)? {
        None => Next::End,
        Some(Ok(url)) => following(base, source, repository, request, fetched, url),
        Some(Err(refusal)) => Next::Refused(refusal),
    })
}

fn following(
    base: &BaseUrl,
    source: Source,
    repository: &Repository,
    request: PageRequest<'_>,
    fetched: &Url,
    url: Url,
) -> Next {
    let same_listing = base
        .alerts_listing(source, &url)
        .is_some_and(|listing| match &listing {
            RepositoryPath::Id(id) if *id == repository.id => true,
            RepositoryPath::Name(name) if name.same_as(&repository.name) => true,
            // After a redirect, the next page has the redirect's path.
            RepositoryPath::Id(_) | RepositoryPath::Name(_) => {
                base.alerts_listing(source, fetched).as_ref() == Some(&listing)
            }
        });
    if !same_listing {
        return Next::Refused(LinkRefusal::OtherListing);
    }
    let mut trail = match request {
        PageRequest::First => vec![mark(fetched)],
        PageRequest::Next(page) => NextPage::of(page).map_or_else(Vec::new, |page| page.trail),
    };
    let mark = mark(&url);
    if trail.contains(&mark) {
        return Next::Refused(LinkRefusal::Repeated);
    }
    if trail.len() >= MOST_PAGES {
        return Next::Refused(LinkRefusal::TooLong);
    }
    trail.push(mark);
    let next = NextPage {
        source,
        repository: repository.id,
        url: url.into(),
        trail,
    };
    Next::Page(next.cursor())
}

/// The `rel="next"` link of a page that came from `fetched`; `None` if the listing ends there.
pub(super) fn next_link(
    headers: &HeaderMap,
    base: &BaseUrl,
    fetched: &Url,
) -> Result<Option<Result<Url, LinkRefusal>>, MalformedLink> {
    let Some(target) = header::target_of_next(headers)? else {
        return Ok(None);
    };
    let url = fetched.join(target).map_err(|_| MalformedLink)?;
    let followed = base.is_origin_of(&url).then_some(url);
    Ok(Some(followed.ok_or(LinkRefusal::OtherHost)))
}

/// A hash that is stable across versions of this code, because cursors are stored.
fn mark(url: &Url) -> u64 {
    let hash = Sha256::digest(url.as_str());
    u64::from_be_bytes(
        hash.first_chunk()
            .copied()
            .expect("SHA-256 is longer than 8 bytes"),
    )
}

#[cfg(test)]
mod tests;
