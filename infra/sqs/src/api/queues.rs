//! Queue operations.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use super::{Call, Empty};
use crate::error::{Code, Error};
use crate::name::QueueName;
use crate::settings::Settings;
use crate::store::{Counts, Queue};

const MOST_QUEUES: u32 = 1_000;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Create {
    queue_name: String,
    attributes: BTreeMap<String, String>,
    #[serde(rename = "tags")]
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Named {
    queue_name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Url {
    queue_url: String,
}

/// The input of an operation that needs only a queue.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct On {
    queue_url: String,
}

pub(super) async fn create(call: &Call, create: Create) -> Result<Url, Error> {
    if create.queue_name.is_empty() {
        return Err(Error::missing("QueueName"));
    }
    let Some(name) = QueueName::parse(&create.queue_name) else {
        return Err(Error::refused(
            Code::InvalidParameterValue,
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        ));
    };
    if name.is_fifo() && create.attributes.get("FifoQueue").map(String::as_str) != Some("true") {
        return Err(Error::invalid(
            "QueueName",
            &name,
            "A name ending in .fifo is for a queue with the attribute FifoQueue.",
        ));
    }
    let queue_url = name.url(&call.host);
    call.queues
        .transact(move |session| session.create_queue(&name, &create.attributes, &create.tags))
        .await?;
    Ok(Url { queue_url })
}

pub(super) async fn url(call: &Call, named: Named) -> Result<Url, Error> {
    if named.queue_name.is_empty() {
        return Err(Error::missing("QueueName"));
    }
    let name = QueueName::parse(&named.queue_name).ok_or_else(Error::no_such_queue)?;
    let queue_url = name.url(&call.host);
    call.queues
        .transact(move |session| session.queue(&name))
        .await?;
    Ok(Url { queue_url })
}

pub(super) async fn delete(call: &Call, on: On) -> Result<Empty, Error> {
    let name = QueueName::from_url(&on.queue_url)?;
    let queue = call
        .queues
        .transact(move |session| session.delete_queue(&name))
        .await?;
    call.queues.forget_arrivals(queue);
    Ok(Empty {})
}

pub(super) async fn purge(call: &Call, on: On) -> Result<Empty, Error> {
    let name = QueueName::from_url(&on.queue_url)?;
    call.queues
        .transact(move |session| session.purge_queue(&name))
        .await?;
    Ok(Empty {})
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct GetAttributes {
    queue_url: String,
    attribute_names: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttributesOutput {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, String>,
}

pub(super) async fn attributes(call: &Call, get: GetAttributes) -> Result<AttributesOutput, Error> {
    let name = QueueName::from_url(&get.queue_url)?;
    let (queue, counts) = call
        .queues
        .transact(move |session| {
            let queue = session.queue(&name)?;
            let counts = session.counts(&queue)?;
            Ok((queue, counts))
        })
        .await?;
    let mut attributes = queue.settings.attributes();
    attributes.extend(read_only(&queue, counts));
    for name in &get.attribute_names {
        let known = attributes.contains_key(name.as_str()) || Settings::is_attribute(name);
        if name != "All" && !known {
            return Err(Error::unknown_attribute(name));
        }
    }
    attributes.retain(|name, _| {
        get.attribute_names
            .iter()
            .any(|wanted| wanted == "All" || wanted == name)
    });
    Ok(AttributesOutput { attributes })
}

fn read_only(queue: &Queue, counts: Counts) -> [(&'static str, String); 6] {
    [
        ("QueueArn", queue.name.arn()),
        (
            "CreatedTimestamp",
            queue.created_at.whole_seconds().to_string(),
        ),
        (
            "LastModifiedTimestamp",
            queue.modified_at.whole_seconds().to_string(),
        ),
        ("ApproximateNumberOfMessages", counts.visible.to_string()),
        (
            "ApproximateNumberOfMessagesNotVisible",
            counts.in_flight.to_string(),
        ),
        (
            "ApproximateNumberOfMessagesDelayed",
            counts.delayed.to_string(),
        ),
    ]
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct SetAttributes {
    queue_url: String,
    attributes: BTreeMap<String, String>,
}

pub(super) async fn set_attributes(call: &Call, set: SetAttributes) -> Result<Empty, Error> {
    let name = QueueName::from_url(&set.queue_url)?;
    call.queues
        .transact(move |session| session.set_attributes(&name, &set.attributes))
        .await?;
    Ok(Empty {})
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct List {
    queue_name_prefix: String,
    max_results: Option<u32>,
    next_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListSources {
    queue_url: String,
    max_results: Option<u32>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queue_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// The same page as ListQueues; only this operation spells the member `queueUrls` with a lower-case initial.
#[derive(Debug, Serialize)]
pub(super) struct Sources {
    #[serde(rename = "queueUrls")]
    queue_urls: Vec<String>,
    #[serde(rename = "NextToken", skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) async fn list(call: &Call, list: List) -> Result<Listed, Error> {
    let prefix = list.queue_name_prefix;
    let names = call
        .queues
        .transact(|session| session.queues())
        .await?
        .into_iter()
        .map(|queue| queue.name)
        .filter(|name| name.to_string().starts_with(&prefix));
    page(call, names, list.max_results, list.next_token)
}

pub(super) async fn dead_letter_sources(call: &Call, list: ListSources) -> Result<Sources, Error> {
    let target = QueueName::from_url(&list.queue_url)?;
    let (target, all) = call
        .queues
        .transact(move |session| Ok((session.queue(&target)?, session.queues()?)))
        .await?;
    let sources = all.into_iter().filter_map(|queue| {
        let redrive = queue.settings.redrive?;
        (redrive.target == target.name).then_some(queue.name)
    });
    let Listed {
        queue_urls,
        next_token,
    } = page(call, sources, list.max_results, list.next_token)?;
    Ok(Sources {
        queue_urls,
        next_token,
    })
}

/// Returns a page of the sorted names. The token is the last name of the previous page.
fn page(
    call: &Call,
    names: impl Iterator<Item = QueueName>,
    most: Option<u32>,
    token: Option<String>,
) -> Result<Listed, Error> {
    let most = most.unwrap_or(MOST_QUEUES);
    if !(1..=MOST_QUEUES).contains(&most) {
        return Err(Error::invalid(
            "MaxResults",
            most,
            "Must be between 1 and 1000, if provided.",
        ));
    }
    let last = match &token {
        None => String::new(),
        Some(token) => BASE64
            .decode(token)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| Error::invalid("NextToken", token, "Invalid pagination token."))?,
    };
    let mut rest = names.filter(|name| name.to_string() > last);
    let shown: Vec<QueueName> = rest.by_ref().take(most as usize).collect();
    let next_token = match (shown.last(), rest.next()) {
        (Some(last), Some(_)) => Some(BASE64.encode(last.to_string())),
        _ => None,
    };
    Ok(Listed {
        queue_urls: shown.iter().map(|name| name.url(&call.host)).collect(),
        next_token,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Tag {
    queue_url: String,
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Untag {
    queue_url: String,
    tag_keys: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tags {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

pub(super) async fn tag(call: &Call, tag: Tag) -> Result<Empty, Error> {
    change_tags(call, &tag.queue_url, |tags| tags.extend(tag.tags)).await
}

pub(super) async fn untag(call: &Call, untag: Untag) -> Result<Empty, Error> {
    change_tags(call, &untag.queue_url, move |tags| {
        tags.retain(|key, _| !untag.tag_keys.contains(key));
    })
    .await
}

pub(super) async fn tags(call: &Call, on: On) -> Result<Tags, Error> {
    let name = QueueName::from_url(&on.queue_url)?;
    let queue = call
        .queues
        .transact(move |session| session.queue(&name))
        .await?;
    Ok(Tags { tags: queue.tags })
}

async fn change_tags(
    call: &Call,
    url: &str,
    change: impl FnOnce(&mut BTreeMap<String, String>) + Send + 'static,
) -> Result<Empty, Error> {
    let name = QueueName::from_url(url)?;
    call.queues
        .transact(move |session| {
            let mut queue = session.queue(&name)?;
            change(&mut queue.tags);
            session.set_tags(queue.id, &queue.tags)
        })
        .await?;
    Ok(Empty {})
}
