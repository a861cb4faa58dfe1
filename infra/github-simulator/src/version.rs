//! The versions of GitHub's REST API.

/// The supported values of `X-GitHub-Api-Version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApiVersion {
    V2022_11_28,
    V2026_03_10,
}

impl ApiVersion {
    /// The version of a request that names none: the oldest supported one.
    pub(crate) const DEFAULT: Self = Self::V2022_11_28;

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::V2022_11_28, Self::V2026_03_10]
            .into_iter()
            .find(|version| version.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V2022_11_28 => "2022-11-28",
            Self::V2026_03_10 => "2026-03-10",
        }
    }
}
