//! Which permissions a call needs. Sources: AWS's Service Authorization Reference,
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html>, and for transactions
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html>.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::call::{Call, Service};
use crate::template::{Permission, Place};

/// Returns all permissions that a call needs. Fails if the body does not name the call's resource.
pub(super) fn needs(call: &Call, place: &Place) -> serde_json::Result<BTreeSet<Permission>> {
    match call.service {
        Service::Dynamodb => of_dynamodb(call, place),
        Service::Sqs => of_sqs(call, place),
        Service::SecretsManager => of_secrets_manager(call),
    }
}

/// The members that DynamoDB requests share.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    table_name: Option<String>,
    index_name: Option<String>,
    #[serde(default)]
    request_items: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    transact_items: Vec<TransactItem>,
}

#[derive(Deserialize)]
enum TransactItem {
    ConditionCheck(On),
    Delete(On),
    Get(On),
    Put(On),
    Update(On),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct On {
    table_name: String,
}

fn of_dynamodb(call: &Call, place: &Place) -> serde_json::Result<BTreeSet<Permission>> {
    let request: Request = serde_json::from_slice(&call.body)?;
    let permission = |action: &str, resource: String| Permission {
        action: format!("dynamodb:{action}"),
        resource,
    };
    let table = |name: &str| place.arn("dynamodb", &format!("table/{name}"));
    let of_items = request.transact_items.iter().map(|item| {
        let (action, on) = match item {
            TransactItem::ConditionCheck(on) => ("ConditionCheckItem", on),
            TransactItem::Delete(on) => ("DeleteItem", on),
            TransactItem::Get(on) => ("GetItem", on),
            TransactItem::Put(on) => ("PutItem", on),
            TransactItem::Update(on) => ("UpdateItem", on),
        };
        permission(action, table(&on.table_name))
    });
    let of_tables = request
        .request_items
        .keys()
        .map(|name| permission(&call.operation, table(name)));
    let mut needed: BTreeSet<_> = of_items.chain(of_tables).collect();
    if needed.is_empty() {
        let resource = match (&request.table_name, &request.index_name) {
            (Some(name), Some(index)) => format!("{}/index/{index}", table(name)),
            (Some(name), None) => table(name),
            (None, _) => "*".to_owned(),
        };
        needed.insert(permission(&call.operation, resource));
    }
    Ok(needed)
}

fn of_sqs(call: &Call, place: &Place) -> serde_json::Result<BTreeSet<Permission>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Request {
        queue_url: Option<String>,
    }
    let request: Request = serde_json::from_slice(&call.body)?;
    let name = request.queue_url.as_deref();
    let name = name.and_then(|url| url.rsplit('/').next());
    // SQS has no batch actions: a batch needs the permission of the single operation.
    let operation = call.operation.as_str();
    let operation = operation.strip_suffix("Batch").unwrap_or(operation);
    Ok(BTreeSet::from([Permission {
        action: format!("sqs:{operation}"),
        resource: name.map_or_else(|| "*".to_owned(), |name| place.arn("sqs", name)),
    }]))
}

fn of_secrets_manager(call: &Call) -> serde_json::Result<BTreeSet<Permission>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Request {
        secret_id: Option<String>,
    }
    let request: Request = serde_json::from_slice(&call.body)?;
    Ok(BTreeSet::from([Permission {
        action: format!("secretsmanager:{}", call.operation),
        resource: request.secret_id.unwrap_or_else(|| "*".to_owned()),
    }]))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn needed(target: &str, body: &Value) -> Vec<(String, String)> {
        let place = Place::local("http://127.0.0.1:1", "http://127.0.0.1:3");
        let request = http::Request::builder().header("x-amz-target", target);
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let call = Call::read(parts, body.to_string().into()).expect("a known service");
        needs(&call, &place)
            .expect("the call names its resource")
            .into_iter()
            .map(|needed| (needed.action, needed.resource))
            .collect()
    }

    fn of_dynamodb(operation: &str, body: &Value) -> Vec<(String, String)> {
        needed(&format!("DynamoDB_20120810.{operation}"), body)
    }

    fn on(action: &str, resource: &str) -> (String, String) {
        (action.to_owned(), resource.to_owned())
    }

    const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/T";

    #[test]
    fn a_single_call_needs_its_action_on_the_table_or_on_the_index() {
        let get = of_dynamodb("GetItem", &json!({"TableName": "T", "Key": {}}));
        assert_eq!(get, [on("dynamodb:GetItem", TABLE)]);
        let query = of_dynamodb("Query", &json!({"TableName": "T", "IndexName": "due"}));
        let index = format!("{TABLE}/index/due");
        assert_eq!(query, [on("dynamodb:Query", &index)]);
        let list = of_dynamodb("ListTables", &json!({}));
        assert_eq!(list, [on("dynamodb:ListTables", "*")]);
    }

    #[test]
    fn a_batch_needs_its_own_action_on_each_table() {
        let batch = json!({"RequestItems": {"T": [], "U": []}});
        let expected = [
            on("dynamodb:BatchWriteItem", TABLE),
            on(
                "dynamodb:BatchWriteItem",
                "arn:aws:dynamodb:us-east-1:000000000000:table/U",
            ),
        ];
        assert_eq!(of_dynamodb("BatchWriteItem", &batch), expected);
    }

    #[test]
    fn a_transaction_needs_the_action_of_each_of_its_items() {
        let item = |kind: &str| json!({kind: {"TableName": "T", "Key": {}}});
        let writes: Vec<Value> = ["Put", "Update", "Delete", "ConditionCheck", "Put"]
            .into_iter()
            .map(item)
            .collect();
        let expected = ["ConditionCheckItem", "DeleteItem", "PutItem", "UpdateItem"]
            .map(|action| on(&format!("dynamodb:{action}"), TABLE));
        let writes = json!({ "TransactItems": writes });
        assert_eq!(of_dynamodb("TransactWriteItems", &writes), expected);
        let reads = json!({"TransactItems": [item("Get")]});
        let expected = [on("dynamodb:GetItem", TABLE)];
        assert_eq!(of_dynamodb("TransactGetItems", &reads), expected);
    }

    #[test]
    fn a_batch_of_messages_needs_what_one_message_needs() {
        let url = json!({"QueueUrl": "http://127.0.0.1:9/1/Q"});
        for operation in ["SendMessage", "SendMessageBatch"] {
            let needed = needed(&format!("AmazonSQS.{operation}"), &url);
            assert_eq!(
                needed,
                [on(
                    "sqs:SendMessage",
                    "arn:aws:sqs:us-east-1:000000000000:Q"
                )]
            );
        }
        let hidden = needed("AmazonSQS.ChangeMessageVisibilityBatch", &url);
        let expected = on(
            "sqs:ChangeMessageVisibility",
            "arn:aws:sqs:us-east-1:000000000000:Q",
        );
        assert_eq!(hidden, [expected]);
    }

    #[test]
    fn a_secret_is_named_by_its_arn() {
        let read = needed(
            "secretsmanager.GetSecretValue",
            &json!({"SecretId": "arn:s"}),
        );
        assert_eq!(read, [on("secretsmanager:GetSecretValue", "arn:s")]);
    }

    #[test]
    fn a_transaction_with_an_unknown_item_kind_is_an_error() {
        let request = http::Request::builder()
            .header("x-amz-target", "DynamoDB_20120810.TransactWriteItems")
            .body(())
            .expect("a request");
        let body = br#"{"TransactItems":[{"Merge":{"TableName":"T"}}]}"#;
        let call = Call::read(request.into_parts().0, body.as_slice().into()).expect("known");
        let place = Place::local("http://127.0.0.1:1", "http://127.0.0.1:3");
        assert!(needs(&call, &place).is_err());
    }
}
