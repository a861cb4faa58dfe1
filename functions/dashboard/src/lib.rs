//! The dashboard: a page and its files, and what the page needs to know to have people sign in. Knows no owner, no command
//! and no secret: the page asks the API for everything, with the token of whoever looks at it.

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

/// Kept by browsers for good: the address has the version in it.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";
/// Asked for again each time, so that a deployment is seen at once.
const ASKED_AGAIN: &str = "no-cache";
/// Not kept at all.
const NOT_KEPT: &str = "no-store";

/// What an HTTP API hands over of a request (payload 2.0), as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    raw_path: String,
    /// By their names in lower case.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

impl Request {
    fn header(&self, name: &HeaderName) -> &str {
        self.headers.get(name.as_str()).map_or("", String::as_str)
    }

    /// Whether the caller can decompress gzip.
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

/// An answer, as an HTTP API takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    status_code: u16,
    headers: BTreeMap<&'static str, String>,
    body: String,
    is_base64_encoded: bool,
}

/// Answers requests.
#[derive(Clone, Debug)]
pub struct Dashboard {
    policy: String,
    sign_in: String,
}

impl Dashboard {
    /// A dashboard whose page signs people in so.
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

    /// Answers one request. Only files of the page can be had, whatever the path.
    pub fn answer(&self, request: &Request) -> Answer {
        match request.raw_path.as_str() {
            "/" => self.page(request),
            "/dashboard.json" => self.text(
                StatusCode::OK,
                "application/json",
                NOT_KEPT,
                self.sign_in.clone(),
            ),
            path => {
                let asked = path
                    .strip_prefix("/assets/")
                    .and_then(|path| path.split_once('/'));
                let found = asked.and_then(|(version, name)| Some((version, files::find(name)?)));
                match found {
                    Some((version, (file, media_type))) => {
                        // While a deployment is under way, pages of the other version ask here, too.
                        let kept = if version == files::version() {
                            FOR_GOOD
                        } else {
                            NOT_KEPT
                        };
                        self.file(request, file, media_type, kept)
                    }
                    None => {
                        let body = "There is nothing at this address.\n".to_owned();
                        self.text(
                            StatusCode::NOT_FOUND,
                            MediaType::Text.as_str(),
                            NOT_KEPT,
                            body,
                        )
                    }
                }
            }
        }
    }

    fn page(&self, request: &Request) -> Answer {
        let Some((file, media_type)) = files::find("index.html") else {
            let body = "The page is missing.\n".to_owned();
            return self.text(
                StatusCode::NOT_FOUND,
                MediaType::Text.as_str(),
                NOT_KEPT,
                body,
            );
        };
        // Weak, because it names the content however it is compressed.
        let tag = format!("W/\"{}\"", files::version());
        let known = request
            .header(&header::IF_NONE_MATCH)
            .contains(files::version());
        let mut answer = if known {
            self.text(
                StatusCode::NOT_MODIFIED,
                media_type.as_str(),
                ASKED_AGAIN,
                String::new(),
            )
        } else {
            self.file(request, file, media_type, ASKED_AGAIN)
        };
        answer.headers.insert(header::ETAG.as_str(), tag);
        answer
    }

    fn file(&self, request: &Request, file: &File, media_type: MediaType, kept: &str) -> Answer {
        let mut headers = self.headers(media_type.as_str(), kept);
        headers.insert(header::VARY.as_str(), header::ACCEPT_ENCODING.to_string());
        let body = if request.takes_gzip() {
            headers.insert(header::CONTENT_ENCODING.as_str(), "gzip".to_owned());
            file.gzip
        } else {
            file.plain
        };
        Answer {
            status_code: StatusCode::OK.as_u16(),
            headers,
            body: STANDARD.encode(body),
            is_base64_encoded: true,
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

    fn headers(&self, content_type: &str, kept: &str) -> BTreeMap<&'static str, String> {
        headers::FIXED
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .chain([
                (
                    header::CONTENT_SECURITY_POLICY.as_str(),
                    self.policy.clone(),
                ),
                (header::CONTENT_TYPE.as_str(), content_type.to_owned()),
                (header::CACHE_CONTROL.as_str(), kept.to_owned()),
            ])
            .collect()
    }
}

#[cfg(test)]
mod tests;
