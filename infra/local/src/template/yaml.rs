//! Reads CloudFormation's YAML into JSON.
//!
//! The short forms `!Ref x`, `!GetAtt a.b` and `!Sub …` become their long forms `{"Ref": "x"}`,
//! `{"Fn::GetAtt": ["a", "b"]}` and `{"Fn::Sub": …}`, so that the resolver handles only one spelling.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, json};
use serde_saphyr::Tagged;

/// Reads one document.
pub(super) fn parse(text: &str) -> Result<Value, serde_saphyr::Error> {
    // YAML 1.1 reads `N` as false, but `N` is DynamoDB's type code for a number.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options::<Node>(text, options).map(|node| node.0)
}

/// A node after its tag has been applied.
struct Node(Value);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Tagged(Untagged(value), tag) = Tagged::deserialize(deserializer)?;
        Ok(Self(
            match tag.as_deref().and_then(|tag| tag.strip_prefix('!')) {
                Some("Ref") => json!({ "Ref": value }),
                Some("GetAtt") => json!({ "Fn::GetAtt": attribute_path(value) }),
                Some(name) if !name.is_empty() && !name.starts_with('!') => {
                    Value::Object(Map::from_iter([(format!("Fn::{name}"), value)]))
                }
                Some(_) | None => value,
            },
        ))
    }
}

/// `!GetAtt Queue.Arn` may be a string or a list.
fn attribute_path(value: Value) -> Value {
    match value.as_str().and_then(|text| text.split_once('.')) {
        Some((resource, attribute)) => json!([resource, attribute]),
        None => value,
    }
}

/// A node's content without its tag.
struct Untagged(Value);

impl<'de> Deserialize<'de> for Untagged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UntaggedVisitor).map(Self)
    }
}

struct UntaggedVisitor;

impl<'de> Visitor<'de> for UntaggedVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML node")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Node(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Node(value))) = entries.next_entry::<String, Node>()? {
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_become_long_forms() {
        let read = parse(
            "a: !Ref Table\nb: !GetAtt Queue.Arn\nc: !Sub \"${Table.Arn}/index/*\"\nd: [!Ref X, 5, \"5\", true, N]\ne: { f: ~ }\n",
        )
        .expect("a well-formed document");
        assert_eq!(
            read,
            json!({
                "a": {"Ref": "Table"},
                "b": {"Fn::GetAtt": ["Queue", "Arn"]},
                "c": {"Fn::Sub": "${Table.Arn}/index/*"},
                "d": [{"Ref": "X"}, 5, "5", true, "N"],
                "e": {"f": null},
            })
        );
    }

    #[test]
    fn a_tag_on_a_list_or_a_map_is_kept() {
        let read = parse("a: !Join [\",\", [!Ref A, b]]\n").expect("a well-formed document");
        assert_eq!(read, json!({"a": {"Fn::Join": [",", [{"Ref": "A"}, "b"]]}}));
    }
}
