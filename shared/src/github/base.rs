//! Where GitHub's API is, and which of its paths belong to a repository's alerts.

use std::{fmt, net::IpAddr, str::FromStr};

use reqwest::Url;

use crate::finding::{AlertNumber, Repository, RepositoryId, RepositoryName};

/// The root of GitHub's REST API: `https://api.github.com`, or a GitHub Enterprise Server's `https://host/api/v3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// The text cannot be the root of GitHub's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBaseUrl {
    /// It is no URL with a host.
    #[error("not an absolute URL")]
    NotAbsolute,
    /// Tokens would travel in the open.
    #[error("neither https nor http on a loopback host")]
    Insecure,
    /// It has a part that the root of an API does not have.
    #[error("has credentials, a query or a fragment")]
    Excess,
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;
    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        let mut url = Url::parse(text).map_err(|_| InvalidBaseUrl::NotAbsolute)?;
        let host = url.host_str().ok_or(InvalidBaseUrl::NotAbsolute)?;
        let ip = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        let loopback = host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
        if !(url.scheme() == "https" || url.scheme() == "http" && loopback) {
            return Err(InvalidBaseUrl::Insecure);
        }
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(InvalidBaseUrl::Excess);
        }
        let root = url.path().trim_end_matches('/').to_owned();
        url.set_path(&root);
        Ok(Self(url))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose alerts a URL stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepositoryPath {
    /// A URL of the form `/repositories/{id}/…`.
    Id(RepositoryId),
    /// A URL of the form `/repos/{owner}/{name}/…`.
    Name(RepositoryName),
}

impl RepositoryPath {
    /// Whether this is certainly not `repository`: it has another id. A new name may be the same repository's.
    pub fn is_other_than(&self, repository: &Repository) -> bool {
        match self {
            Self::Id(id) => *id != repository.id,
            Self::Name(_) => false,
        }
    }
}

impl BaseUrl {
    /// Whether tokens travel encrypted; they need not on the loopback interface.
    pub(super) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether `url` has this scheme, host and port, and no credentials of its own.
    pub(super) fn is_origin_of(&self, url: &Url) -> bool {
        self.0.origin() == url.origin() && url.username().is_empty() && url.password().is_none()
    }

    /// The URL of `path`, which starts with a slash and may end with a query.
    pub(super) fn at(&self, path: fmt::Arguments<'_>) -> Url {
        let root = self.0.as_str().trim_end_matches('/');
        Url::parse(&format!("{root}{path}"))
            .expect("an absolute URL with a path made of numbers and checked names")
    }

    /// The first page of a repository's alerts: all states, newest update first.
    pub(super) fn alerts(&self, repository: &Repository) -> Url {
        let name = &repository.name;
        self.at(format_args!(
            "/repos/{name}/dependabot/alerts?per_page=100&sort=updated&direction=desc"
        ))
    }

    /// One alert of a repository.
    pub(super) fn alert(&self, repository: &Repository, number: AlertNumber) -> Url {
        self.at(format_args!(
            "/repos/{}/dependabot/alerts/{number}",
            repository.name
        ))
    }

    /// Whose listing of alerts `url` is a page of, if it is one at all.
    pub(super) fn alerts_listing(&self, url: &Url) -> Option<RepositoryPath> {
        match self.repository_path(url)? {
            (repository, "dependabot/alerts") => Some(repository),
            _ => None,
        }
    }

    /// Whose `to` is, if it is what `from` is: the same thing of a repository, at the same host.
    pub(super) fn led_to(&self, from: &Url, to: &Url) -> Option<RepositoryPath> {
        let (_, asked_for) = self.repository_path(from)?;
        let (repository, found) = self.repository_path(to)?;
        (self.is_origin_of(to) && asked_for == found).then_some(repository)
    }

    /// The repository a URL's path names, and what it asks of it.
    fn repository_path<'a>(&self, url: &'a Url) -> Option<(RepositoryPath, &'a str)> {
        let path = url
            .path()
            .strip_prefix(self.0.path().trim_end_matches('/'))?;
        if let Some(rest) = path.strip_prefix("/repositories/") {
            let (id, rest) = rest.split_once('/')?;
            return Some((RepositoryPath::Id(id.parse().ok()?), rest));
        }
        let rest = path.strip_prefix("/repos/")?;
        let (end_of_owner, _) = rest.match_indices('/').nth(1)?;
        let (name, rest) = rest.split_at(end_of_owner);
        Some((
            RepositoryPath::Name(name.parse().ok()?),
            rest.strip_prefix('/')?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_travel_in_the_open_only_on_the_loopback_interface() {
        for text in [
            "https://api.github.com",
            "https://ghe.example/api/v3/",
            "http://127.0.0.1:8080",
            "http://[::1]:1/x",
            "http://localhost",
        ] {
            assert!(text.parse::<BaseUrl>().is_ok(), "{text}");
        }
        for text in [
            "http://api.github.com",
            "http://127.0.0.1.evil.example",
            "http://localhost.evil.example",
            "ftp://127.0.0.1",
        ] {
            assert_eq!(
                text.parse::<BaseUrl>(),
                Err(InvalidBaseUrl::Insecure),
                "{text}"
            );
        }
        for text in ["", "api.github.com", "/api", "https://"] {
            assert_eq!(
                text.parse::<BaseUrl>(),
                Err(InvalidBaseUrl::NotAbsolute),
                "{text}"
            );
        }
        for text in [
            "https://a@api.github.com",
            "https://:b@api.github.com",
            "https://api.github.com?a",
            "https://api.github.com#a",
        ] {
            assert_eq!(
                text.parse::<BaseUrl>(),
                Err(InvalidBaseUrl::Excess),
                "{text}"
            );
        }
    }

    #[test]
    fn urls_are_made_under_the_root_and_recognised_there() {
        let repository = Repository {
            id: RepositoryId::new(7),
            name: "octo/app".parse().expect("valid"),
        };
        for root in ["https://api.github.com", "https://ghe.example/api/v3/"] {
            let base: BaseUrl = root.parse().expect("valid");
            let url = base.alerts(&repository);
            let trimmed = root.trim_end_matches('/');
            assert_eq!(
                url.as_str(),
                format!(
                    "{trimmed}/repos/octo/app/dependabot/alerts?per_page=100&sort=updated&direction=desc"
                )
            );
            assert_eq!(
                base.alerts_listing(&url),
                Some(RepositoryPath::Name(repository.name.clone()))
            );
            let by_id = base.at(format_args!("/repositories/7/dependabot/alerts?after=x"));
            assert_eq!(
                base.alerts_listing(&by_id),
                Some(RepositoryPath::Id(repository.id))
            );
        }
    }

    #[test]
    fn other_paths_are_no_listing_of_alerts() {
        let base: BaseUrl = "https://ghe.example/api/v3".parse().expect("valid");
        for path in [
            "/api/v3/repos/octo/app/dependabot/alerts/1",
            "/api/v3/repos/octo/app/dependabot/secrets",
            "/api/v3/repos/octo/dependabot/alerts",
            "/api/v3/repositories/x/dependabot/alerts",
            "/api/v3/repositories/7/../8/x/dependabot/alerts",
            "/repos/octo/app/dependabot/alerts",
            "/api/v3/orgs/octo/dependabot/alerts",
            "/api/v3/repos/octo/a%2fb/dependabot/alerts",
            "/",
        ] {
            let url = Url::parse(&format!("https://ghe.example{path}")).expect("valid");
            assert_eq!(base.alerts_listing(&url), None, "{path}");
        }
    }
}
