//! Parses the body of `POST /v1/sessions`. The GitHub token stays in this module: the launch records only whether
//! there was one.

use jiff::Timestamp;
use reqwest::Url;
use serde_json::Value;
use simulation::{FieldError, Fields};

use crate::callback::{CallbackTarget, CallbackToken};
use crate::finding::Finding;
use crate::verdict::Mode;

const LONGEST_KEY: usize = 255;

/// A valid launch.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) repository: String,
    pub(crate) github_token_given: bool,
    pub(crate) model: String,
    pub(crate) triage_model: String,
    pub(crate) mode: Mode,
    pub(crate) finding: Finding,
    pub(crate) callback: CallbackTarget,
}

impl Launch {
    /// Parses a launch. Ignores unknown fields.
    pub(crate) fn parse(body: &Value) -> Result<Self, FieldError> {
        let fields = Fields::of(body)?;
        let repository = fields.required("repository", "must be \"owner/name\"", |value| {
            let (owner, name) = value.as_str()?.split_once('/')?;
            let whole = !owner.is_empty() && !name.is_empty() && !name.contains('/');
            whole.then(|| format!("{owner}/{name}"))
        })?;
        let github_token = fields.optional("githubToken", "must be a string", Value::as_str)?;
        let mode = fields.required(
            "mode",
            "must be \"auto\", \"shallow\" or \"deep\"",
            |value| Mode::parse(value.as_str()?),
        )?;
        Ok(Self {
            repository,
            github_token_given: github_token.is_some_and(|token| !token.is_empty()),
            model: fields.text("model")?.to_owned(),
            triage_model: fields.text("triageModel")?.to_owned(),
            mode,
            finding: Finding::parse(&fields.object("finding")?)?,
            callback: callback(&fields.object("callback")?)?,
        })
    }
}

fn callback(fields: &Fields<'_>) -> Result<CallbackTarget, FieldError> {
    let url = fields.required("url", "must be an http URL", |value| {
        let url: Url = value.as_str()?.parse().ok()?;
        (url.scheme() == "http").then_some(url)
    })?;
    let token = fields.required("token", "must be visible ASCII", |value| {
        let token = value.as_str()?;
        is_visible_ascii(token).then(|| CallbackToken::new(token))
    })?;
    let expires_at = fields.required("expiresAt", "must be an RFC 3339 time", |value| {
        value.as_str()?.parse::<Timestamp>().ok()
    })?;
    Ok(CallbackTarget {
        url: url.into(),
        token,
        expires_at,
        traceparent: None,
    })
}

/// Reports whether the text is a valid idempotency key.
pub(crate) fn is_key(text: &str) -> bool {
    is_visible_ascii(text) && text.len() <= LONGEST_KEY
}

fn is_visible_ascii(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body() -> Value {
        json!({
            "repository": "octo/app",
            "githubToken": "ghs_secret",
            "model": "large",
            "triageModel": "small",
            "mode": "auto",
            "finding": {"id": "1-2", "severity": "high"},
            "callback": {
                "url": "http://127.0.0.1:9/v1/callbacks/analysis",
                "token": "capability",
                "expiresAt": "2026-01-01T00:00:00.000Z",
            },
        })
    }

    #[test]
    fn a_launch_is_read_without_its_github_token() {
        let launch = Launch::parse(&body()).expect("a launch");
        assert!(launch.github_token_given);
        let shown = format!("{launch:?}");
        assert!(
            !shown.contains("ghs_secret") && !shown.contains("capability"),
            "{shown}"
        );

        for none in [json!(null), json!("")] {
            let mut body = body();
            body["githubToken"] = none;
            let launch = Launch::parse(&body).expect("a launch");
            assert!(!launch.github_token_given);
        }
    }

    #[test]
    fn an_invalid_field_is_named_but_its_value_is_not_shown() {
        for (pointer, value) in [
            ("/repository", json!("app")),
            ("/repository", json!("octo/app/x")),
            ("/githubToken", json!(7)),
            ("/model", json!("")),
            ("/triageModel", json!(null)),
            ("/mode", json!("profound")),
            ("/finding", json!("1-2")),
            ("/finding/id", json!(null)),
            ("/callback", json!("secret")),
            ("/callback/url", json!("ftp://secret")),
            ("/callback/url", json!("https://secret")),
            ("/callback/token", json!("se cret")),
            ("/callback/token", json!("")),
            ("/callback/expiresAt", json!("tomorrow")),
        ] {
            let mut body = body();
            *body.pointer_mut(pointer).expect("a field") = value;
            let error = Launch::parse(&body).expect_err("must be refused");
            assert_eq!(error.pointer, pointer);
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        let error = Launch::parse(&json!([])).expect_err("no object");
        assert_eq!(error.pointer, "");
    }

    #[test]
    fn a_key_has_1_to_255_visible_characters() {
        for (key, accepted) in [
            ("k".to_owned(), true),
            ("k".repeat(255), true),
            ("k".repeat(256), false),
            (String::new(), false),
            ("a key".to_owned(), false),
            ("schlüssel".to_owned(), false),
        ] {
            assert_eq!(is_key(&key), accepted, "{key}");
        }
    }
}
