//! A request's JSON body: bounded, declared as JSON, not encoded, and an object whose keys occur once. Every body that a
//! client or the agent sends is read here.

use std::fmt;

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

use crate::{
    fields::Fields,
    problem::{Code, Problem},
};

/// The longest body accepted.
pub const LONGEST: usize = 64 * 1024;

/// The fields of a JSON body.
#[derive(Debug)]
pub struct JsonBody(pub Fields);

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = to_bytes(body, LONGEST).await.map_err(|_| {
            Problem::new(
                Code::BodyTooLarge,
                "The body is longer than 64 KiB. Send a shorter body.",
            )
        })?;
        if !is_json(&parts.headers) {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "The body is not declared as JSON. Send it with Content-Type: application/json.",
            ));
        }
        if is_encoded(&parts.headers) {
            return Err(Problem::new(
                Code::MalformedBody,
                "The body is declared as encoded. Send it as it is, without Content-Encoding.",
            ));
        }
        Ok(Self(Fields::new(parse(&bytes)?)))
    }
}

/// Parses an object. The parser's message names a position only, so it repeats nothing from the body.
fn parse(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    let malformed = |error: String| Problem::new(Code::MalformedBody, format!("{error}."));
    match serde_json::from_slice(bytes) {
        Ok(Unique(Value::Object(object))) => Ok(object),
        Ok(_) => Err(malformed("The body is JSON, but not an object".to_owned())),
        Err(error) => Err(malformed(error.to_string())),
    }
}

/// A JSON value in which no object has a key twice. Of two values `serde_json` would keep the last, and another reader of
/// the same body, such as a firewall, the first.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyUnique).map(Self)
    }
}

struct AnyUnique;

impl<'de> Visitor<'de> for AnyUnique {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        Ok(number.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(entry)) = entries.next_element()? {
            list.push(entry);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("an object has the same key twice"));
            }
        }
        Ok(object.into())
    }
}

/// A body with another encoding was read by nobody on the way, whatever it turns out to say.
fn is_encoded(headers: &HeaderMap) -> bool {
    let given = headers.get_all(header::CONTENT_ENCODING).iter();
    given.into_iter().any(|value| {
        let value = value.to_str().unwrap_or("not text").trim();
        !value.is_empty() && !value.eq_ignore_ascii_case("identity")
    })
}

/// Whether the body is declared as JSON, in UTF-8 if a charset is given: JSON has no other (RFC 8259).
fn is_json(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(declared), None) = (given.next(), given.next()) else {
        return false;
    };
    let declared = declared.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = declared.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let is_utf8 = |parameter: &str| {
        let charset = parameter
            .split_once('=')
            .filter(|(name, _)| *name == "charset");
        charset.is_none_or(|(_, value)| matches!(value.trim_matches('"'), "utf-8" | "utf8"))
    };
    let is_json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    is_json && parts.all(is_utf8)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn code(body: &str) -> Option<Code> {
        parse(body.as_bytes()).err().map(|problem| problem.code())
    }

    #[test]
    fn a_key_that_occurs_twice_is_refused_at_any_depth() {
        for body in [
            r#"{"a":1,"a":1}"#,
            r#"{"type":"dismiss_finding","type":"sync"}"#,
            r#"{"type":"sync","\u0074ype":"sync"}"#,
            r#"{"a":{"b":1,"c":2,"b":3}}"#,
            r#"{"a":[{},[{"b":null,"b":null}]]}"#,
        ] {
            assert_eq!(code(body), Some(Code::MalformedBody), "{body}");
        }
        for body in [r#"{"a":{"a":{"a":1}},"A":[{"a":1},{"a":1}]}"#, "{}"] {
            assert_eq!(code(body), None, "{body}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,5}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                vec((".{0,3}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn without_repeated_keys_a_body_is_read_as_it_is(members in vec((".{0,3}", json()), 0..4)) {
            let object: Map<String, Value> = members.into_iter().collect();
            let text = Value::Object(object.clone()).to_string();
            // As `serde_json` reads it, because a number may not survive being written.
            let expected: Map<String, Value> = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(parse(text.as_bytes()).expect("accepted"), expected);
        }

        #[test]
        fn a_repeated_key_is_refused_wherever_it_is(
            inner in json(), key in "[a-z]{0,3}", depth in 0_usize..20, list in any::<bool>()
        ) {
            let key = Value::from(key).to_string();
            let mut text = format!("{{{key}:{inner},{key}:{inner}}}");
            for _ in 0..depth {
                text = if list { format!("{{\"x\":[1,{text}]}}") } else { format!("{{\"x\":{text}}}") };
            }
            prop_assert_eq!(code(&text), Some(Code::MalformedBody));
        }
    }
}
