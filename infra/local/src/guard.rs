//! Keeps web pages out. A page in the developer's browser can send requests to this machine: without a permission, as
//! long as they look like a form's, and with the answers if its own host name is made to resolve to 127.0.0.1. So every
//! listener of the stack demands a loopback host, no foreign origin, and JSON where it takes orders.

use std::net::IpAddr;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header, uri::Authority};

use crate::gateway::problem::problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Host,
    Origin,
    ContentType,
}

impl Refusal {
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::Host => {
                "Only 127.0.0.1, localhost and [::1] name this server. Use one of them in the address."
            }
            Self::Origin => {
                "A page of another origin sent this request. Only this server's own pages may."
            }
            Self::ContentType => {
                "The body is not declared as JSON. Send Content-Type: application/json."
            }
        }
    }

    const fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::Host => (StatusCode::FORBIDDEN, "HOST_NOT_ALLOWED"),
            Self::Origin => (StatusCode::FORBIDDEN, "ORIGIN_NOT_ALLOWED"),
            Self::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE"),
        }
    }
}

/// Who is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Serves {
    /// People, too: a link on another page may lead here.
    People,
    /// Programs only.
    Programs,
}

/// Refuses what a web page of another origin sends.
pub(crate) fn guarded(router: Router, serves: Serves) -> Router {
    router.layer(middleware::from_fn_with_state(serves, answer))
}

async fn answer(State(serves): State<Serves>, request: Request, next: Next) -> Response {
    match check(serves, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            let (status, code) = refusal.answer();
            problem(status, code, refusal.detail())
        }
    }
}

/// Checks a request's head.
pub(crate) fn check(
    serves: Serves,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let host = host(uri, headers)
        .filter(is_loopback)
        .ok_or(Refusal::Host)?;
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(origin) = text(&header::ORIGIN)
        && origin != format!("http://{host}")
    {
        return Err(Refusal::Origin);
    }
    // Browsers send an `Origin` with every POST, but not with an image's GET.
    let site = text(&SEC_FETCH_SITE);
    let follows_link = serves == Serves::People
        && method == Method::GET
        && text(&SEC_FETCH_MODE) == Some("navigate");
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) && !follows_link {
        return Err(Refusal::Origin);
    }
    if takes_orders(uri.path()) && has_body(headers) && !is_json(text(&header::CONTENT_TYPE)) {
        return Err(Refusal::ContentType);
    }
    Ok(())
}

fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut given = headers.get_all(header::HOST).iter();
    match (given.next(), given.next()) {
        (Some(host), None) => host.to_str().ok()?.parse().ok(),
        (None, _) => uri.authority().cloned(),
        (Some(_), Some(_)) => None,
    }
}

fn is_loopback(host: &Authority) -> bool {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: IpAddr| address.is_loopback();
    !host.as_str().contains('@')
        && (name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback))
}

/// The endpoints without a token. The API's own functions check what they are sent.
fn takes_orders(path: &str) -> bool {
    path.starts_with("/local/") || path.starts_with("/2015-03-31/")
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}

fn is_json(declared: Option<&str>) -> bool {
    let essence = declared.and_then(|declared| declared.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn checked(serves: Serves, request: http::request::Builder) -> Result<(), Refusal> {
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        check(serves, &parts.method, &parts.uri, &parts.headers)
    }

    fn get(host: &str) -> http::request::Builder {
        Request::get("/local/queues").header("host", host)
    }

    #[test]
    fn only_loopback_names_this_machine() {
        for host in [
            "127.0.0.1:8787",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8787",
            "127.0.0.1",
        ] {
            assert_eq!(checked(Serves::Programs, get(host)), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8787",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "evil.example@localhost",
            "0.0.0.0:8787",
            "192.168.1.5:8787",
            "[::ffff:192.168.1.5]",
            "",
        ] {
            assert_eq!(
                checked(Serves::Programs, get(host)),
                Err(Refusal::Host),
                "{host}"
            );
        }
        let twice = get("localhost").header("host", "evil.example");
        assert_eq!(checked(Serves::Programs, twice), Err(Refusal::Host));
        assert_eq!(
            checked(Serves::Programs, Request::get("/")),
            Err(Refusal::Host)
        );
    }

    #[test]
    fn a_request_comes_from_a_program_or_from_a_page_of_this_server() {
        let from = |origin: &str| get("127.0.0.1:8787").header("origin", origin);
        assert_eq!(
            checked(Serves::People, from("http://127.0.0.1:8787")),
            Ok(())
        );
        for origin in [
            "http://127.0.0.1:8788",
            "http://localhost:8787",
            "https://127.0.0.1:8787",
            "http://evil.example",
            "null",
            "",
        ] {
            assert_eq!(
                checked(Serves::People, from(origin)),
                Err(Refusal::Origin),
                "{origin}"
            );
        }
    }

    #[test]
    fn another_page_may_lead_people_here_and_fetch_nothing() {
        let fetched = |site: &str, mode: &str| {
            let request = get("127.0.0.1:8787").header("sec-fetch-site", site);
            request.header("sec-fetch-mode", mode)
        };
        for (serves, site, mode, expected) in [
            (Serves::People, "same-origin", "cors", Ok(())),
            (Serves::People, "none", "navigate", Ok(())),
            (Serves::People, "cross-site", "navigate", Ok(())),
            (
                Serves::People,
                "cross-site",
                "no-cors",
                Err(Refusal::Origin),
            ),
            (Serves::People, "same-site", "cors", Err(Refusal::Origin)),
            (
                Serves::Programs,
                "cross-site",
                "navigate",
                Err(Refusal::Origin),
            ),
        ] {
            assert_eq!(
                checked(serves, fetched(site, mode)),
                expected,
                "{site} {mode}"
            );
        }
    }

    #[test]
    fn orders_without_a_token_are_json() {
        let order = |path: &str, declared: Option<&str>| {
            let order = Request::post(path).header("host", "localhost");
            let order = order.header("content-length", "2");
            let order = match declared {
                Some(declared) => order.header("content-type", declared),
                None => order,
            };
            checked(Serves::People, order)
        };
        for path in ["/local/tokens", "/2015-03-31/functions/api/invocations"] {
            for declared in ["application/json", "application/json; charset=utf-8"] {
                assert_eq!(order(path, Some(declared)), Ok(()), "{declared}");
            }
            for declared in [
                None,
                Some("text/plain"),
                Some("application/x-www-form-urlencoded"),
            ] {
                assert_eq!(
                    order(path, declared),
                    Err(Refusal::ContentType),
                    "{declared:?}"
                );
            }
        }
        assert_eq!(order("/v1/owners/me/commands", Some("text/plain")), Ok(()));
        let without_body = Request::post("/local/schedules/reconcile").header("host", "localhost");
        assert_eq!(checked(Serves::People, without_body), Ok(()));
    }
}
