//! The routes of the gateway, the function and the document are the same.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Answer, Call, Stack, get, template};

/// Returns method and path of each operation in the document.
fn documented(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let methods = ["get", "put", "post", "delete", "patch", "head", "options"];
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = methods.iter().filter(|method| item.get(**method).is_some());
            methods.map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

async fn document(stack: &Stack) -> Answer {
    let answer = stack.call(get("/v1/openapi.json")).await;
    assert_eq!(answer.status, 200);
    answer
}

#[tokio::test]
async fn the_document_describes_exactly_the_routes_of_the_template() {
    let stack = Stack::start().await;
    assert_eq!(documented(&document(&stack).await.body), template::routes());
}

#[tokio::test]
async fn the_stored_document_equals_the_served_one() {
    let kept = include_str!("../../../../docs/openapi.json");
    let kept: Value = serde_json::from_str(kept).expect("it is JSON");
    let served = document(&Stack::start().await).await.body;
    assert!(
        kept == served,
        "the API has changed: cargo run -p api --example openapi > docs/openapi.json"
    );
}

#[tokio::test]
async fn every_documented_operation_is_routed_and_no_other_method_is() {
    let stack = Stack::start().await;
    let documented = documented(&document(&stack).await.body);
    let paths: BTreeSet<_> = documented.iter().map(|(_, path)| path.clone()).collect();
    for path in paths {
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let answer = stack.call(Call::new(method, &path).id("none")).await;
            let refused = answer.body["code"] == "METHOD_NOT_ALLOWED";
            let known = documented.contains(&(method.to_owned(), path.clone()));
            assert_eq!(refused, !known, "{method} {path}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn every_schema_that_the_document_names_is_in_it() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = document(&Stack::start().await).await.body;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(
            document.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
}

#[tokio::test]
async fn a_configuration_as_read_satisfies_the_schema_of_a_save() {
    let stack = Stack::start().await;
    let document = document(&stack).await.body;
    let change = &document["components"]["schemas"]["ConfigChange"];
    assert_eq!(change["additionalProperties"], false);
    let shown = stack.call(get("/v1/owners/{owner}/config")).await.body;
    for field in shown.as_object().expect("an object").keys() {
        assert!(change["properties"][field].is_object(), "{field}");
    }
}

#[tokio::test]
async fn health_and_document_need_no_caller() {
    let stack = Stack::start().await;
    for path in ["/v1/health", "/v1/openapi.json"] {
        let mut call = get(path);
        let context = call.event["requestContext"].as_object_mut();
        context.expect("a context").remove("authorizer");
        assert_eq!(stack.call(call).await.status, 200, "{path}");
    }
    let document = document(&stack).await.body;
    assert_eq!(
        document["paths"]["/v1/health"]["get"]["security"],
        serde_json::json!([{}])
    );
}
