//! Reads a query string parameter by parameter. Collects and refuses unknown, repeated and invalid parameters.

use std::{convert::Infallible, num::NonZeroUsize};

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::problem::{Invalid, Problem};

/// The longest value of a parameter, in bytes: enough for 100 ids.
const LONGEST: usize = 4096;
/// The longest page.
const LONGEST_PAGE: usize = 100;

/// A query string being read. Parameters that nobody has taken at the end are unknown.
#[derive(Debug)]
pub struct Query {
    parameters: Vec<(String, String)>,
    invalid: Vec<Invalid>,
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let parsed = axum::extract::Query::try_from_uri(&parts.uri);
        Ok(Self {
            // Cannot fail: pairs of strings always parse.
            parameters: parsed.map(|query| query.0).unwrap_or_default(),
            invalid: Vec::new(),
        })
    }
}

impl Query {
    /// Takes a parameter.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let found: Vec<_> = self
            .parameters
            .extract_if(.., |(found, _)| found == name)
            .map(|(_, value)| value)
            .collect();
        if found.len() > 1 {
            self.refuse(name, "this parameter is given more than once");
        }
        let value = found.into_iter().next()?;
        if value.len() > LONGEST {
            self.refuse(name, format!("must have at most {LONGEST} bytes"));
            return None;
        }
        Some(value)
    }

    /// Takes a parameter that `parse` understands; `expected` says what that is.
    pub fn parsed<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.text(name)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.refuse(name, format!("must be {expected}"));
        }
        parsed
    }

    /// Takes `limit`.
    pub fn limit(&mut self) -> Option<usize> {
        let expected = format!("a number from 1 to {LONGEST_PAGE}");
        self.parsed("limit", &expected, |text| {
            let limit: NonZeroUsize = text.parse().ok()?;
            (limit.get() <= LONGEST_PAGE).then_some(limit.get())
        })
    }

    /// Records that a parameter is invalid.
    pub fn refuse(&mut self, name: &str, message: impl AsRef<str>) {
        self.invalid
            .push(Invalid::new(format!("/query/{name}"), message));
    }

    /// Returns every error, if there are any.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.parameters) {
            self.refuse(&name, "unknown parameter");
        }
        if self.invalid.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(self.invalid))
        }
    }
}

/// The default length of a page.
pub const PAGE: usize = 50;
