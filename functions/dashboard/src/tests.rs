//! The answers to requests.

use std::io::Read as _;

use super::*;

fn config() -> Config {
    Config {
        issuer: "https://issuer.example/realm/".parse().expect("an issuer"),
        audience: "security-agent".to_owned(),
        client_id: "dashboard".to_owned(),
        scope: "openid".to_owned(),
        audience_parameter: AudienceParameter::Audience,
        token_origin: Some("https://tokens.example".parse().expect("an origin")),
    }
}

fn answer(path: &str, headers: &[(&str, &str)]) -> Answer {
    let event = json!({
        "version": "2.0",
        "rawPath": path,
        "headers": headers.iter().copied().collect::<BTreeMap<_, _>>(),
    });
    let request = serde_json::from_value(event).expect("a request");
    Dashboard::new(&config()).answer(&request)
}

fn body(answer: &Answer) -> Vec<u8> {
    if answer.is_base64_encoded {
        STANDARD.decode(&answer.body).expect("base64")
    } else {
        answer.body.clone().into_bytes()
    }
}

#[test]
fn every_answer_forbids_what_the_page_does_not_use() {
    let script = format!("/assets/{}/app.js", files::version());
    for path in ["/", "/dashboard.json", &script, "/assets/x/none.js"] {
        let headers = answer(path, &[]).headers;
        let policy = &headers["content-security-policy"];
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "trusted-types 'none'",
        ] {
            assert!(
                policy.split("; ").any(|found| found == part),
                "{path}: {policy}"
            );
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "no-referrer");
    }
}

#[test]
fn the_page_may_connect_to_its_origin_and_the_issuer_only() {
    let policy = headers::policy(&config());
    let connect = policy
        .split("; ")
        .find(|part| part.starts_with("connect-src"));
    assert_eq!(
        connect,
        Some("connect-src 'self' https://issuer.example https://tokens.example")
    );
    let alone = Config {
        client_id: String::new(),
        ..config()
    };
    assert!(headers::policy(&alone).contains("connect-src 'self';"));
}

#[test]
fn files_of_this_version_are_immutable_and_others_are_not_cached() {
    let kept = |version: &str| {
        let answer = answer(&format!("/assets/{version}/app.js"), &[]);
        assert_eq!(
            (answer.status_code, answer.headers["content-type"].as_str()),
            (200, "text/javascript; charset=utf-8")
        );
        answer.headers["cache-control"].clone()
    };
    assert_eq!(kept(files::version()), FOR_GOOD);
    assert_eq!(kept("0123456789abcdef"), NOT_KEPT);
}

#[test]
fn a_page_is_revalidated_each_time_and_not_sent_again() {
    let first = answer("/", &[]);
    assert_eq!(
        (first.status_code, first.headers["cache-control"].as_str()),
        (200, "no-cache")
    );
    let again = answer("/", &[("if-none-match", &first.headers["etag"])]);
    assert_eq!((again.status_code, again.body.as_str()), (304, ""));
    assert_eq!(
        answer("/", &[("if-none-match", "W/\"other\"")]).status_code,
        200
    );
}

#[test]
fn a_client_gets_an_encoding_that_it_accepts() {
    let plain = answer("/", &[]);
    for accepted in ["gzip", "br;q=1, gzip;q=0.5", "GZIP", "deflate,gzip"] {
        let compressed = answer("/", &[("accept-encoding", accepted)]);
        assert_eq!(compressed.headers["content-encoding"], "gzip", "{accepted}");
        assert_eq!(compressed.headers["vary"], "accept-encoding");
        let mut decompressed = Vec::new();
        flate2::read::GzDecoder::new(&body(&compressed)[..])
            .read_to_end(&mut decompressed)
            .expect("it is compressed");
        assert!(decompressed == body(&plain), "{accepted}");
    }
    for accepted in ["", "br", "gzip;q=0", "gzip; q=0.0"] {
        let sent = answer("/", &[("accept-encoding", accepted)]);
        assert_eq!(sent.headers.get("content-encoding"), None, "{accepted}");
    }
}

#[test]
fn only_the_files_of_the_page_are_served() {
    for path in [
        "",
        "/index.html",
        "/assets/",
        "/assets/x",
        "/assets/x/",
        "/assets/x/../Cargo.toml",
        "/assets/x//app.js",
        "/assets/../app.js/",
        "/dashboard.json/",
    ] {
        assert_eq!(answer(path, &[]).status_code, 404, "{path}");
    }
}

#[test]
fn the_sign_in_settings_are_served() {
    let answer = answer("/dashboard.json", &[]);
    let told: serde_json::Value = serde_json::from_slice(&body(&answer)).expect("JSON");
    let expected = json!({
        "issuer": "https://issuer.example/realm/",
        "clientId": "dashboard",
        "scope": "openid",
        "audience": {"parameter": "audience", "value": "security-agent"},
    });
    assert_eq!(told, expected);
    assert_eq!(answer.headers["cache-control"], NOT_KEPT);
}
