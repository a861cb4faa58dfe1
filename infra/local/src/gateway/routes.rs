//! Matches a request to a route of the API.

use std::collections::BTreeMap;

use http::Method;
use percent_encoding::percent_decode_str;

use crate::template::Route;

/// The routes, most specific first.
#[derive(Debug)]
pub(super) struct Routes(Vec<Route>);

/// A matching route and the decoded values of its path parameters.
#[derive(Debug)]
pub(super) struct Matched<'a> {
    pub(super) route: &'a Route,
    pub(super) parameters: BTreeMap<String, String>,
}

impl Routes {
    pub(super) fn new(routes: Vec<Route>) -> Self {
        Self(routes)
    }

    /// Returns the first matching route. Matches the path as sent, so an encoded slash belongs to a parameter.
    pub(super) fn find(&self, method: &Method, path: &str) -> Option<Matched<'_>> {
        self.0
            .iter()
            .filter(|route| route.method.as_ref().is_none_or(|only| only == method))
            .find_map(|route| {
                let parameters = parameters(&route.path, path)?;
                Some(Matched { route, parameters })
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
                if decoded(segments.next()?) != expected {
                    return None;
                }
            }
            Some((_, Some(greedy))) => {
                let rest = segments.by_ref().collect::<Vec<_>>().join("/");
                if rest.is_empty() {
                    return None;
                }
                parameters.insert(greedy.to_owned(), decoded(&rest));
            }
            Some((name, None)) => {
                let segment = segments.next().filter(|segment| !segment.is_empty())?;
                parameters.insert(name.to_owned(), decoded(segment));
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
    fn parameters_are_decoded_and_may_contain_a_slash() {
        let routes = routes(&["/v1/owners/{owner}/commands"]);
        for (sent, owner) in [
            ("user:auth0%7C5f7c", "user:auth0|5f7c"),
            ("user:oauth%2Fgoogle:117", "user:oauth/google:117"),
            ("user:a%252Fb", "user:a%2Fb"),
        ] {
            let path = format!("/v1/owners/{sent}/commands");
            let matched = routes.find(&Method::GET, &path).expect("the route matches");
            assert_eq!(matched.parameters["owner"], owner);
        }
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
