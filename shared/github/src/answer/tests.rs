use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use super::*;
use crate::testing::NOON;

/// The result of `classify`, without the alerts.
#[derive(Debug, PartialEq)]
enum Said {
    Page(usize),
    NotModified,
    Moved(String),
    Refused(Refusal),
}

fn say(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Said {
    let headers = headers
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).expect("valid"),
            )
        })
        .collect();
    match classify(
        &Answer {
            status,
            headers,
            body: body.to_vec(),
        },
        NOON,
    ) {
        Classified::Page(alerts) => Said::Page(alerts.len()),
        Classified::NotModified => Said::NotModified,
        Classified::Moved(location) => Said::Moved(location.to_owned()),
        Classified::Refused(refusal) => Said::Refused(refusal),
    }
}

fn limited(kind: RateLimitKind, seconds: u64) -> Said {
    Said::Refused(Refusal::RateLimited(RateLimit {
        until: NOON + Duration::from_secs(seconds),
        kind,
    }))
}

/// The wait that a set of headers asks for, if any.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wait {
    Unstated,
    RetryAfter(u64),
    Reset(u64),
}

const RESET_IN_10_MINUTES: &str = "1795435800";

/// Sets of headers with their waits. `NOON` is 2026-11-23T12:00:00Z.
const HEADERS: &[(&[(&str, &str)], Wait)] = &[
    (&[], Wait::Unstated),
    (&[("retry-after", "90")], Wait::RetryAfter(90)),
    (&[("retry-after", " 90 ")], Wait::RetryAfter(90)),
    (&[("retry-after", "0")], Wait::RetryAfter(1)),
    (
        &[("retry-after", "Mon, 23 Nov 2026 12:02:00 GMT")],
        Wait::RetryAfter(120),
    ),
    (
        &[("retry-after", "Mon, 23 Nov 2026 11:00:00 GMT")],
        Wait::RetryAfter(1),
    ),
    (&[("retry-after", "soon")], Wait::Unstated),
    (&[("retry-after", "-5")], Wait::Unstated),
    (
        &[
            ("retry-after", "90"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", RESET_IN_10_MINUTES),
        ],
        Wait::RetryAfter(90),
    ),
    (
        &[
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", RESET_IN_10_MINUTES),
        ],
        Wait::Reset(600),
    ),
    (
        &[
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1795435100"),
        ],
        Wait::Reset(1),
    ),
    (&[("x-ratelimit-remaining", "0")], Wait::Reset(60)),
    (
        &[
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "later"),
        ],
        Wait::Reset(60),
    ),
    (
        &[
            ("x-ratelimit-remaining", "4711"),
            ("x-ratelimit-reset", RESET_IN_10_MINUTES),
        ],
        Wait::Unstated,
    ),
    (
        &[("x-accepted-github-permissions", "vulnerability_alerts=read")],
        Wait::Unstated,
    ),
    (
        &[(
            "location",
            "https://api.github.com/repositories/1/dependabot/alerts",
        )],
        Wait::Unstated,
    ),
];

/// The meaning of a body.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Speaks {
    List(usize),
    Nothing,
    NoAlerts,
    Blocked,
    Limited,
    Suspended,
}

const BODIES: &[(&str, Speaks)] = &[
    ("[]", Speaks::List(0)),
    (r#"[{"number":1},{},17]"#, Speaks::List(3)),
    ("", Speaks::Nothing),
    ("[", Speaks::Nothing),
    ("{}", Speaks::Nothing),
    ("null", Speaks::Nothing),
    ("<html><body>502 Bad Gateway</body></html>", Speaks::Nothing),
    ("\u{fffd}", Speaks::Nothing),
    (r#"{"message":17}"#, Speaks::Nothing),
    (r#"{"message":null}"#, Speaks::Nothing),
    (r#"{"message":"Not Found"}"#, Speaks::Nothing),
    (r#"{"message":"Bad credentials"}"#, Speaks::Nothing),
    (
        r#"{"message":"Resource not accessible by integration"}"#,
        Speaks::Nothing,
    ),
    (
        r#"{"message":"Dependabot alerts are disabled for this repository."}"#,
        Speaks::NoAlerts,
    ),
    (
        r#"{"message":"Dependabot alerts are not available for archived repositories."}"#,
        Speaks::NoAlerts,
    ),
    (
        r#"{"message":"Dependabot alerts are not available for this repository."}"#,
        Speaks::NoAlerts,
    ),
    (
        r#"{"message":"Repository was archived so is read-only."}"#,
        Speaks::NoAlerts,
    ),
    (
        r#"{"message":"Repository access blocked"}"#,
        Speaks::Blocked,
    ),
    (
        r#"{"message":"No.","block":{"reason":"tos"}}"#,
        Speaks::Blocked,
    ),
    (
        r#"{"message":"API rate limit exceeded for installation ID 1."}"#,
        Speaks::Limited,
    ),
    (
        r#"{"message":"You have exceeded a secondary rate limit. Please wait."}"#,
        Speaks::Limited,
    ),
    (
        r#"{"message":"You have triggered an abuse detection mechanism."}"#,
        Speaks::Limited,
    ),
    (
        r#"{"message":"This installation has been suspended"}"#,
        Speaks::Suspended,
    ),
];

/// The specification, row by row.
fn expected(status: u16, headers: &[(&'static str, &str)], wait: Wait, speaks: Speaks) -> Said {
    let location = headers
        .iter()
        .find(|(name, _)| *name == "location")
        .map(|(_, value)| (*value).to_owned());
    let refused = Said::Refused;
    match (status, wait, speaks, location) {
        (200, _, Speaks::List(length), _) => Said::Page(length),
        (200..=299, ..) => refused(Refusal::Malformed),
        (304, ..) => Said::NotModified,
        (301 | 302 | 307 | 308, _, _, Some(location)) => Said::Moved(location),
        (401, ..) => refused(Refusal::AuthInvalid),
        (404 | 451, ..) => refused(Refusal::Unavailable),
        (410, ..) => refused(Refusal::Gone),
        (403 | 429, Wait::RetryAfter(seconds), ..) => limited(RateLimitKind::Secondary, seconds),
        (403 | 429, Wait::Reset(seconds), ..) => limited(RateLimitKind::Primary, seconds),
        (429, ..) | (403, _, Speaks::Limited, _) => limited(RateLimitKind::Secondary, 60),
        (403, _, Speaks::NoAlerts, _) | (422, _, Speaks::NoAlerts, _) => {
            refused(Refusal::AlertsDisabled)
        }
        (400..=499, _, Speaks::Blocked, _) => refused(Refusal::Unavailable),
        (403, _, Speaks::Suspended, _) => refused(Refusal::AuthInvalid),
        (403, ..) => refused(Refusal::PermissionMissing),
        (500..=599, Wait::RetryAfter(seconds), ..) => {
            // Only a rate limit has a minimum wait.
            let at_once = headers.iter().any(|(name, value)| {
                *name == "retry-after" && (*value == "0" || value.contains("11:00"))
            });
            let retry_after = Some(Duration::from_secs(if at_once { 0 } else { seconds }));
            refused(Refusal::ServerError {
                status,
                retry_after,
            })
        }
        (500..=599, ..) => refused(Refusal::ServerError {
            status,
            retry_after: None,
        }),
        _ => refused(Refusal::Unexpected { status }),
    }
}

#[test]
fn every_status_header_and_body_has_its_specified_meaning() {
    let mut answers = 0;
    for status in 100..=599 {
        for (headers, wait) in HEADERS {
            for (body, speaks) in BODIES {
                let said = say(status, headers, body.as_bytes());
                assert_eq!(
                    said,
                    expected(status, headers, *wait, *speaks),
                    "{status} {headers:?} {body}"
                );
                if let Said::Refused(Refusal::RateLimited(limit)) = said {
                    assert!(limit.until > NOON, "{status} {headers:?} {body}");
                }
                answers += 1;
            }
        }
    }
    assert_eq!(answers, 500 * HEADERS.len() * BODIES.len());
}

#[test]
fn headers_and_bodies_that_are_not_text_are_classified() {
    let headers = [(
        RETRY_AFTER,
        HeaderValue::from_bytes(b"\xff").expect("opaque bytes are allowed"),
    )]
    .into_iter()
    .collect();
    let answer = Answer {
        status: 403,
        headers,
        body: vec![0xff, 0xfe],
    };
    assert!(matches!(
        classify(&answer, NOON),
        Classified::Refused(Refusal::PermissionMissing)
    ));
}

#[test]
fn an_absurd_wait_does_not_wrap_around() {
    for seconds in [u64::MAX, u64::MAX / 1000, i64::MAX as u64] {
        match say(429, &[("retry-after", &seconds.to_string())], b"") {
            Said::Refused(Refusal::RateLimited(limit)) => assert!(limit.until > NOON, "{seconds}"),
            said => panic!("{seconds}: {said:?}"),
        }
    }
    let reset = say(
        403,
        &[
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", &i64::MAX.to_string()),
        ],
        b"",
    );
    assert!(matches!(reset, Said::Refused(Refusal::RateLimited(limit)) if limit.until > NOON));
}

/// The answers of the bundled data, by case.
fn recorded(file: &str) -> Vec<(String, Said)> {
    let path = format!(
        "{}/../../tests/data/dependabot/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).expect("the bundled data");
    let answers: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let said = |answer: &Value| {
        let headers = answer["headers"].as_object().expect("headers");
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::try_from(name).expect("a header's name");
            (
                name,
                HeaderValue::from_str(value.as_str().expect("text")).expect("a header's value"),
            )
        });
        let body = match &answer["body"] {
            Value::String(text) => text.clone(),
            body => body.to_string(),
        };
        let status = answer["status"]
            .as_u64()
            .and_then(|status| u16::try_from(status).ok())
            .expect("a status");
        match classify(
            &Answer {
                status,
                headers: headers.collect(),
                body: body.into_bytes(),
            },
            NOON,
        ) {
            Classified::Moved(location) => Said::Moved(location.to_owned()),
            Classified::Refused(refusal) => Said::Refused(refusal),
            other => panic!("{other:?}"),
        }
    };
    answers
        .iter()
        .map(|answer| {
            (
                answer["case"].as_str().expect("a case").to_owned(),
                said(answer),
            )
        })
        .collect()
}

#[test]
fn the_recorded_errors_are_classified() {
    // Their limit was reset at 2026-09-15T00:00:00Z, before NOON.
    let primary = || limited(RateLimitKind::Primary, 1);
    let failed = |status| {
        Said::Refused(Refusal::ServerError {
            status,
            retry_after: None,
        })
    };
    let expected = [
        ("bad_credentials", Said::Refused(Refusal::AuthInvalid)),
        ("primary_rate_limit", primary()),
        ("primary_rate_limit_429", primary()),
        (
            "secondary_rate_limit",
            limited(RateLimitKind::Secondary, 60),
        ),
        (
            "page_parameter",
            Said::Refused(Refusal::Unexpected { status: 400 }),
        ),
        (
            "unsupported_api_version",
            Said::Refused(Refusal::Unexpected { status: 400 }),
        ),
        ("server_error", failed(502)),
        ("server_timeout_json", failed(500)),
    ];
    assert_eq!(
        recorded("error-responses.json"),
        expected.map(|(case, said)| (case.to_owned(), said))
    );
}

#[test]
fn the_recorded_special_repositories_are_classified() {
    let moved =
        Said::Moved("https://api.github.com/repositories/700000001/dependabot/alerts".to_owned());
    let expected = [
        ("alerts_disabled", Said::Refused(Refusal::AlertsDisabled)),
        ("archived", Said::Refused(Refusal::AlertsDisabled)),
        ("not_found", Said::Refused(Refusal::Unavailable)),
        ("access_blocked", Said::Refused(Refusal::Unavailable)),
        (
            "integration_lacks_permission",
            Said::Refused(Refusal::PermissionMissing),
        ),
        ("moved_permanently", moved),
    ];
    assert_eq!(
        recorded("special-repositories.json"),
        expected.map(|(case, said)| (case.to_owned(), said))
    );
}

#[test]
fn a_refusal_contains_no_text_of_the_body() {
    let body =
        json!({"message": "Dependabot alerts are disabled; token ghs_secret of mona@example.com"})
            .to_string();
    for status in 100..=599 {
        let answer = Answer {
            status,
            headers: HeaderMap::new(),
            body: body.clone().into_bytes(),
        };
        if let Classified::Refused(refusal) = classify(&answer, NOON) {
            let said = format!("{refusal} {refusal:?}");
            assert!(
                !said.contains("ghs_secret") && !said.contains("mona"),
                "{said}"
            );
        }
    }
}
