//! The dashboard: serves the page's files and its sign-in settings. It has no data and no secrets: the page gets
//! everything from the API, with the signed-in user's token.

pub mod config;
mod files;
mod headers;
mod media_type;

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{
    StatusCode,
    header::{self, HeaderName},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use config::{AudienceParameter, Config};
use files::File;
use media_type::MediaType;

/// Cached for good: the URL contains the version.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";
/// Revalidated each time, so that a deployment takes effect at once.
const ASKED_AGAIN: &str = "no-cache";
/// Never cached.
const NOT_KEPT: &str = "no-store";

/// The parts of an HTTP API's request (payload 2.0) that the function uses.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    raw_path: String,
    /// Values by lower-case names.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

impl Request {
    fn header(&self, name: &HeaderName) -> &str {
        self.headers.get(name.as_str()).map_or("", String::as_str)
    }

    /// Whether the client has this version.
    fn knows(&self, version: &str) -> bool {
        self.header(&header::IF_NONE_MATCH).contains(version)
    }

    /// Whether the client accepts gzip.
    fn takes_gzip(&self) -> bool {
        self.header(&header::ACCEPT_ENCODING)
            .split(',')
            .any(|coding| {
                let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
                let refused = weight.trim().trim_start_matches("q=").parse() == Ok(0.0);
                name.trim().eq_ignore_ascii_case("gzip") && !refused
            })
    }
}

/// An answer in an HTTP API's format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    status_code: u16,
    headers: BTreeMap<String, String>,
    body: String,
    is_base64_encoded: bool,
}

impl Answer {
    fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.insert(name.to_string(), value.to_owned());
        self
    }
}

/// Returns the file's name and its `Cache-Control`.
fn asked(path: &str) -> Option<(&str, &'static str)> {
    if path == "/" {
        return Some(("index.html", ASKED_AGAIN));
    }
    let (version, name) = path.strip_prefix("/assets/")?.split_once('/')?;
    // Race: during a deployment, pages of another version request these files, too. Such an answer must not be cached.
    let kept = if version == files::version() {
        FOR_GOOD
    } else {
        NOT_KEPT
    };
    Some((name, kept))
}

/// Returns the entity tag. It is weak, because it is the same for every encoding.
fn tag() -> String {
    format!("W/\"{}\"", files::version())
}

/// Answers requests.
#[derive(Clone, Debug)]
pub struct Dashboard {
    policy: String,
    sign_in: String,
}

impl Dashboard {
    /// Builds the dashboard with these sign-in settings.
    pub fn new(config: &Config) -> Self {
        let audience = match config.audience_parameter {
            AudienceParameter::None => None,
            parameter @ (AudienceParameter::Audience | AudienceParameter::Resource) => {
                Some(json!({"parameter": parameter, "value": config.audience}))
            }
        };
        let client_id = Some(&config.client_id).filter(|id| !id.is_empty());
        let sign_in = json!({
            "issuer": config.issuer,
            "clientId": client_id,
            "scope": config.scope,
            "audience": audience,
        });
        Self {
            policy: headers::policy(config),
            sign_in: sign_in.to_string(),
        }
    }

    /// Answers one request. Serves only the page's files and settings, whatever the path.
    pub fn answer(&self, request: &Request) -> Answer {
        if request.raw_path == "/dashboard.json" {
            return self.text(
                StatusCode::OK,
                "application/json",
                NOT_KEPT,
                self.sign_in.clone(),
            );
        }
        let Some((name, kept)) = asked(&request.raw_path) else {
            return self.not_found();
        };
        match files::find(name) {
            Some((_, media_type)) if kept == ASKED_AGAIN && request.knows(files::version()) => self
                .text(
                    StatusCode::NOT_MODIFIED,
                    media_type.as_str(),
                    kept,
                    String::new(),
                )
                .with(header::ETAG, &tag()),
            Some((file, media_type)) => self
                .file(request, file, media_type, kept)
                .with(header::ETAG, &tag()),
            None => self.not_found(),
        }
    }

    fn not_found(&self) -> Answer {
        let body = "This page does not exist. Check the address.\n".to_owned();
        self.text(
            StatusCode::NOT_FOUND,
            MediaType::Text.as_str(),
            NOT_KEPT,
            body,
        )
    }

    fn file(&self, request: &Request, file: &File, media_type: MediaType, kept: &str) -> Answer {
        let (body, coding) = if request.takes_gzip() {
            (file.gzip, Some("gzip"))
        } else {
            (file.plain, None)
        };
        let answer = Answer {
            status_code: StatusCode::OK.as_u16(),
            headers: self.headers(media_type.as_str(), kept),
            body: STANDARD.encode(body),
            is_base64_encoded: true,
        };
        let answer = answer.with(header::VARY, header::ACCEPT_ENCODING.as_str());
        match coding {
            Some(coding) => answer.with(header::CONTENT_ENCODING, coding),
            None => answer,
        }
    }

    fn text(&self, status: StatusCode, content_type: &str, kept: &str, body: String) -> Answer {
        Answer {
            status_code: status.as_u16(),
            headers: self.headers(content_type, kept),
            body,
            is_base64_encoded: false,
        }
    }

    fn headers(&self, content_type: &str, kept: &str) -> BTreeMap<String, String> {
        let own = [
            (
                header::CONTENT_SECURITY_POLICY.as_str(),
                self.policy.as_str(),
            ),
            (header::CONTENT_TYPE.as_str(), content_type),
            (header::CACHE_CONTROL.as_str(), kept),
        ];
        let all = headers::FIXED.iter().copied().chain(own);
        all.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
