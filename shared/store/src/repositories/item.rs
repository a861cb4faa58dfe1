//! Converts a repository to an item and back.

use aws_sdk_dynamodb::types::AttributeValue;
use uuid::Uuid;

use super::{Counts, Listing, Pass, PassState, RepositoryRecord, Watermarks, flag};
use crate::table::{Attributes, Expression, Item, Partition, Unreadable, ms, s};
use domain::{
    Timestamp,
    finding::{Repository, RepositoryId, Source},
    owner::Owner,
};

/// The attributes of [`Counts`], in its order.
pub(super) const COUNTS: [&str; 7] = [
    "open_critical",
    "open_high",
    "open_medium",
    "open_low",
    "fixed",
    "ignored",
    "closed",
];

/// The key of a repository's row. The id is padded, so that ids sort.
pub(super) fn key(owner: &Owner, repository: RepositoryId) -> Item {
    Partition::Repositories.key(owner, format!("{:020}", repository.get()))
}

/// What a listing writes.
pub(super) fn listing(listing: &Listing, now: Timestamp, e: &mut Expression) {
    e.set("listed", flag(listing.listed.is_some()));
    if let Some(listed) = &listing.listed {
        e.set("name", s(listed.repository.name.as_str()));
        e.set("private", flag(listed.private));
    }
    if let Some(pass) = listing.attempt {
        e.set("last_attempted_at", ms(now));
        e.set("pass", s(pass.to_string()));
        e.remove("cursor");
    }
}

/// Reads a repository.
pub(super) fn record(item: &Item) -> Result<RepositoryRecord, Unreadable> {
    let id = item.parsed("sk", |text| text.parse::<u64>().ok().map(RepositoryId::new))?;
    let mut counts = [0; 7];
    for (count, name) in counts.iter_mut().zip(COUNTS) {
        *count = item.maybe(name, Attributes::number)?.unwrap_or(0);
    }
    let [critical, high, medium, low, fixed, ignored, closed] = counts;
    Ok(RepositoryRecord {
        repository: Repository {
            id,
            name: item.parsed("name", |text| text.parse().ok())?,
        },
        private: is(item, "private"),
        listed: is(item, "listed"),
        last_attempted_at: item.maybe("last_attempted_at", Attributes::time)?,
        last_succeeded_at: item.maybe("last_succeeded_at", Attributes::time)?,
        last_failure: item.maybe("last_failure", |item, name| {
            item.parsed(name, |text| text.parse().ok())
        })?,
        completed_at: item.maybe("completed_at", Attributes::time)?,
        watermarks: watermarks(item)?,
        pass: pass(item)?,
        counts: Counts {
            open: [critical, high, medium, low],
            fixed,
            ignored,
            closed,
        },
    })
}

/// The attribute of a source's watermark.
pub(super) const fn watermark_of(source: Source) -> &'static str {
    match source {
        Source::Dependabot => "watermark",
    }
}

fn watermarks(item: &Item) -> Result<Watermarks, Unreadable> {
    let mut watermarks = Watermarks::new();
    for &source in Source::ALL {
        if let Some(watermark) = item.maybe(watermark_of(source), json)? {
            watermarks.insert(source, watermark);
        }
    }
    Ok(watermarks)
}

fn pass(item: &Item) -> Result<Option<Pass>, Unreadable> {
    let uuid = |item: &Item, name| item.parsed(name, |text| Uuid::try_parse(text).ok());
    let Some(id) = item.maybe("pass", uuid)? else {
        return Ok(None);
    };
    let state = if item.maybe("finished_pass", uuid)? == Some(id) {
        PassState::Finished
    } else {
        // A checkpoint in a form that this version cannot read is none: the pass begins again.
        match item.maybe("cursor", json).unwrap_or_default() {
            Some(cursor) => PassState::Paused(Box::new(cursor)),
            None => PassState::Begun,
        }
    };
    Ok(Some(Pass { id, state }))
}

fn json<T: serde::de::DeserializeOwned>(item: &Item, name: &'static str) -> Result<T, Unreadable> {
    item.parsed(name, |text| serde_json::from_str(text).ok())
}

fn is(item: &Item, name: &str) -> bool {
    item.get(name) == Some(&AttributeValue::Bool(true))
}
