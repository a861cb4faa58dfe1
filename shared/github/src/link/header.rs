//! The grammar of `Link` headers: RFC 8288, section 3, without extensions.

use reqwest::header::{HeaderMap, LINK};

/// The most bytes of all `Link` headers of an answer. GitHub's have under one kilobyte.
const LARGEST: usize = 8 * 1024;

/// The answer's `Link` header is malformed. It is unknown whether a page follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Link header is malformed")]
pub(crate) struct MalformedLink;

/// The target of the first link with `rel="next"`; `None` if the answer has none. Every header is read to its end, so
/// that what is malformed is never taken for an answer without a next page.
pub(super) fn target_of_next(headers: &HeaderMap) -> Result<Option<&str>, MalformedLink> {
    let mut left = LARGEST;
    let mut next = None;
    for value in headers.get_all(LINK) {
        left = left.checked_sub(value.len()).ok_or(MalformedLink)?;
        let mut list = Scanner(value.to_str().map_err(|_| MalformedLink)?);
        while let Some(link) = list.link()? {
            if link.is_next {
                next = next.or(Some(link.target));
            }
        }
    }
    Ok(next)
}

struct Link<'a> {
    target: &'a str,
    is_next: bool,
}

/// What is left of a header.
struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    /// The next link of the list; `None` at its end. A list may have empty elements.
    fn link(&mut self) -> Result<Option<Link<'a>>, MalformedLink> {
        while self.space_then(',') {}
        if self.0.is_empty() {
            return Ok(None);
        }
        let target = self.target()?;
        let mut relations = None;
        while self.space_then(';') {
            if let Some((name, value)) = self.parameter()?
                && name.eq_ignore_ascii_case("rel")
            {
                // Of several, the first counts: RFC 8288, section 3.3.
                relations = relations.or(Some(value));
            }
        }
        self.space();
        if !(self.0.is_empty() || self.0.starts_with(',')) {
            return Err(MalformedLink);
        }
        let is_next = relations.is_some_and(|relations| {
            let mut relations = relations.split_ascii_whitespace();
            relations.any(|relation| relation.eq_ignore_ascii_case("next"))
        });
        Ok(Some(Link { target, is_next }))
    }

    /// `<target>`. A URL has none of the characters that would make the end of the target doubtful.
    fn target(&mut self) -> Result<&'a str, MalformedLink> {
        let from = self.0.strip_prefix('<').ok_or(MalformedLink)?;
        let foreign =
            |c: char| c == '<' || c == '"' || c.is_ascii_whitespace() || c.is_ascii_control();
        match from.split_once('>') {
            Some((target, rest)) if !target.contains(foreign) => {
                self.0 = rest;
                Ok(target)
            }
            _ => Err(MalformedLink),
        }
    }

    /// `name`, `name=value` or `name="value"`; `None` for an empty parameter.
    fn parameter(&mut self) -> Result<Option<(&'a str, &'a str)>, MalformedLink> {
        self.space();
        let name = self.token();
        if name.is_empty() {
            return Ok(None);
        }
        if !self.space_then('=') {
            return Ok(Some((name, "")));
        }
        self.space();
        let value = match self.0.strip_prefix('"') {
            Some(from) => self.quoted(from)?,
            None => self.token(),
        };
        Ok(Some((name, value)))
    }

    /// The text between quotes, with its escapes: no relation has any.
    fn quoted(&mut self, from: &'a str) -> Result<&'a str, MalformedLink> {
        let mut escaped = false;
        for (at, c) in from.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    let (text, rest) = from.split_at(at);
                    self.0 = rest.strip_prefix('"').unwrap_or(rest);
                    return Ok(text);
                }
                _ => {}
            }
        }
        Err(MalformedLink)
    }

    fn token(&mut self) -> &'a str {
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        token
    }

    fn space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    /// Skips space, and `separator` if it follows.
    fn space_then(&mut self, separator: char) -> bool {
        self.space();
        let rest = self.0.strip_prefix(separator);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
}

/// A character of a token: RFC 9110, section 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}
