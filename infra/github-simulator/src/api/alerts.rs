//! A repository's Dependabot alerts: list, get, and the update that dismisses or reopens one.

use axum::http::StatusCode;
use axum::http::header::{self, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Incoming, link, server_error};
use crate::alert::{Alert, AlertState};
use crate::answer::Answer;
use crate::call::RepositoryPath;
use crate::dataset::{Served, SpecialAnswer};
use crate::query::{ListQuery, QueryError};
use crate::tokens::{Access, Grant};
use crate::{APP_SLUG, ChangeError, Simulator};

const LIST: &str = "/dependabot/alerts#list-dependabot-alerts-for-a-repository";
const GET: &str = "/dependabot/alerts#get-a-dependabot-alert";
const UPDATE: &str = "/dependabot/alerts#update-a-dependabot-alert";

const GITHUB: &str = "https://api.github.com";
const LONGEST_COMMENT: usize = 280;
const REASONS: [&str; 5] = [
    "fix_started",
    "inaccurate",
    "no_bandwidth",
    "not_used",
    "tolerable_risk",
];

/// The body of `PATCH .../dependabot/alerts/{number}`.
#[derive(Debug, PartialEq, Eq)]
enum Update {
    Dismiss {
        reason: String,
        comment: Option<String>,
    },
    Reopen,
}

impl Simulator {
    /// `GET .../dependabot/alerts`
    pub(super) fn list_alerts(
        &self,
        incoming: &Incoming,
        grant: &Grant,
        path: &RepositoryPath,
    ) -> Result<Answer, Answer> {
        let served = self.reach(incoming, grant, path, Access::Read, LIST, None)?;
        let parameters = incoming.parameters();
        let query = ListQuery::parse(&parameters).map_err(|error| match error {
            QueryError::Unsupported(message) => {
                Answer::refusal(StatusCode::BAD_REQUEST, &message, LIST)
            }
            QueryError::Invalid(message) => {
                Answer::refusal(StatusCode::UNPROCESSABLE_ENTITY, &message, LIST)
            }
        })?;
        let page = served.alerts().page(&query);
        let texts: Vec<&str> = page
            .alerts
            .iter()
            .map(|alert| alert.text(incoming.version).get())
            .collect();
        let answer = Answer::json(StatusCode::OK, format!("[{}]", texts.join(",")));
        let neighbours: Vec<_> = [
            ("next", "after", page.next),
            ("prev", "before", page.previous),
        ]
        .into_iter()
        .filter_map(|(relation, parameter, cursor)| Some((relation, parameter, cursor?)))
        .collect();
        let url = format!(
            "{}/repositories/{}/dependabot/alerts",
            incoming.base(),
            served.repository.id
        );
        Ok(match link(&url, &parameters, &neighbours) {
            Some(link) => answer.with(header::LINK, link),
            None => answer,
        })
    }

    /// `GET .../dependabot/alerts/{number}`
    pub(super) fn show_alert(
        &self,
        incoming: &Incoming,
        grant: &Grant,
        path: &RepositoryPath,
        number: u64,
    ) -> Result<Answer, Answer> {
        let served = self.reach(incoming, grant, path, Access::Read, GET, Some(number))?;
        let alerts = served.alerts();
        let alert = alerts.get(number).ok_or_else(|| Answer::not_found(GET))?;
        Ok(Answer::json(
            StatusCode::OK,
            alert.text(incoming.version).get().to_owned(),
        ))
    }

    /// `PATCH .../dependabot/alerts/{number}`
    pub(super) fn update_alert(
        &self,
        incoming: &Incoming,
        grant: &Grant,
        path: &RepositoryPath,
        number: u64,
    ) -> Result<Answer, Answer> {
        let served = self.reach(incoming, grant, path, Access::Write, UPDATE, Some(number))?;
        let body: Value = serde_json::from_slice(&incoming.body).map_err(|_| {
            Answer::refusal(StatusCode::BAD_REQUEST, "Problems parsing JSON", UPDATE)
        })?;
        let update = Update::parse(&body).map_err(|message| {
            let message = format!("Invalid request.\n\n{message}");
            Answer::refusal(StatusCode::UNPROCESSABLE_ENTITY, &message, UPDATE)
        })?;
        let changed = self.change_alert(served, number, incoming.now, |alert, now| {
            update.changes(alert, now)
        });
        match changed {
            Ok(alert) => Ok(Answer::json(
                StatusCode::OK,
                alert.text(incoming.version).get().to_owned(),
            )),
            Err(ChangeError::NoSuchAlert) => Err(Answer::not_found(UPDATE)),
            Err(ChangeError::Refused(answer)) => Err(answer),
            Err(ChangeError::Alert(error)) => {
                tracing::error!(%error, "a change would make the alert invalid");
                Err(server_error())
            }
            Err(ChangeError::Journal(error)) => {
                tracing::error!(%error, "cannot store a change of an alert");
                Err(server_error())
            }
        }
    }

    /// Returns the repository if the token grants this access to it and its alerts answer normally.
    fn reach(
        &self,
        incoming: &Incoming,
        grant: &Grant,
        path: &RepositoryPath,
        access: Access,
        documentation: &str,
        number: Option<u64>,
    ) -> Result<&Served, Answer> {
        let served = self
            .served(path)
            .filter(|served| grant.includes(served.repository.id))
            .ok_or_else(|| Answer::not_found(documentation))?;
        if !grant.permissions.allow_alerts(access) {
            let accepted = match access {
                Access::Read => "vulnerability_alerts=read",
                Access::Write | Access::Admin => "vulnerability_alerts=write",
            };
            let message = "Resource not accessible by integration";
            return Err(
                Answer::refusal(StatusCode::FORBIDDEN, message, documentation).with(
                    HeaderName::from_static("x-accepted-github-permissions"),
                    HeaderValue::from_static(accepted),
                ),
            );
        }
        match &served.special {
            Some(special) => Err(special_answer(special, incoming, number)),
            None => Ok(served),
        }
    }
}

/// Builds the dataset's special answer. Rewrites its links to this server and to the requested alert.
fn special_answer(special: &SpecialAnswer, incoming: &Incoming, number: Option<u64>) -> Answer {
    let moved = |place: &str| {
        let path = place.strip_prefix(GITHUB)?;
        let alert = number.map_or_else(String::new, |number| format!("/{number}"));
        let query = incoming
            .uri
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        Some(format!("{}{path}{alert}{query}", incoming.base()))
    };
    let mut body = special.body.clone();
    if let Some(url) = body.get_mut("url")
        && let Some(place) = url.as_str().and_then(moved)
    {
        *url = Value::String(place);
    }
    let answer = match body {
        Value::String(text) => Answer::text(special.status, "text/html", text),
        body => Answer::value(special.status, &body),
    };
    special
        .headers
        .iter()
        .fold(answer, |answer, (name, value)| {
            let place = value
                .to_str()
                .ok()
                .filter(|_| *name == header::LOCATION)
                .and_then(moved);
            let place = place.and_then(|place| HeaderValue::try_from(place).ok());
            answer.with(name.clone(), place.unwrap_or_else(|| value.clone()))
        })
}

impl Update {
    /// Parses the body by GitHub's schema. `Err` contains the violation.
    fn parse(body: &Value) -> Result<Self, String> {
        let fields = body.as_object().ok_or("The body is not an object.")?;
        let known = [
            "state",
            "dismissed_reason",
            "dismissed_comment",
            "assignees",
            "agent_assignment",
        ];
        if let Some(unknown) = fields.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("\"{unknown}\" is not a permitted key."));
        }
        if fields.contains_key("assignees") || fields.contains_key("agent_assignment") {
            return Err("This simulator does not assign alerts.".to_owned());
        }
        let state = text(fields, "state")?.ok_or("\"state\" wasn't supplied.")?;
        let reason = text(fields, "dismissed_reason")?;
        let comment = text(fields, "dismissed_comment")?;
        if let Some(unknown) = reason.filter(|reason| !REASONS.contains(reason)) {
            return Err(format!("{unknown} is not a member of {REASONS:?}."));
        }
        if comment.is_some_and(|comment| comment.chars().count() > LONGEST_COMMENT) {
            return Err(format!(
                "For 'properties/dismissed_comment', only {LONGEST_COMMENT} characters are allowed."
            ));
        }
        match (state, reason) {
            ("open", _) => Ok(Self::Reopen),
            ("dismissed", Some(reason)) => Ok(Self::Dismiss {
                reason: reason.to_owned(),
                comment: comment.map(str::to_owned),
            }),
            ("dismissed", None) => {
                Err("A dismissed_reason must be provided when dismissing an alert.".to_owned())
            }
            (other, _) => Err(format!(
                "{other} is not a member of [\"dismissed\", \"open\"]."
            )),
        }
    }

    /// Returns the changed fields, or GitHub's refusal if the alert's state does not allow the update.
    fn changes(&self, alert: &Alert, now: Timestamp) -> Result<Value, Answer> {
        let number = alert.number();
        let refuse = |status, state| {
            let message = format!("Alert {number} is already {state}");
            Err(Answer::refusal(status, &message, UPDATE))
        };
        match (self, alert.facts.state) {
            (_, AlertState::Fixed) => refuse(StatusCode::UNPROCESSABLE_ENTITY, "fixed"),
            (Self::Dismiss { .. }, AlertState::Dismissed | AlertState::AutoDismissed) => {
                refuse(StatusCode::CONFLICT, "dismissed")
            }
            (Self::Reopen, AlertState::Open) => refuse(StatusCode::CONFLICT, "open"),
            (Self::Dismiss { reason, comment }, AlertState::Open) => Ok(json!({
                "state": "dismissed",
                "dismissed_at": now.to_string(),
                "dismissed_by": app_user(),
                "dismissed_reason": reason,
                "dismissed_comment": comment,
                "updated_at": now.to_string(),
            })),
            (Self::Reopen, AlertState::Dismissed | AlertState::AutoDismissed) => Ok(json!({
                "state": "open",
                "dismissed_at": null,
                "dismissed_by": null,
                "dismissed_reason": null,
                "dismissed_comment": null,
                "auto_dismissed_at": null,
                "updated_at": now.to_string(),
            })),
        }
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match fields.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("For 'properties/{name}', {other} is not a string.")),
    }
}

/// The user that GitHub shows for actions of the app.
fn app_user() -> Value {
    let login = format!("{APP_SLUG}[bot]");
    let url = format!("{GITHUB}/users/{APP_SLUG}%5Bbot%5D");
    let mut user = json!({
        "login": login,
        "id": 91_200_001,
        "node_id": "BOT_kgDOBW-fAQ",
        "avatar_url": "https://avatars.githubusercontent.com/u/91200001?v=4",
        "gravatar_id": "",
        "html_url": format!("https://github.com/apps/{APP_SLUG}"),
        "url": url,
        "type": "Bot",
        "user_view_type": "public",
        "site_admin": false,
    });
    for (name, suffix) in [
        ("followers_url", "followers"),
        ("following_url", "following{/other_user}"),
        ("gists_url", "gists{/gist_id}"),
        ("starred_url", "starred{/owner}{/repo}"),
        ("subscriptions_url", "subscriptions"),
        ("organizations_url", "orgs"),
        ("repos_url", "repos"),
        ("events_url", "events{/privacy}"),
        ("received_events_url", "received_events"),
    ] {
        user[name] = Value::String(format!("{url}/{suffix}"));
    }
    user
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_is_validated_by_githubs_schema() {
        let comment = "é".repeat(LONGEST_COMMENT);
        let dismissal = json!({"state": "dismissed", "dismissed_reason": "inaccurate", "dismissed_comment": comment});
        assert_eq!(
            Update::parse(&dismissal),
            Ok(Update::Dismiss {
                reason: "inaccurate".to_owned(),
                comment: Some(comment),
            })
        );
        assert_eq!(Update::parse(&json!({"state": "open"})), Ok(Update::Reopen));
        for refused in [
            json!([]),
            json!({}),
            json!({"state": "fixed"}),
            json!({"state": "dismissed"}),
            json!({"state": "dismissed", "dismissed_reason": "boring"}),
            json!({"state": "dismissed", "dismissed_reason": null}),
            json!({"state": "dismissed", "dismissed_reason": "inaccurate", "dismissed_comment": "x".repeat(281)}),
            json!({"state": "open", "colour": "red"}),
        ] {
            assert!(Update::parse(&refused).is_err(), "{refused}");
        }
    }
}
