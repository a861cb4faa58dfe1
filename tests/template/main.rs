//! What `template.yaml` must always say. The tests read the file and start each function, and need nothing else.

mod alarms;
mod building;
mod deploying;
mod environment;
mod loops;
mod pausing;
mod permissions;
mod preflight;
mod queues;
mod roles;
mod routes;
mod storage;
mod timeouts;
mod words;

use std::{collections::BTreeMap, path::Path, sync::LazyLock};

use local::template::{Place, Template, Topology};
use serde_json::Value;

static TEMPLATE: LazyLock<Template> =
    LazyLock::new(|| Template::parse(&text("template.yaml")).expect("it is a template"));

static PLACE: LazyLock<Place> =
    LazyLock::new(|| Place::local("http://127.0.0.1:1", "http://127.0.0.1:3"));

/// The topology that the local stack runs.
static TOPOLOGY: LazyLock<Topology> = LazyLock::new(|| {
    let parameters = TEMPLATE.parameters(&BTreeMap::new());
    let parameters = parameters.expect("every parameter has a value");
    TEMPLATE.topology(&parameters, &PLACE).expect("it is whole")
});

/// Reads a file of the workspace.
fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The resources of a type by logical id, unresolved.
fn resources(of: &str) -> BTreeMap<&'static str, &'static Value> {
    let resources = TEMPLATE.document()["Resources"].as_object();
    let found: BTreeMap<_, _> = resources
        .expect("a map")
        .iter()
        .filter(|(_, resource)| resource["Type"] == of)
        .map(|(id, resource)| (id.as_str(), resource))
        .collect();
    assert!(!found.is_empty(), "there is no {of}");
    found
}

/// The functions' properties by logical id, unresolved.
fn functions() -> BTreeMap<&'static str, &'static Value> {
    let functions = resources("AWS::Serverless::Function").into_iter();
    functions
        .map(|(id, function)| (id, &function["Properties"]))
        .collect()
}

/// The logical id in `!Ref Id` or `!GetAtt Id.Arn`.
fn named(reference: &Value) -> &str {
    let id = match reference.get("Fn::GetAtt") {
        Some(path) if path[1] == "Arn" => &path[0],
        Some(_) | None => &reference["Ref"],
    };
    id.as_str()
        .unwrap_or_else(|| panic!("{reference} names no resource"))
}
