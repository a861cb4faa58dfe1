//! The URLs of a repository's alerts under the root of GitHub's API.

use reqwest::Url;

use domain::finding::{AlertNumber, Repository, RepositoryId, RepositoryName, Source};
use outbound::BaseUrl;

use crate::source;

/// The repository that a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepositoryPath {
    /// A URL of the form `/repositories/{id}/…`.
    Id(RepositoryId),
    /// A URL of the form `/repos/{owner}/{name}/…`.
    Name(RepositoryName),
}

impl RepositoryPath {
    /// Whether this is certainly not `repository`, because the id differs. A different name may be a rename.
    pub fn is_other_than(&self, repository: &Repository) -> bool {
        match self {
            Self::Id(id) => *id != repository.id,
            Self::Name(_) => false,
        }
    }
}

/// The paths of a repository's alerts below the root of the API.
pub(crate) trait AlertPaths {
    /// The first page of a repository's alerts: all states, newest update first.
    fn alerts(&self, source: Source, repository: &Repository) -> Url;

    /// One alert of a repository.
    fn alert(&self, source: Source, repository: &Repository, number: AlertNumber) -> Url;

    /// The repository whose alerts of this source `url` lists. `None` if `url` is not such a listing.
    fn alerts_listing(&self, source: Source, url: &Url) -> Option<RepositoryPath>;

    /// The repository that a redirect from `from` leads to. `None` unless `to` is the same resource at the same host.
    fn led_to(&self, from: &Url, to: &Url) -> Option<RepositoryPath>;
}

impl AlertPaths for BaseUrl {
    fn alerts(&self, source: Source, repository: &Repository) -> Url {
        let (name, source) = (&repository.name, source::of(source));
        let (path, query) = (source.path(), source.listing());
        self.at(format_args!("/repos/{name}/{path}?{query}"))
    }

    fn alert(&self, source: Source, repository: &Repository, number: AlertNumber) -> Url {
        let (name, path) = (&repository.name, source::of(source).path());
        self.at(format_args!("/repos/{name}/{path}/{number}"))
    }

    fn alerts_listing(&self, source: Source, url: &Url) -> Option<RepositoryPath> {
        let (repository, path) = repository_path(self, url)?;
        (path == source::of(source).path()).then_some(repository)
    }

    fn led_to(&self, from: &Url, to: &Url) -> Option<RepositoryPath> {
        let (_, asked_for) = repository_path(self, from)?;
        let (repository, found) = repository_path(self, to)?;
        (self.is_origin_of(to) && asked_for == found).then_some(repository)
    }
}

/// The repository that a URL's path names, and the rest of the path.
fn repository_path<'a>(base: &BaseUrl, url: &'a Url) -> Option<(RepositoryPath, &'a str)> {
    let path = url.path().strip_prefix(base.root())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_built_and_recognised_under_the_root() {
        let repository = Repository {
            id: RepositoryId::new(7),
            name: "octo/app".parse().expect("valid"),
        };
        for root in ["https://api.github.com", "https://ghe.example/api/v3/"] {
            let base: BaseUrl = root.parse().expect("valid");
            let url = base.alerts(Source::Dependabot, &repository);
            let trimmed = root.trim_end_matches('/');
            assert_eq!(
                url.as_str(),
                format!(
                    "{trimmed}/repos/octo/app/dependabot/alerts?per_page=100&sort=updated&direction=desc"
                )
            );
            assert_eq!(
                base.alerts_listing(Source::Dependabot, &url),
                Some(RepositoryPath::Name(repository.name.clone()))
            );
            let by_id = base.at(format_args!("/repositories/7/dependabot/alerts?after=x"));
            assert_eq!(
                base.alerts_listing(Source::Dependabot, &by_id),
                Some(RepositoryPath::Id(repository.id))
            );
        }
    }

    #[test]
    fn only_a_different_id_is_certainly_another_repository() {
        let repository = Repository {
            id: RepositoryId::new(7),
            name: "octo/app".parse().expect("valid"),
        };
        let id = |id| RepositoryPath::Id(RepositoryId::new(id));
        let renamed = RepositoryPath::Name("octo/new".parse().expect("valid"));
        assert!(!id(7).is_other_than(&repository));
        assert!(id(8).is_other_than(&repository));
        assert!(!renamed.is_other_than(&repository));
    }

    #[test]
    fn other_paths_are_not_a_listing_of_alerts() {
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
            assert_eq!(
                base.alerts_listing(Source::Dependabot, &url),
                None,
                "{path}"
            );
        }
    }
}
