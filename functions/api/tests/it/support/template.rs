//! The table and the API's routes, from `template.yaml`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

fn resources() -> Value {
    let text = include_str!("../../../../../template.yaml");
    let options = serde_saphyr::options! { strict_booleans: true };
    let template: Value = serde_saphyr::from_str_with_options(text, options).expect("YAML");
    template["Resources"].clone()
}

/// Returns the request that creates the table with this name.
pub(crate) fn table(name: &str) -> Value {
    let properties = &resources()["Table"]["Properties"];
    let mut request = json!({"TableName": name});
    for part in [
        "BillingMode",
        "AttributeDefinitions",
        "KeySchema",
        "LocalSecondaryIndexes",
        "GlobalSecondaryIndexes",
    ] {
        request[part] = properties[part].clone();
    }
    request
}

/// Returns method and path of each route that the gateway forwards to the function, except the greedy ones: those carry
/// the same operations for an owner's id with `/`.
pub(crate) fn routes() -> BTreeSet<(String, String)> {
    let events = resources()["ApiFunction"]["Properties"]["Events"].clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let events = events.as_object().expect("events");
    events
        .values()
        .map(|event| &event["Properties"])
        .map(|event| (text(&event["Method"]), text(&event["Path"])))
        .filter(|(_, path)| !path.ends_with("+}"))
        .collect()
}
