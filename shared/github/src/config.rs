//! The configuration of a GitHub client.

use std::str::FromStr;

use reqwest::header::HeaderValue;

use outbound::{BaseUrl, secrets::SecretName};

/// GitHub's address and the App's credentials there.
#[derive(Clone, Debug)]
pub struct GithubConfig {
    /// The root of its API.
    pub base_url: BaseUrl,
    /// The version of its API.
    pub api_version: ApiVersion,
    /// The id of our GitHub App.
    pub app_id: AppId,
    /// The secret with the App's private key, in PEM.
    pub private_key: SecretName,
}

/// A setting with an invalid value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct InvalidSetting {
    expected: &'static str,
}

/// A version of GitHub's REST API, such as `2022-11-28`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiVersion(HeaderValue);

impl ApiVersion {
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl FromStr for ApiVersion {
    type Err = InvalidSetting;
    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let date_like = text.len() == 10
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-');
        HeaderValue::from_str(text)
            .ok()
            .filter(|_| date_like)
            .map(Self)
            .ok_or(InvalidSetting {
                expected: "an API version such as 2022-11-28",
            })
    }
}

/// The GitHub App's id, or its client id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppId(String);

impl AppId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppId {
    type Err = InvalidSetting;
    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if plain && (1..=64).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSetting {
                expected: "the id of a GitHub App",
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_settings_are_rejected() {
        assert!("2026-03-10".parse::<ApiVersion>().is_ok() && "51000001".parse::<AppId>().is_ok());
        assert!("Iv1.8a61f9b3a7aba766".parse::<AppId>().is_ok());
        for text in ["", "latest", "2026-03-1", "2026-03-10\n", "2026-03-100"] {
            assert!(text.parse::<ApiVersion>().is_err(), "{text:?}");
        }
        for text in ["", "a b", "a\n", "ä"] {
            assert!(text.parse::<AppId>().is_err(), "{text:?}");
        }
    }
}
