//! Media types, by file extension.

/// The media types of the page's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaType {
    Html,
    Css,
    JavaScript,
    Svg,
    Text,
}

impl MediaType {
    /// Returns the type of a file of this name; `None` if such files are not served.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "html" => Some(Self::Html),
            "css" => Some(Self::Css),
            "js" | "mjs" => Some(Self::JavaScript),
            "svg" => Some(Self::Svg),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }

    /// Returns the value for `content-type`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Css => "text/css; charset=utf-8",
            Self::JavaScript => "text/javascript; charset=utf-8",
            Self::Svg => "image/svg+xml",
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}
