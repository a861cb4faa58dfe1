//! The alerts of one repository, sorted in every order that a list can request, so the cost of a page depends on
//! its size alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::alert::Alert;
use crate::query::{Direction, ListQuery, Position, Sort, Start};

#[derive(Debug, Default)]
pub(crate) struct Alerts {
    by_number: BTreeMap<u64, Arc<Alert>>,
    created: BTreeSet<Position>,
    updated: BTreeSet<Position>,
    epss: BTreeSet<Position>,
}

/// A page and the cursors of the previous and next pages, where they exist.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) alerts: Vec<Arc<Alert>>,
    pub(crate) next: Option<String>,
    pub(crate) previous: Option<String>,
}

impl Alerts {
    pub(crate) fn get(&self, number: u64) -> Option<&Arc<Alert>> {
        self.by_number.get(&number)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Alert>> {
        self.by_number.values()
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.by_number
            .last_key_value()
            .map_or(1, |(number, _)| number + 1)
    }

    /// Adds the alert or replaces the one with the same number.
    pub(crate) fn put(&mut self, alert: Arc<Alert>) {
        let replaced = self.by_number.insert(alert.number(), Arc::clone(&alert));
        for sort in [Sort::Created, Sort::Updated, Sort::EpssPercentage] {
            let order = self.order_mut(sort);
            if let Some(replaced) = &replaced {
                order.remove(&Position::of(replaced, sort));
            }
            order.insert(Position::of(&alert, sort));
        }
    }

    /// The time of a change made now. Never earlier than the repository's newest time, because GitHub's clock is
    /// never behind its own data.
    pub(crate) fn time_of_change(&self, now: Timestamp) -> Timestamp {
        let newest = self
            .updated
            .last()
            .and_then(|position| self.get(position.number()));
        let now = newest.map_or(now, |alert| now.max(alert.facts.updated_at));
        now - SignedDuration::from_nanos(i64::from(now.subsec_nanosecond()))
    }

    pub(crate) fn page(&self, query: &ListQuery) -> Page {
        let ascending = query.direction == Direction::Asc;
        let mut alerts: Vec<_> = match query.start {
            Start::First => self.walk(query, None, ascending),
            Start::After(position) => self.walk(query, Some(position), ascending),
            Start::Before(position) => self.walk(query, Some(position), !ascending),
        }
        .take(query.per_page)
        .cloned()
        .collect();
        if let Start::Before(_) = query.start {
            alerts.reverse();
        }
        let neighbour = |edge: Option<&Arc<Alert>>, ascending| {
            let edge = Position::of(edge?, query.sort);
            self.walk(query, Some(edge), ascending).next()?;
            Some(edge.cursor(query.sort))
        };
        Page {
            next: neighbour(alerts.last(), ascending),
            previous: neighbour(alerts.first(), !ascending),
            alerts,
        }
    }

    /// Returns the selected alerts beyond a position, nearest first.
    fn walk<'a>(
        &'a self,
        query: &'a ListQuery,
        from: Option<Position>,
        ascending: bool,
    ) -> impl Iterator<Item = &'a Arc<Alert>> {
        let order = match query.sort {
            Sort::Created => &self.created,
            Sort::Updated => &self.updated,
            Sort::EpssPercentage => &self.epss,
        };
        let edge = from.map_or(Bound::Unbounded, Bound::Excluded);
        let (up, down) = if ascending {
            (Some(order.range((edge, Bound::Unbounded))), None)
        } else {
            (None, Some(order.range((Bound::Unbounded, edge)).rev()))
        };
        up.into_iter()
            .flatten()
            .chain(down.into_iter().flatten())
            .filter_map(|position| self.by_number.get(&position.number()))
            .filter(|alert| query.selects(alert))
    }

    fn order_mut(&mut self, sort: Sort) -> &mut BTreeSet<Position> {
        match sort {
            Sort::Created => &mut self.created,
            Sort::Updated => &mut self.updated,
            Sort::EpssPercentage => &mut self.epss,
        }
    }
}
