//! The owners and the people who act for them.

use fastrand::Rng;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{Caller, command_id, is_over};
use uuid::Uuid;

use crate::{Result, arguments::Arguments, github::REPOSITORIES, host::Host};

/// Owners that are set up at once.
const AT_ONCE: usize = 4;

#[derive(Debug)]
pub(crate) struct Party {
    pub(crate) caller: Caller,
    /// Texts that no log may contain.
    pub(crate) subject: String,
    /// Selects all repositories of the installation, those that GitHub refuses included.
    pub(crate) looks_at_all: bool,
    /// Lets analyses and dismissals start automatically now and then.
    pub(crate) automates: bool,
}

impl Party {
    /// The owner's usual settings.
    pub(crate) fn settings(&self) -> Value {
        let mut settings = settled();
        if self.looks_at_all {
            settings["repositorySelection"] = json!("all");
        }
        settings
    }
}

/// The good repositories only, without automation.
pub(crate) fn settled() -> Value {
    json!({
        "enabled": true,
        "repositorySelection": "selected",
        "selectedRepositoryIds": REPOSITORIES.map(|(id, _)| id),
        "autoAnalysis": {"enabled": false},
        "autoDismiss": {"enabled": false},
    })
}

/// Connects everybody, and enables and syncs the good repositories of each.
pub(crate) async fn settle_in(
    host: &Host,
    arguments: &Arguments,
    rng: &mut Rng,
) -> Result<Vec<Party>> {
    let desk = host.desk();
    let mut parties = Vec::new();
    for number in 0..arguments.owners {
        let subject = format!("auth0|soak-{number:03}-{:08x}", rng.u32(..));
        let organisation = Uuid::from_u128(rng.u128(..));
        let is_organisation = number % 4 == 3;
        let orgs = if is_organisation {
            vec![organisation]
        } else {
            vec![]
        };
        let claims = json!({"sub": subject, "name": "Ada Canary", "email": "ada.canary@example.invalid", "orgs": orgs});
        let person = desk.caller(claims).await?;
        parties.push(Party {
            caller: if is_organisation {
                person.acting_for(organisation)
            } else {
                person
            },
            subject,
            looks_at_all: number % 10 == 5,
            automates: number % 10 == 2,
        });
    }
    let synced = stream::iter(&parties)
        .map(first_sync)
        .buffer_unordered(AT_ONCE);
    synced.try_collect::<Vec<()>>().await?;
    Ok(parties)
}

async fn first_sync(party: &Party) -> Result<()> {
    let saved = party.caller.try_configure(&settled()).await?;
    if saved.status != StatusCode::OK {
        return Err(format!("not enabled: {}", saved.body).into());
    }
    let id = command_id(&saved.body["initialSync"]["command"]);
    let view = party.caller.until(id, "over", is_over).await;
    if view["resultCode"] != "SYNC_COMPLETED" {
        return Err(format!("the first sync did not complete: {view}").into());
    }
    if party.looks_at_all {
        party.caller.try_configure(&party.settings()).await?;
    }
    Ok(())
}
