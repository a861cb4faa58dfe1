//! Lists commands: the active ones, those with given ids, or the history.

use axum::{Json, extract::State};
use domain::{
    Timestamp,
    command::{Command, CommandId},
    owner::Owner,
};
use serde::Serialize;
use store::ledger::HistoryPosition;
use utoipa::ToSchema;

use super::CommandView;
use crate::{
    App,
    cursor::Paging,
    gateway::Now,
    problem::{Problem, ProblemBody},
    query::{PAGE, Query},
    scope::OwnerScope,
};

/// Commands, newest first; with `ids`, in the requested order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandList {
    commands: Vec<CommandView>,
    /// The cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
}

/// The most ids in one request.
const MOST_IDS: usize = 100;

/// The query of a list.
#[derive(Debug)]
enum Asked {
    Active(Page),
    These(Vec<CommandId>),
    History(Page),
}

#[derive(Debug)]
struct Page {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Lists commands: with `state=active` those that have not ended, with `ids` exactly these, otherwise the history.
#[utoipa::path(get, path = "/v1/owners/{owner}/commands", operation_id = "listCommands",
    params(
        ("owner" = String, Path, description = "`me`, `user:<id>`, `user~<base64url of the id>` or `org:<uuid>`, percent-encoded"),
        ("state" = Option<String>, Query, description = "`active`: the commands that have not ended, strongly consistent"),
        ("ids" = Option<String>, Query, description = "Up to 100 ids, separated by commas; unknown ids are omitted"),
        ("limit" = Option<u8>, Query, description = "1 to 100; default 50. Without it, a page of active commands has up to 1,000", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the previous page")
    ),
    responses(
        (status = 200, body = CommandList),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json")
    ))]
pub async fn list(
    State(app): State<App>,
    scope: OwnerScope,
    Now(now): Now,
    query: Query,
) -> Result<Json<CommandList>, Problem> {
    let owner = scope.owner();
    let (commands, next) = match asked(query)? {
        Asked::These(ids) => (app.ledger.read_each(owner, &ids, now).await?, None),
        Asked::Active(page) => active(&app, owner, page, now).await?,
        Asked::History(page) => history(&app, owner, page, now).await?,
    };
    Ok(Json(CommandList {
        commands: commands.into_iter().map(CommandView::from).collect(),
        next_cursor: next,
    }))
}

fn asked(mut query: Query) -> Result<Asked, Problem> {
    let state = query.parsed("state", "active", |text| (text == "active").then_some(()));
    let ids = query.text("ids");
    if let (Some(()), Some(_)) = (state, &ids) {
        query.refuse("ids", "cannot be combined with state");
    }
    if let Some(ids) = ids {
        let ids = these(&ids, &mut query);
        return query.finish().map(|()| Asked::These(ids));
    }
    let page = Page {
        limit: query.limit(),
        cursor: query.text("cursor"),
    };
    query.finish()?;
    Ok(match state {
        Some(()) => Asked::Active(page),
        None => Asked::History(page),
    })
}

fn these(text: &str, query: &mut Query) -> Vec<CommandId> {
    let mut ids: Vec<CommandId> = Vec::new();
    for id in text.split(',') {
        match id.parse() {
            Ok(id) => ids.push(id),
            Err(_) => query.refuse("ids", format!("{id:?} is not a command id")),
        }
    }
    if ids.len() > MOST_IDS {
        query.refuse("ids", format!("must have at most {MOST_IDS} ids"));
    }
    ids
}

/// The longest page of active commands, for a caller who wants all that there usually are at once.
const LONGEST_ACTIVE: usize = 1_000;

/// Reads a page of the active commands, strongly consistent.
async fn active(
    app: &App,
    owner: &Owner,
    page: Page,
    now: Timestamp,
) -> Result<(Vec<Command>, Option<String>), Problem> {
    let paging = Paging {
        owner,
        list: "commands",
        query: "state=active",
    };
    let after = app
        .cursors
        .open(paging, page.cursor, |id| id.parse().ok(), now)
        .await?;
    let limit = page.limit.unwrap_or(LONGEST_ACTIVE);
    let page = app
        .ledger
        .active(owner, limit, after.map(HistoryPosition), now)
        .await?;
    let next = page.next.map(|HistoryPosition(id)| id);
    let next = app.cursors.seal(paging, next, now).await?;
    Ok((page.commands, next))
}

async fn history(
    app: &App,
    owner: &Owner,
    page: Page,
    now: Timestamp,
) -> Result<(Vec<Command>, Option<String>), Problem> {
    let paging = Paging {
        owner,
        list: "commands",
        query: "",
    };
    let after = app
        .cursors
        .open(paging, page.cursor, |id| id.parse().ok(), now)
        .await?;
    let limit = page.limit.unwrap_or(PAGE);
    let page = app
        .ledger
        .history(owner, limit, after.map(HistoryPosition), now)
        .await?;
    let next = page.next.map(|HistoryPosition(id)| id);
    let next = app.cursors.seal(paging, next, now).await?;
    Ok((page.commands, next))
}
