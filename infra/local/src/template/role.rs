//! Roles: which actions a function may perform on which resources.
//!
//! Reads inline policies of plain `Allow` statements and nothing else. With a condition, a managed policy or a
//! policy variable the local decision could differ from AWS's, so each of them is an error.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TemplateError;

/// An action on a resource, as a call needs it or as a role grants it. In a grant, `*` stands for any text and `?`
/// for any character.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Permission {
    /// For example `dynamodb:PutItem`.
    pub action: String,
    /// The resource's ARN.
    pub resource: String,
}

/// The permissions of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its logical id, which is also its name.
    pub name: String,
    /// Each action of each statement, on each of the statement's resources.
    pub grants: BTreeSet<Permission>,
}

impl Role {
    /// Reports whether one of the grants covers the needed permission.
    pub fn allows(&self, needed: &Permission) -> bool {
        self.grants.iter().any(|grant| grant.covers(needed))
    }
}

impl Permission {
    /// Reports whether this grant covers the needed permission. IAM ignores case in actions, but not in resources.
    pub fn covers(&self, needed: &Self) -> bool {
        let (granted, action) = (
            self.action.to_ascii_lowercase(),
            needed.action.to_ascii_lowercase(),
        );
        matches(granted.as_bytes(), action.as_bytes())
            && matches(self.resource.as_bytes(), needed.resource.as_bytes())
    }
}

/// Reports whether the text matches the pattern. As in IAM, a `*` at the end of a segment also matches colons, any
/// other `*` does not:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html>.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => {
            let ends_segment = matches!(rest, [] | [b':', ..]);
            let reach = match text.iter().position(|byte| *byte == b':') {
                Some(colon) if !ends_segment => colon,
                Some(_) | None => text.len(),
            };
            (0..=reach).any(|taken| matches(rest, &text[taken..]))
        }
        [b'?', rest @ ..] => {
            matches!(text, [byte, left @ ..] if *byte != b':' && matches(rest, left))
        }
        [exact, rest @ ..] => {
            matches!(text, [byte, left @ ..] if byte == exact && matches(rest, left))
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Properties {
    /// The trust policy is not needed: each function's `Role` names its role.
    #[serde(rename = "AssumeRolePolicyDocument")]
    _trust: Value,
    policies: Vec<Policy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Policy {
    #[serde(rename = "PolicyName")]
    _name: String,
    policy_document: Document,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Document {
    #[serde(rename = "Version")]
    _version: Version,
    statement: OneOrMany<Statement>,
}

/// The only version of the policy language with policy variables.
#[derive(Deserialize)]
enum Version {
    #[serde(rename = "2012-10-17")]
    Current,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    #[serde(default, rename = "Sid")]
    _sid: Option<String>,
    #[serde(rename = "Effect")]
    _effect: Effect,
    action: OneOrMany<String>,
    resource: OneOrMany<String>,
}

#[derive(Deserialize)]
enum Effect {
    Allow,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// Reads the resolved properties of an `AWS::IAM::Role`.
pub(super) fn read(id: &str, properties: Value) -> Result<Role, TemplateError> {
    let Properties { policies, .. } = super::shaped(id, properties)?;
    let mut grants = BTreeSet::new();
    let documents = policies.iter().map(|policy| &policy.policy_document);
    for statement in documents.flat_map(|document| document.statement.as_slice()) {
        for action in statement.action.as_slice() {
            for resource in statement.resource.as_slice() {
                if [action, resource]
                    .into_iter()
                    .any(|text| text.contains("${"))
                {
                    return Err(TemplateError::Unsupported {
                        place: id.to_owned(),
                        reason: format!(
                            "the local stack does not support policy variables, as in {resource}"
                        ),
                    });
                }
                grants.insert(Permission {
                    action: action.clone(),
                    resource: resource.clone(),
                });
            }
        }
    }
    Ok(Role {
        name: id.to_owned(),
        grants,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn permission(action: &str, resource: &str) -> Permission {
        Permission {
            action: action.to_owned(),
            resource: resource.to_owned(),
        }
    }

    fn role(statement: &Value) -> Result<Role, TemplateError> {
        let document = json!({"Version": "2012-10-17", "Statement": statement});
        let policies = json!([{"PolicyName": "p", "PolicyDocument": document}]);
        read(
            "R",
            json!({"AssumeRolePolicyDocument": {}, "Policies": policies}),
        )
    }

    #[test]
    fn a_role_grants_each_action_on_each_resource_of_a_statement() {
        let role = role(&json!([
            {"Effect": "Allow", "Action": ["s:A", "s:B"], "Resource": ["x", "y"]},
            {"Sid": "One", "Effect": "Allow", "Action": "s:C", "Resource": "z"},
        ]))
        .expect("the policy is supported");
        let all = [
            ("s:A", "x"),
            ("s:A", "y"),
            ("s:B", "x"),
            ("s:B", "y"),
            ("s:C", "z"),
        ];
        let all = all.map(|(action, resource)| permission(action, resource));
        assert_eq!(role.grants, BTreeSet::from(all.clone()));
        assert!(all.iter().all(|needed| role.allows(needed)));
        assert!(!role.allows(&permission("s:C", "x")));
    }

    #[test]
    fn an_unsupported_policy_is_an_error() {
        let allow = json!({"Effect": "Allow", "Action": "s:A", "Resource": "x"});
        role(&allow).expect("a single statement is supported");
        for (field, value) in [
            ("Effect", json!("Deny")),
            ("Condition", json!({"Bool": {"aws:SecureTransport": true}})),
            ("NotAction", json!("s:B")),
            ("NotResource", json!("y")),
            ("Principal", json!("*")),
            ("Action", json!({"Fn::Split": []})),
            ("Resource", json!("arn:aws:s3:::${aws:username}")),
        ] {
            let mut statement = allow.clone();
            statement[field] = value;
            assert!(role(&json!([statement])).is_err(), "{field}");
        }
        let managed =
            json!({"AssumeRolePolicyDocument": {}, "Policies": [], "ManagedPolicyArns": ["a"]});
        assert!(read("R", managed).is_err());
    }

    #[test]
    fn wildcards_reach_as_far_as_they_do_in_iam() {
        for (pattern, text, reaches) in [
            ("*", "a:b:c", true),
            ("a:*", "a:b:c", true),
            ("a:*:c", "a:b:c", true),
            ("a:*:d", "a:b:c:d", true),
            ("a:*x", "a:b:x", false),
            ("table/T", "table/T", true),
            ("table/T", "table/T/index/due", false),
            ("table/T/index/*", "table/T/index/due", true),
            ("table/T/index/*", "table/T", false),
            ("t*e/T", "table/T", true),
            ("tabl?/T", "table/T", true),
            ("a?b", "a:b", false),
            ("a?", "a", false),
            ("**", "", true),
            ("A", "a", false),
        ] {
            let grant = permission("s:*Item", pattern);
            let needed = permission("S:getitem", text);
            assert_eq!(grant.covers(&needed), reaches, "{pattern} {text}");
        }
    }
}
