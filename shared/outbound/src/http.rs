//! HTTP to one configured host, such as GitHub's API or the agent's. Knows neither API.

use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use reqwest::{Client, RequestBuilder, Response, Url, header::HeaderMap};

use telemetry::trace::{TRACEPARENT, TraceParent};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be idle and still be used. Between two invocations a function is frozen, and does not see that
/// its connection was closed or forgotten on the way. A request on such a connection fails without saying whether it was
/// carried out, which costs a change its delivery. Calls of one invocation follow each other faster than this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The root of an HTTP API, such as `https://api.github.com` or `https://host/api/v3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// Why a text is not the root of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBaseUrl {
    /// It is not a URL with a host.
    #[error("not an absolute URL")]
    NotAbsolute,
    /// Tokens would be sent unencrypted.
    #[error("neither https nor http on a loopback host")]
    Insecure,
    /// It has a part that the root of an API cannot have.
    #[error("has credentials, a query or a fragment")]
    Excess,
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;
    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        let mut url = Url::parse(text).map_err(|_| InvalidBaseUrl::NotAbsolute)?;
        let host = url.host_str().ok_or(InvalidBaseUrl::NotAbsolute)?;
        let ip = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        let loopback = host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
        if !(url.scheme() == "https" || url.scheme() == "http" && loopback) {
            return Err(InvalidBaseUrl::Insecure);
        }
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(InvalidBaseUrl::Excess);
        }
        let root = url.path().trim_end_matches('/').to_owned();
        url.set_path(&root);
        Ok(Self(url))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl BaseUrl {
    /// Whether requests are encrypted. On the loopback interface they need not be.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether `url` has this scheme, host and port, and no credentials of its own.
    pub fn is_origin_of(&self, url: &Url) -> bool {
        self.0.origin() == url.origin() && url.username().is_empty() && url.password().is_none()
    }

    /// The URL of `path`, which starts with a slash and may end with a query.
    pub fn at(&self, path: fmt::Arguments<'_>) -> Url {
        let root = self.0.as_str().trim_end_matches('/');
        Url::parse(&format!("{root}{path}"))
            .expect("an absolute URL with a path made of numbers and checked names")
    }

    /// The path of the root, without a slash at the end.
    pub fn root(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }
}

/// A client for this host only: no proxy from the environment, no redirects, no retries of its own.
pub fn client(
    base: &BaseUrl,
    headers: HeaderMap,
    timeout: Duration,
) -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        .default_headers(headers)
        .user_agent(concat!("security-agent/", env!("CARGO_PKG_VERSION")))
        // Otherwise the environment could name a proxy, which would see the token.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .timeout(timeout);
    let builder = if base.is_https() {
        builder.https_only(true)
    } else {
        // Loading the machine's certificates fails where there are none, and http needs none.
        builder.tls_certs_only([])
    };
    builder.build()
}

/// Adds the next step of the current trace to the request.
pub fn traced(request: RequestBuilder) -> RequestBuilder {
    match TraceParent::next_of_current() {
        Some(trace) => request.header(TRACEPARENT, trace.to_string()),
        None => request,
    }
}

/// The body of an answer. Empty if it is longer than `largest`, because a truncated body could be misread.
pub async fn body(response: &mut Response, largest: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > largest {
            return Ok(Vec::new());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stub::{Reply, Stub};

    #[tokio::test]
    async fn a_body_that_is_too_long_is_dropped_as_a_whole() {
        const LARGEST: usize = 300_000;
        for (length, expected) in [
            (0, 0),
            (1, 1),
            (LARGEST, LARGEST),
            (LARGEST + 1, 0),
            (4 * LARGEST, 0),
        ] {
            let stub = Stub::start(move |_, _| Reply::text(200, "x".repeat(length))).await;
            let asked = Client::new().get(&stub.url).send();
            let mut response = asked.await.expect("an answer");
            let read = body(&mut response, LARGEST).await.expect("a body");
            assert_eq!(read, vec![b'x'; expected], "{length}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port_without_credentials() {
        let base: BaseUrl = "https://ghe.example/api/v3".parse().expect("valid");
        assert!(base.is_https());
        let loopback = "http://127.0.0.1:8080".parse::<BaseUrl>();
        assert!(!loopback.expect("valid").is_https());
        assert_eq!(base.to_string(), "https://ghe.example/api/v3");
        for (url, same) in [
            ("https://ghe.example", true),
            ("https://ghe.example:443/other?a=b", true),
            ("http://ghe.example", false),
            ("https://ghe.example:444", false),
            ("https://gh.example", false),
            ("https://user@ghe.example", false),
            ("https://:password@ghe.example", false),
        ] {
            let url = Url::parse(url).expect("valid");
            assert_eq!(base.is_origin_of(&url), same, "{url}");
        }
    }

    #[test]
    fn unencrypted_http_is_allowed_only_on_the_loopback_interface() {
        for text in [
            "https://api.github.com",
            "https://ghe.example/api/v3/",
            "http://127.0.0.1:8080",
            "http://[::1]:1/x",
            "http://localhost",
        ] {
            assert!(text.parse::<BaseUrl>().is_ok(), "{text}");
        }
        for text in [
            "http://api.github.com",
            "http://127.0.0.1.evil.example",
            "http://localhost.evil.example",
            "ftp://127.0.0.1",
        ] {
            assert_eq!(
                text.parse::<BaseUrl>(),
                Err(InvalidBaseUrl::Insecure),
                "{text}"
            );
        }
        for text in ["", "api.github.com", "/api", "https://"] {
            assert_eq!(
                text.parse::<BaseUrl>(),
                Err(InvalidBaseUrl::NotAbsolute),
                "{text}"
            );
        }
        for text in [
            "https://a@api.github.com",
            "https://:b@api.github.com",
            "https://api.github.com?a",
            "https://api.github.com#a",
        ] {
            assert_eq!(
                text.parse::<BaseUrl>(),
                Err(InvalidBaseUrl::Excess),
                "{text}"
            );
        }
    }
}
