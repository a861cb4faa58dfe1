//! The app's installation: tokens, repositories, rate limit.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use axum::http::header;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Incoming, link, server_error};
use crate::Simulator;
use crate::answer::Answer;
use crate::query;
use crate::rate_limit::Budget;
use crate::tokens::{Grant, Permissions, verify_app};
use crate::version::ApiVersion;

const MOST_REPOSITORIES: usize = 500;

/// The restrictions of a requested token.
#[derive(Debug, Default, Deserialize)]
struct Narrowing {
    repositories: Option<Vec<String>>,
    repository_ids: Option<Vec<u64>>,
    permissions: Option<Permissions>,
}

impl Simulator {
    /// `POST /app/installations/{id}/access_tokens`
    pub(super) fn create_token(
        &self,
        incoming: &Incoming,
        installation: u64,
    ) -> Result<Answer, Answer> {
        const DOCUMENTATION: &str = "/apps/apps#create-an-installation-access-token-for-an-app";
        let unprocessable =
            |message| Answer::refusal(StatusCode::UNPROCESSABLE_ENTITY, message, DOCUMENTATION);
        self.authenticate_app(incoming, installation, DOCUMENTATION)?;
        let wanted: Narrowing = if incoming.body.is_empty() {
            Narrowing::default()
        } else {
            serde_json::from_slice(&incoming.body).map_err(|_| {
                Answer::refusal(
                    StatusCode::BAD_REQUEST,
                    "Problems parsing JSON",
                    DOCUMENTATION,
                )
            })?
        };
        let permissions = match &wanted.permissions {
            None => self.world.permissions.clone(),
            Some(wanted) => self.world.permissions.narrowed(wanted).ok_or_else(|| {
                unprocessable("The permissions requested are not granted to this installation.")
            })?,
        };
        let repositories = self.chosen(&wanted).ok_or_else(|| {
            unprocessable(
                "There is at least one repository that does not exist or is not accessible to the parent installation.",
            )
        })?;
        let (token, grant) = self
            .world
            .tokens
            .issue(self.app_id(), permissions, repositories, incoming.now)
            .map_err(|_| server_error())?;
        let mut body = Map::from_iter([
            ("token".to_owned(), json!(token)),
            ("expires_at".to_owned(), json!(grant.expires_at.to_string())),
            ("permissions".to_owned(), json!(grant.permissions)),
            ("repository_selection".to_owned(), json!("selected")),
        ]);
        if grant.repositories.is_some() {
            body.insert(
                "repositories".to_owned(),
                self.accessible(&grant, incoming.version),
            );
        }
        Ok(Answer::value(StatusCode::CREATED, &Value::Object(body)))
    }

    /// `GET /app/installations/{id}`
    pub(super) fn describe_installation(
        &self,
        incoming: &Incoming,
        installation: u64,
    ) -> Result<Answer, Answer> {
        const DOCUMENTATION: &str = "/apps/apps#get-an-installation-for-the-authenticated-app";
        self.authenticate_app(incoming, installation, DOCUMENTATION)?;
        let (id, app_id) = (self.installation_id(), self.app_id());
        let account = self.account();
        let body = json!({
            "id": id,
            "account": account,
            "repository_selection": "selected",
            "access_tokens_url": format!("https://api.github.com/app/installations/{id}/access_tokens"),
            "repositories_url": "https://api.github.com/installation/repositories",
            "html_url": format!("https://github.com/settings/installations/{id}"),
            "app_id": app_id,
            "app_slug": crate::APP_SLUG,
            "target_id": account.get("id"),
            "target_type": account.get("type"),
            "permissions": self.world.permissions,
            "events": ["dependabot_alert"],
            "single_file_name": null,
            "has_multiple_single_files": false,
            "single_file_paths": [],
            "created_at": "2026-01-05T09:00:00.000Z",
            "updated_at": "2026-01-05T09:00:00.000Z",
            "suspended_by": null,
            "suspended_at": null,
        });
        Ok(Answer::value(StatusCode::OK, &body))
    }

    /// `GET /installation/repositories`
    pub(super) fn list_repositories(&self, incoming: &Incoming, grant: &Grant) -> Answer {
        let parameters = incoming.parameters();
        let number = |wanted: &str| {
            let found = parameters.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let per_page = number("per_page").map_or(30, query::per_page);
        let page = number("page")
            .and_then(|page| page.parse().ok())
            .filter(|page| *page > 0);
        let page: usize = page.unwrap_or(1);
        let accessible: Vec<_> = self
            .world
            .repositories
            .iter()
            .filter(|served| grant.includes(served.repository.id))
            .collect();
        let last = accessible.len().div_ceil(per_page).max(1);
        let shown: Vec<_> = accessible
            .iter()
            .skip(page.saturating_sub(1).saturating_mul(per_page))
            .take(per_page)
            .map(|served| served.text(incoming.version).get())
            .collect();
        let body = format!(
            "{{\"total_count\":{},\"repository_selection\":\"selected\",\"repositories\":[{}]}}",
            accessible.len(),
            shown.join(",")
        );
        let mut neighbours = Vec::new();
        if page > 1 {
            neighbours.push(("prev", "page", (page - 1).min(last).to_string()));
        }
        if page < last {
            neighbours.push(("next", "page", (page + 1).to_string()));
            neighbours.push(("last", "page", last.to_string()));
        }
        if page > 1 {
            neighbours.push(("first", "page", "1".to_owned()));
        }
        let answer = Answer::json(StatusCode::OK, body);
        let url = format!("{}/installation/repositories", incoming.base());
        match link(&url, &parameters, &neighbours) {
            Some(link) => answer.with(header::LINK, link),
            None => answer,
        }
    }

    fn authenticate_app(
        &self,
        incoming: &Incoming,
        installation: u64,
        documentation: &str,
    ) -> Result<(), Answer> {
        let refusal = |message| Answer::refusal(StatusCode::UNAUTHORIZED, message, "");
        let token = incoming
            .bearer()
            .ok_or_else(|| refusal("A JSON web token could not be decoded"))?;
        verify_app(
            token,
            &self.world.app_verification,
            self.app_id(),
            incoming.now,
        )
        .map_err(refusal)?;
        if installation == self.installation_id() {
            Ok(())
        } else {
            Err(Answer::not_found(documentation))
        }
    }

    /// Returns the repositories of a restricted token: `Some(None)` for all, `None` if one does not belong to the
    /// installation.
    fn chosen(&self, wanted: &Narrowing) -> Option<Option<BTreeSet<u64>>> {
        if wanted.repositories.is_none() && wanted.repository_ids.is_none() {
            return Some(None);
        }
        let world = &self.world;
        let mut chosen = BTreeSet::new();
        for name in wanted.repositories.iter().flatten() {
            let named = |full_name: &str| {
                let short = full_name.split_once('/').map(|(_, short)| short);
                short.is_some_and(|short| short.eq_ignore_ascii_case(name))
            };
            let served = world
                .repositories
                .iter()
                .find(|served| named(&served.repository.full_name))?;
            chosen.insert(served.repository.id);
        }
        for id in wanted.repository_ids.iter().flatten() {
            chosen.insert(world.by_id.get(id).map(|_| *id)?);
        }
        (chosen.len() <= MOST_REPOSITORIES).then_some(Some(chosen))
    }

    fn accessible(&self, grant: &Grant, version: ApiVersion) -> Value {
        let repositories = self.world.repositories.iter();
        repositories
            .filter(|served| grant.includes(served.repository.id))
            .map(|served| json!(served.text(version)))
            .collect()
    }

    /// The repositories' owner, as far as the dataset describes it.
    fn account(&self) -> Value {
        let first = self.world.repositories.first();
        let first = first.and_then(|served| {
            serde_json::from_str::<Value>(served.text(ApiVersion::DEFAULT).get()).ok()
        });
        first.map_or(Value::Null, |mut first| first["owner"].take())
    }
}

/// `GET /rate_limit`
pub(super) fn rate_limit(incoming: &Incoming, budget: Budget) -> Answer {
    let core = json!({
        "limit": budget.limit,
        "used": budget.used,
        "remaining": budget.remaining(),
        "reset": budget.resets_at.as_second(),
    });
    let body = match incoming.version {
        ApiVersion::V2022_11_28 => json!({"resources": {"core": core}, "rate": core}),
        ApiVersion::V2026_03_10 => json!({"resources": {"core": core}}),
    };
    Answer::value(StatusCode::OK, &body).with_budget(budget)
}
