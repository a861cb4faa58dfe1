//! The query parameters of the alert list: order, filters, page size and cursor.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as ValueError;

use crate::alert::{Alert, AlertState, Severity};

/// The sort keys of the alert list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sort {
    #[default]
    Created,
    Updated,
    EpssPercentage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    Asc,
    #[default]
    Desc,
}

/// A position in an order. It stays valid when the alert at the position moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    rank: i64,
    number: u64,
}

impl Position {
    pub(crate) fn of(alert: &Alert, sort: Sort) -> Self {
        let facts = &alert.facts;
        let rank = match sort {
            Sort::Created => facts.created_at.as_microsecond(),
            Sort::Updated => facts.updated_at.as_microsecond(),
            // Alerts without a score are last in descending order.
            Sort::EpssPercentage => facts
                .security_advisory
                .epss
                .as_ref()
                .map_or(-1, |epss| (epss.percentage * 1e9) as i64),
        };
        Self {
            rank,
            number: facts.number,
        }
    }

    pub(crate) fn number(self) -> u64 {
        self.number
    }

    /// The opaque cursor for clients.
    pub(crate) fn cursor(self, sort: Sort) -> String {
        URL_SAFE_NO_PAD.encode(format!("{sort:?}:{}:{}", self.rank, self.number))
    }

    fn from_cursor(cursor: &str, sort: Sort) -> Option<Self> {
        let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (order, place) = decoded.split_once(':')?;
        let (rank, number) = place.split_once(':')?;
        if order != format!("{sort:?}") {
            return None;
        }
        Some(Self {
            rank: rank.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

/// Where a page starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    First,
    After(Position),
    Before(Position),
}

/// Why a list query is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum QueryError {
    /// Answered with 400.
    Unsupported(String),
    /// Answered with 422.
    Invalid(String),
}

/// The query of `GET .../dependabot/alerts`.
#[derive(Debug)]
pub(crate) struct ListQuery {
    pub(crate) sort: Sort,
    pub(crate) direction: Direction,
    pub(crate) start: Start,
    pub(crate) per_page: usize,
    filters: Filters,
}

#[derive(Debug, Default)]
struct Filters {
    states: Vec<AlertState>,
    severities: Vec<Severity>,
    ecosystems: Vec<String>,
    packages: Vec<String>,
    manifests: Vec<String>,
    scopes: Vec<String>,
    relationships: Vec<String>,
    classifications: Vec<String>,
    assignees: Vec<String>,
    epss: Option<EpssRange>,
    has_patch: Option<()>,
}

impl ListQuery {
    pub(crate) fn parse(parameters: &[(String, String)]) -> Result<Self, QueryError> {
        let mut query = Self {
            sort: Sort::default(),
            direction: Direction::default(),
            start: Start::First,
            per_page: 30,
            filters: Filters::default(),
        };
        // First the order: a cursor is valid for one order, and `sort` may come after it in the query.
        if let Some((name, value)) = parameters.iter().find(|(name, _)| name == "sort") {
            query.sort = one(name, value)?;
        }
        for (name, value) in parameters {
            let filters = &mut query.filters;
            match name.as_str() {
                "page" | "first" | "last" => {
                    return Err(QueryError::Unsupported(format!(
                        "Pagination using the `{name}` parameter is not supported."
                    )));
                }
                "per_page" => query.per_page = per_page(value),
                "direction" => query.direction = one(name, value)?,
                "after" => query.start = Start::After(position(name, value, query.sort)?),
                "before" => query.start = Start::Before(position(name, value, query.sort)?),
                "state" => filters.states = each(name, value)?,
                "severity" => filters.severities = each(name, value)?,
                "scope" => filters.scopes = among(name, value, &["development", "runtime"])?,
                "relationship" => {
                    let known = ["unknown", "direct", "transitive", "inconclusive"];
                    filters.relationships = among(name, value, &known)?;
                }
                "classification" => {
                    filters.classifications = among(name, value, &["malware", "general"])?;
                }
                "ecosystem" => filters.ecosystems = split(value).collect(),
                "package" => filters.packages = split(value).collect(),
                "manifest" => filters.manifests = split(value).collect(),
                "assignee" => filters.assignees = split(value).collect(),
                "has" => {
                    among(name, value, &["patch"])?;
                    filters.has_patch = Some(());
                }
                "epss_percentage" => {
                    let range = EpssRange::parse(value).ok_or_else(|| not_a_member(name, value))?;
                    filters.epss = Some(range);
                }
                // Like GitHub, ignore unknown parameters.
                _ => {}
            }
        }
        Ok(query)
    }

    pub(crate) fn selects(&self, alert: &Alert) -> bool {
        let Filters {
            states,
            severities,
            ecosystems,
            packages,
            manifests,
            scopes,
            relationships,
            classifications,
            assignees,
            epss,
            has_patch,
        } = &self.filters;
        let facts = &alert.facts;
        let dependency = &facts.dependency;
        let package = dependency.package.as_ref();
        let advisory = &facts.security_advisory;
        let patch = &facts.security_vulnerability.first_patched_version;
        (states.is_empty() || states.contains(&facts.state))
            && (severities.is_empty()
                || severities.contains(&facts.security_vulnerability.severity))
            && admits(ecosystems, package.map(|package| &package.ecosystem))
            && admits(packages, package.map(|package| &package.name))
            && admits(manifests, dependency.manifest_path.as_ref())
            && admits(scopes, dependency.scope.as_ref())
            && admits(relationships, dependency.relationship.as_ref())
            && admits(classifications, advisory.classification.as_ref())
            && has_patch.is_none_or(|()| patch.is_some())
            && epss.is_none_or(|range| {
                let score = advisory.epss.as_ref();
                score.is_some_and(|epss| range.contains(epss.percentage))
            })
            && (assignees.is_empty()
                || assignees.iter().any(|wanted| match wanted.as_str() {
                    "*" => !facts.assignees.is_empty(),
                    "none" => facts.assignees.is_empty(),
                    login => facts.assignees.iter().any(|user| user.login == login),
                }))
    }
}

/// Clamps the page size instead of refusing it, as GitHub does.
pub(crate) fn per_page(value: &str) -> usize {
    match value.parse::<usize>() {
        Ok(0) | Err(_) => 30,
        Ok(wanted) => wanted.min(100),
    }
}

#[derive(Clone, Copy, Debug)]
struct EpssRange {
    at_least: f64,
    at_most: f64,
    /// For `>n` and `<n`: the bound itself is outside of the range.
    excluding: Option<f64>,
}

impl EpssRange {
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<f64>().ok().filter(|n| (0.0..=1.0).contains(n));
        let (at_least, at_most, excluding) = if let Some((low, high)) = text.split_once("..") {
            (number(low)?, number(high)?, None)
        } else if let Some(bound) = text.strip_prefix(">=") {
            (number(bound)?, 1.0, None)
        } else if let Some(bound) = text.strip_prefix("<=") {
            (0.0, number(bound)?, None)
        } else if let Some(bound) = text.strip_prefix('>') {
            (number(bound)?, 1.0, Some(number(bound)?))
        } else if let Some(bound) = text.strip_prefix('<') {
            (0.0, number(bound)?, Some(number(bound)?))
        } else {
            (number(text)?, number(text)?, None)
        };
        Some(Self {
            at_least,
            at_most,
            excluding,
        })
    }

    fn contains(self, percentage: f64) -> bool {
        (self.at_least..=self.at_most).contains(&percentage) && self.excluding != Some(percentage)
    }
}

fn admits(wanted: &[String], found: Option<&String>) -> bool {
    wanted.is_empty() || found.is_some_and(|found| wanted.contains(found))
}

fn split(value: &str) -> impl Iterator<Item = String> {
    value.split(',').map(|part| part.trim().to_owned())
}

fn one<'de, T: Deserialize<'de>>(name: &str, value: &'de str) -> Result<T, QueryError> {
    let parsed: Result<T, ValueError> = T::deserialize(value.into_deserializer());
    parsed.map_err(|_| not_a_member(name, value))
}

fn each<T: for<'de> Deserialize<'de>>(name: &str, value: &str) -> Result<Vec<T>, QueryError> {
    value
        .split(',')
        .map(|part| one(name, part.trim()))
        .collect()
}

fn among(name: &str, value: &str, known: &[&str]) -> Result<Vec<String>, QueryError> {
    let parts: Vec<String> = split(value).collect();
    match parts.iter().find(|part| !known.contains(&part.as_str())) {
        Some(part) => Err(not_a_member(name, part)),
        None => Ok(parts),
    }
}

fn position(name: &str, value: &str, sort: Sort) -> Result<Position, QueryError> {
    Position::from_cursor(value, sort).ok_or_else(|| {
        QueryError::Unsupported(format!("The `{name}` cursor is not valid for this list."))
    })
}

fn not_a_member(name: &str, value: &str) -> QueryError {
    QueryError::Invalid(format!(
        "Invalid request.\n\n\"{value}\" is not a valid value for `{name}`."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epss_ranges_are_parsed_in_every_documented_form() {
        for (text, inside, outside) in [
            ("0.5", 0.5, 0.4),
            (">0.5", 0.6, 0.5),
            ("<0.5", 0.4, 0.5),
            (">=0.5", 0.5, 0.4),
            ("<=0.5", 0.5, 0.6),
            ("0.1..0.2", 0.15, 0.3),
        ] {
            let range = EpssRange::parse(text).expect("documented");
            assert!(range.contains(inside), "{text} must contain {inside}");
            assert!(
                !range.contains(outside),
                "{text} must not contain {outside}"
            );
        }
        for text in ["", "x", ">", "2", "0.1..", "NaN"] {
            assert!(
                EpssRange::parse(text).is_none(),
                "{text} must not be a range"
            );
        }
    }

    #[test]
    fn a_cursor_is_valid_only_for_its_own_order() {
        let position = Position {
            rank: -1,
            number: 7,
        };
        let cursor = position.cursor(Sort::Updated);
        assert_eq!(
            Position::from_cursor(&cursor, Sort::Updated),
            Some(position)
        );
        assert_eq!(Position::from_cursor(&cursor, Sort::Created), None);
    }
}
