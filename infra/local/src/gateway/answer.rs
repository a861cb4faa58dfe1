//! Turns a function's answer into an HTTP response, as API Gateway does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The structured form of an answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Structured {
    status_code: Value,
    #[serde(default)]
    headers: Option<Map<String, Value>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

/// Why API Gateway could not turn the answer into a response.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("the answer has a statusCode but is not a valid response")]
    Shape(#[from] serde_json::Error),
    #[error("{0} is not a status code")]
    Status(Value),
    #[error("header {0} cannot be sent")]
    Header(String),
    #[error("the body is not base64")]
    Base64(#[from] base64::DecodeError),
}

/// Builds the response: from the answer's own status, headers and body, or else 200 with the answer as JSON.
pub(super) fn response(payload: &Bytes) -> Result<Response<Bytes>, AnswerError> {
    let is_structured = serde_json::from_slice::<Value>(payload)
        .is_ok_and(|answer| answer.get("statusCode").is_some());
    if is_structured {
        structured(serde_json::from_slice(payload)?)
    } else {
        Ok(inferred(payload))
    }
}

fn structured(answer: Structured) -> Result<Response<Bytes>, AnswerError> {
    let status = match &answer.status_code {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| u16::try_from(number).ok()),
    };
    let status = status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .ok_or_else(|| AnswerError::Status(answer.status_code.clone()))?;
    let body = answer.body.unwrap_or_default();
    let body = if answer.is_base64_encoded == Some(true) {
        STANDARD.decode(body)?.into()
    } else {
        Bytes::from(body)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain;charset=UTF-8"),
    );
    for (name, value) in answer.headers.unwrap_or_default() {
        let unusable = || AnswerError::Header(name.clone());
        let value = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        headers.insert(
            HeaderName::try_from(&name).map_err(|_| unusable())?,
            HeaderValue::try_from(value).map_err(|_| unusable())?,
        );
    }
    for cookie in answer.cookies.unwrap_or_default() {
        let value = HeaderValue::try_from(cookie)
            .map_err(|_| AnswerError::Header(SET_COOKIE.to_string()))?;
        headers.append(SET_COOKIE, value);
    }
    Ok(response)
}

fn inferred(payload: &Bytes) -> Response<Bytes> {
    // A JSON string becomes a plain-text body.
    let body =
        serde_json::from_slice::<String>(payload).map_or_else(|_| payload.clone(), Bytes::from);
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn response_to(answer: &Value) -> Result<Response<Bytes>, AnswerError> {
        response(&Bytes::from(answer.to_string()))
    }

    #[test]
    fn a_structured_answer_is_followed() {
        let response = response_to(&json!({
            "statusCode": 202,
            "headers": {"Location": "/v1/x", "Retry-After": 1, "content-type": "application/json"},
            "multiValueHeaders": {},
            "cookies": ["a=1", "b=2"],
            "body": "{}",
            "isBase64Encoded": false,
        }))
        .expect("a response");
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(response.headers()["location"], "/v1/x");
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        assert_eq!(&response.body()[..], b"{}");
    }

    #[test]
    fn a_binary_body_is_decoded() {
        let response =
            response_to(&json!({"statusCode": 200, "body": "/wA=", "isBase64Encoded": true}))
                .expect("a response");
        assert_eq!(&response.body()[..], [0xff, 0x00]);
    }

    #[test]
    fn an_answer_without_a_status_becomes_json() {
        let object = response_to(&json!({"answer": 42})).expect("a response");
        assert_eq!(object.status(), StatusCode::OK);
        assert_eq!(object.headers()["content-type"], "application/json");
        assert_eq!(&object.body()[..], br#"{"answer":42}"#);
        let text = response_to(&json!("hello")).expect("a response");
        assert_eq!(&text.body()[..], b"hello");
    }

    #[test]
    fn an_invalid_response_is_refused() {
        for answer in [
            json!({"statusCode": 99}),
            json!({"statusCode": "soon"}),
            json!({"statusCode": 200, "body": {"not": "text"}}),
            json!({"statusCode": 200, "headers": {"bad name": "x"}}),
            json!({"statusCode": 200, "body": "?", "isBase64Encoded": true}),
        ] {
            assert!(response_to(&answer).is_err(), "{answer}");
        }
    }
}
