//! JSON objects as text. Numbers and unknown fields keep their exact spelling from the dataset.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// An object whose values keep their original text.
pub(crate) type Fields = BTreeMap<String, Box<RawValue>>;

/// Removes the white space between tokens.
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

/// Removes these fields from the object.
pub(crate) fn without(object: &RawValue, names: &[&str]) -> serde_json::Result<Box<RawValue>> {
    let mut fields: Fields = serde_json::from_str(object.get())?;
    fields.retain(|name, _| !names.contains(&name.as_str()));
    to_raw_value(&fields)
}

/// Merges objects recursively and replaces anything else; null is an ordinary value.
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
    fn compacting_removes_white_space_only_between_tokens() {
        let json = "{ \"a b\" : [ 1.10 ,\n\t\"x \\\" \\\\\" , null ] }";
        assert_eq!(compact(json), r#"{"a b":[1.10,"x \" \\",null]}"#);
    }

    #[test]
    fn merging_keeps_unnamed_fields_and_nulls() {
        let base =
            RawValue::from_string(r#"{"a":{"b":0.10,"c":2},"d":1}"#.to_owned()).expect("json");
        let merged = merge(&base, &json!({"a": {"c": null}, "e": [1]})).expect("merged");
        assert_eq!(merged.get(), r#"{"a":{"b":0.10,"c":null},"d":1,"e":[1]}"#);
    }
}
