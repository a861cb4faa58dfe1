//! JSON objects as text. Numbers and unknown fields keep the exact form they have in the dataset.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// An object whose values are left as they were written.
pub(crate) type Fields = BTreeMap<String, Box<RawValue>>;

/// The same JSON without the white space between its tokens.
pub(crate) fn compact(json: &str) -> String {
    let mut quoted = false;
    let mut escaped = false;
    json.chars()
        .filter(|&character| {
            if !quoted {
                quoted = character == '"';
                return !character.is_ascii_whitespace();
            }
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = false,
                _ => {}
            }
            true
        })
        .collect()
}

/// The object without these fields.
pub(crate) fn without(object: &RawValue, names: &[&str]) -> serde_json::Result<Box<RawValue>> {
    let mut fields: Fields = serde_json::from_str(object.get())?;
    fields.retain(|name, _| !names.contains(&name.as_str()));
    to_raw_value(&fields)
}

/// Objects merge, anything else is replaced; null is a value like others.
pub(crate) fn merge(base: &RawValue, change: &Value) -> serde_json::Result<Box<RawValue>> {
    let Value::Object(changes) = change else {
        return to_raw_value(change);
    };
    let Ok(mut fields) = serde_json::from_str::<Fields>(base.get()) else {
        return to_raw_value(change);
    };
    for (name, change) in changes {
        let merged = match fields.get(name) {
            Some(value) => merge(value, change)?,
            None => to_raw_value(change)?,
        };
        fields.insert(name.clone(), merged);
    }
    to_raw_value(&fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn compacting_touches_only_what_is_between_tokens() {
        let json = "{ \"a b\" : [ 1.10 ,\n\t\"x \\\" \\\\\" , null ] }";
        assert_eq!(compact(json), r#"{"a b":[1.10,"x \" \\",null]}"#);
    }

    #[test]
    fn merging_keeps_what_is_not_named_and_keeps_nulls() {
        let base =
            RawValue::from_string(r#"{"a":{"b":0.10,"c":2},"d":1}"#.to_owned()).expect("json");
        let merged = merge(&base, &json!({"a": {"c": null}, "e": [1]})).expect("merged");
        assert_eq!(merged.get(), r#"{"a":{"b":0.10,"c":null},"d":1,"e":[1]}"#);
    }
}
