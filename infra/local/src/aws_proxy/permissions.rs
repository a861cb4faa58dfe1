//! Enforces the roles of the template: a function may do what its role grants. Records which permissions each
//! function uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use tracing::{error, warn};

use super::call::{Call, Service};
use super::needs::needs;
use crate::template::{Permission, Place, Role, Topology};

/// Each function's role, and the permissions it has used.
#[derive(Debug)]
pub struct Permissions {
    place: Place,
    roles: BTreeMap<String, Role>,
    noted: Mutex<BTreeMap<String, Noted>>,
    /// Receives one line of JSON when a permission is first used.
    file: Option<File>,
}

#[derive(Debug, Default)]
struct Noted {
    used: BTreeSet<Permission>,
    refused: BTreeSet<Permission>,
}

/// One function's part of the answer to `GET /local/aws/permissions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FunctionPermissions {
    /// Permissions that its calls needed and its role grants.
    pub used: BTreeSet<Permission>,
    /// Permissions that its role grants and no call has needed yet. Lambda uses some of them itself: it polls
    /// queues and writes logs under the function's role, which the stack does under no role.
    pub unused: BTreeSet<Permission>,
    /// Permissions that its calls needed and its role does not grant.
    pub refused: BTreeSet<Permission>,
}

/// Why a call is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denial {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Permissions {
    /// Enforces the roles of the template's functions and appends used permissions to the file, if there is one.
    pub fn new(topology: &Topology, place: Place, file: Option<File>) -> Self {
        let roles = topology.functions.iter().filter_map(|function| {
            let role = topology.roles.get(&function.role)?;
            Some((function.name.clone(), role.clone()))
        });
        Self {
            place,
            roles: roles.collect(),
            noted: Mutex::default(),
            file,
        }
    }

    /// Each function's used, unused and refused permissions.
    pub fn noted(&self) -> BTreeMap<String, FunctionPermissions> {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        self.roles
            .iter()
            .map(|(function, role)| {
                let (used, refused) = noted.get(function).map_or_else(Default::default, |noted| {
                    (noted.used.clone(), noted.refused.clone())
                });
                let permissions = FunctionPermissions {
                    unused: unused(role, &used),
                    used,
                    refused,
                };
                (function.clone(), permissions)
            })
            .collect()
    }

    /// Allows a call if its function's role grants every permission that it needs.
    pub(super) fn check(&self, call: &Call) -> Result<(), Denial> {
        let known = call
            .function()
            .and_then(|function| Some((function, self.roles.get(function)?)));
        let Some((function, role)) = known else {
            return Err(Denial::unknown_caller(call.service));
        };
        let needed = needs(call, &self.place).map_err(|_| Denial::unreadable())?;
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = noted.entry(function.to_owned()).or_default();
        for permission in needed {
            if !role.allows(&permission) {
                error!(
                    function,
                    role = role.name,
                    action = permission.action,
                    resource = permission.resource,
                    "REFUSED: the function's role in template.yaml does not grant this permission"
                );
                let denial = self.denied(call.service, function, role, &permission);
                noted.refused.insert(permission);
                return Err(denial);
            }
            if !noted.used.contains(&permission) {
                self.keep(function, &permission);
                noted.used.insert(permission);
            }
        }
        Ok(())
    }

    /// Appends with a single write, so that lines of several stacks do not interleave.
    fn keep(&self, function: &str, permission: &Permission) {
        let Some(mut file) = self.file.as_ref() else {
            return;
        };
        let Permission { action, resource } = permission;
        let line = json!({"function": function, "action": action, "resource": resource});
        if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
            warn!("cannot record a used permission: {error}");
        }
    }

    fn denied(
        &self,
        service: Service,
        function: &str,
        role: &Role,
        Permission { action, resource }: &Permission,
    ) -> Denial {
        let (status, code) = match service {
            Service::Sqs => (StatusCode::FORBIDDEN, "AccessDenied"),
            Service::Dynamodb | Service::SecretsManager => {
                (StatusCode::BAD_REQUEST, "AccessDeniedException")
            }
        };
        let (account, role) = (&self.place.account, &role.name);
        Denial {
            status,
            code,
            message: format!(
                "User: arn:aws:sts::{account}:assumed-role/{role}/{function} is not authorized to perform: {action} on \
                 resource: {resource} because no identity-based policy allows the {action} action"
            ),
        }
    }
}

impl Denial {
    fn unknown_caller(service: Service) -> Self {
        let (status, code) = match service {
            Service::Sqs => (StatusCode::FORBIDDEN, "InvalidClientTokenId"),
            Service::Dynamodb | Service::SecretsManager => {
                (StatusCode::BAD_REQUEST, "UnrecognizedClientException")
            }
        };
        Self {
            status,
            code,
            message: "The security token included in the request is invalid.".to_owned(),
        }
    }

    fn unreadable() -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: "SerializationException",
            message: "The request does not name its resource.".to_owned(),
        }
    }
}

/// The grants of a role that no used permission needed.
pub fn unused(role: &Role, used: &BTreeSet<Permission>) -> BTreeSet<Permission> {
    let covers_none = |grant: &&Permission| !used.iter().any(|used| grant.covers(used));
    role.grants.iter().filter(covers_none).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    const TEMPLATE: &str = include_str!("../../tests/probe/template.yaml");

    fn permissions(file: Option<File>) -> Permissions {
        let place = Place::local("http://127.0.0.1:1", "http://127.0.0.1:3");
        let template = Template::parse(TEMPLATE).expect("the template is valid YAML");
        let parameters = template.parameters(&BTreeMap::new()).expect("defaults");
        let topology = template
            .topology(&parameters, &place)
            .expect("the template resolves");
        Permissions::new(&topology, place, file)
    }

    fn call(target: &str, access_key: &str, body: &'static str) -> Call {
        let credential =
            format!("AWS4-HMAC-SHA256 Credential={access_key}/20261124/r/s/aws4_request");
        let request = http::Request::builder()
            .header("x-amz-target", target)
            .header("authorization", credential);
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        Call::read(parts, body.into()).expect("a known service")
    }

    const QUERY: &str = r#"{"TableName":"Table"}"#;

    #[test]
    fn only_functions_of_the_stack_may_call() {
        let permissions = permissions(None);
        for (access_key, code) in [
            ("probe-1", None),
            ("stranger-1", Some("UnrecognizedClientException")),
            ("probe", Some("UnrecognizedClientException")),
        ] {
            let checked = permissions.check(&call("DynamoDB_20120810.Query", access_key, QUERY));
            assert_eq!(
                checked.err().map(|denial| denial.code),
                code,
                "{access_key}"
            );
        }
    }

    #[test]
    fn a_call_that_names_no_resource_is_refused() {
        let call = call("DynamoDB_20120810.Query", "probe-1", "[]");
        let denial = permissions(None)
            .check(&call)
            .expect_err("it names no table");
        assert_eq!(denial.code, "SerializationException");
    }

    #[test]
    fn a_permission_is_recorded_on_first_use() {
        let path = std::env::temp_dir().join(format!("permissions-{}", uuid::Uuid::new_v4()));
        let file = File::create_new(&path).expect("the file can be created");
        let permissions = permissions(Some(file));
        for _ in 0..2 {
            let query = call("DynamoDB_20120810.Query", "probe-1", QUERY);
            assert_eq!(permissions.check(&query), Ok(()));
        }
        let kept = std::fs::read_to_string(&path).expect("the file exists");
        std::fs::remove_file(&path).expect("the file can be removed");
        let resource = "arn:aws:dynamodb:us-east-1:000000000000:table/Table";
        let line = json!({"function": "probe", "action": "dynamodb:Query", "resource": resource});
        assert_eq!(kept, format!("{line}\n"));
    }
}
