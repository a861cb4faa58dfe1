//! The function's configuration, from its environment: how users sign in.

use std::str::FromStr;

use http::Uri;
use runtime::environment::{self, InvalidEnvironment};
use serde::Serialize;

/// The function's configuration, as set by template.yaml.
#[derive(Clone, Debug)]
pub struct Config {
    /// `TOKEN_ISSUER`: the issuer that users sign in with, which signs the API's tokens.
    pub issuer: Issuer,
    /// `TOKEN_AUDIENCE`: the audience of those tokens.
    pub audience: String,
    /// `CLIENT_ID`: the page's client id at the issuer. If empty, nobody can sign in.
    pub client_id: String,
    /// `SCOPE`: the scope that the page requests.
    pub scope: String,
    /// `AUDIENCE_PARAMETER`: the request parameter that names the audience.
    pub audience_parameter: AudienceParameter,
    /// `TOKEN_ORIGIN`: the origin of the issuer's token endpoint. If empty, the issuer's own origin.
    pub token_origin: Option<Origin>,
}

impl Config {
    /// Reads the environment; the error names the variable.
    pub fn from_env() -> Result<Self, InvalidEnvironment> {
        Ok(Self {
            issuer: environment::read("TOKEN_ISSUER")?,
            audience: environment::read("TOKEN_AUDIENCE")?,
            client_id: environment::read("CLIENT_ID")?,
            scope: environment::read("SCOPE")?,
            audience_parameter: environment::read("AUDIENCE_PARAMETER")?,
            token_origin: match environment::read::<String>("TOKEN_ORIGIN")?.as_str() {
                "" => None,
                _ => Some(environment::read("TOKEN_ORIGIN")?),
            },
        })
    }
}

/// An OpenID issuer, exactly as its tokens name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Issuer {
    name: String,
    #[serde(skip)]
    origin: Origin,
}

impl Issuer {
    /// Returns the origin of the issuer's documents.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl FromStr for Issuer {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        Ok(Self {
            name: text.to_owned(),
            origin: text.parse()?,
        })
    }
}

/// Scheme, host and port, safe to use in a content security policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Returns the origin as a policy contains it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not a valid origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a URL such as https://issuer.example; http is allowed for localhost only")]
pub struct InvalidOrigin;

impl FromStr for Origin {
    type Err = InvalidOrigin;

    /// Parses the origin of any URL. Plain HTTP would expose tokens on their way, so it is allowed for loopback
    /// addresses only.
    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let url: Uri = text.parse().map_err(|_| InvalidOrigin)?;
        let authority = url.authority().ok_or(InvalidOrigin)?;
        let host = authority.host();
        let loopback = matches!(host, "127.0.0.1" | "[::1]" | "localhost");
        // RFC 3986 allows characters in a host that separate the parts of a policy. No host on the web has them.
        let plain =
            |character: char| character.is_ascii_alphanumeric() || "-.:[]".contains(character);
        if !host.chars().all(plain) {
            return Err(InvalidOrigin);
        }
        let port = authority
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        match url.scheme_str() {
            Some(scheme @ "https") => Ok(Self(format!("{scheme}://{host}{port}"))),
            Some(scheme @ "http") if loopback => Ok(Self(format!("{scheme}://{host}{port}"))),
            Some(_) | None => Err(InvalidOrigin),
        }
    }
}

/// The parameter of an authorization request that names the API. It differs between issuers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AudienceParameter {
    /// `audience`, used by Auth0. Issuers that do not support it must ignore it (RFC 6749, section 3.1).
    Audience,
    /// `resource`, of RFC 8707.
    Resource,
    /// None: the client's registration or the scope implies the audience.
    None,
}

impl FromStr for AudienceParameter {
    type Err = InvalidAudienceParameter;

    fn from_str(text: &str) -> Result<Self, InvalidAudienceParameter> {
        match text {
            "audience" => Ok(Self::Audience),
            "resource" => Ok(Self::Resource),
            "none" => Ok(Self::None),
            _ => Err(InvalidAudienceParameter),
        }
    }
}

/// The text is not a valid parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be audience, resource or none")]
pub struct InvalidAudienceParameter;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (url, origin) in [
            ("https://issuer.example/", "https://issuer.example"),
            (
                "https://issuer.example:8443/realms/a?b",
                "https://issuer.example:8443",
            ),
            (
                "https://user:secret@issuer.example/",
                "https://issuer.example",
            ),
            ("http://127.0.0.1:9000/oidc", "http://127.0.0.1:9000"),
            ("http://[::1]:9000", "http://[::1]:9000"),
        ] {
            assert_eq!(
                url.parse::<Origin>().map(|origin| origin.0),
                Ok(origin.to_owned())
            );
        }
    }

    #[test]
    fn an_origin_that_would_weaken_the_policy_is_refused() {
        for text in [
            "",
            "issuer.example",
            "/path",
            "http://issuer.example/",
            "http://127.0.0.1.example/",
            "data:text/html,x",
            "https://*",
            "https://a;script-src",
            "https://a'b",
            "https://a b",
            "https://a,b",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(InvalidOrigin), "{text}");
        }
    }
}
