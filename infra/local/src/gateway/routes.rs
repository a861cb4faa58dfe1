//! Matches a request to a route of the API, as an HTTP API does: the path is decoded first, so an encoded slash separates
//! segments, and cut at a decoded `?`.

use std::collections::BTreeMap;

use http::Method;
use percent_encoding::percent_decode_str;

use crate::template::Route;

/// The routes, most specific first.
#[derive(Debug)]
pub(super) struct Routes(Vec<Route>);

/// A matching route, the decoded path, and the values of the route's parameters in it.
#[derive(Debug)]
pub(super) struct Matched<'a> {
    pub(super) route: &'a Route,
    pub(super) path: String,
    pub(super) parameters: BTreeMap<String, String>,
}

impl Routes {
    pub(super) fn new(routes: Vec<Route>) -> Self {
        Self(routes)
    }

    /// Returns the most specific route that matches the path as sent.
    pub(super) fn find(&self, method: &Method, sent: &str) -> Option<Matched<'_>> {
        let mut path = decoded(sent);
        // Captured from a live HTTP API: https://github.com/hotsock/voker/pull/8.
        path.truncate(path.find('?').unwrap_or(path.len()));
        let fits = |route: &&Route| route.method.as_ref().is_none_or(|only| only == method);
        let (route, parameters) = self
            .0
            .iter()
            .filter(fits)
            .find_map(|route| Some((route, parameters(&route.path, &path)?)))?;
        Some(Matched {
            route,
            path,
            parameters,
        })
    }
}

/// The route key in API Gateway's format, for example `GET /v1/health`.
pub(super) fn key(route: &Route) -> String {
    let method = route.method.as_ref().map_or("ANY", Method::as_str);
    format!("{method} {}", route.path)
}

fn parameters(pattern: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let name = expected
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        match name.map(|name| (name, name.strip_suffix('+'))) {
            None => {
                if segments.next()? != expected {
                    return None;
                }
            }
            Some((_, Some(greedy))) => {
                let rest = segments.by_ref().collect::<Vec<_>>().join("/");
                if rest.is_empty() {
                    return None;
                }
                parameters.insert(greedy.to_owned(), rest);
            }
            Some((name, None)) => {
                let segment = segments.next().filter(|segment| !segment.is_empty())?;
                parameters.insert(name.to_owned(), segment.to_owned());
            }
        }
    }
    segments.next().is_none().then_some(parameters)
}

/// Decodes percent-encoding.
pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Access;

    fn routes(paths: &[&str]) -> Routes {
        Routes(
            paths
                .iter()
                .map(|path| Route {
                    method: Some(Method::GET),
                    path: (*path).to_owned(),
                    function: "api".to_owned(),
                    access: Access::Token("Readers".to_owned()),
                })
                .collect(),
        )
    }

    #[test]
    fn a_path_is_decoded_once_before_it_is_matched() {
        let routes = routes(&["/v1/owners/{owner}/commands", "/v1/{proxy+}"]);
        for (sent, parameter, value) in [
            ("user:auth0%7C5f7c/commands", "owner", "user:auth0|5f7c"),
            ("user:a%252Fb/commands", "owner", "user:a%2Fb"),
            ("user:a+b/c%6Fmmands", "owner", "user:a+b"),
            (
                "user:oauth%2Fgoogle:117/commands",
                "proxy",
                "owners/user:oauth/google:117/commands",
            ),
        ] {
            let path = format!("/v1/owners/{sent}");
            let matched = routes.find(&Method::GET, &path).expect("a route matches");
            assert_eq!(matched.parameters[parameter], value);
        }
    }

    #[test]
    fn a_path_ends_at_a_decoded_question_mark() {
        let routes = routes(&["/v1/owners/{owner}/commands", "/v1/owners/{owner}"]);
        let path = "/v1/owners/user:a%3Fb/commands";
        let matched = routes.find(&Method::GET, path).expect("a route matches");
        assert_eq!(matched.path, "/v1/owners/user:a");
        assert_eq!(matched.parameters["owner"], "user:a");
    }

    #[test]
    fn other_methods_longer_paths_and_empty_parameters_do_not_match() {
        let routes = routes(&["/v1/owners/{owner}/commands"]);
        assert!(
            routes
                .find(&Method::PUT, "/v1/owners/me/commands")
                .is_none()
        );
        assert!(
            routes
                .find(&Method::GET, "/v1/owners/me/commands/")
                .is_none()
        );
        assert!(routes.find(&Method::GET, "/v1/owners//commands").is_none());
        assert!(
            routes
                .find(&Method::GET, "/v1/owners/oauth/google/commands")
                .is_none()
        );
    }

    #[test]
    fn a_greedy_parameter_takes_the_rest() {
        let routes = routes(&["/files/{path+}"]);
        let matched = routes
            .find(&Method::GET, "/files/a/b")
            .expect("the route matches");
        assert_eq!(matched.parameters["path"], "a/b");
        assert!(routes.find(&Method::GET, "/files/").is_none());
    }
}
