//! Replaces `Ref`, `Fn::GetAtt`, `Fn::Sub` and `Fn::If` by their values in the local stack.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::conditions::Conditions;
use super::parameters::{Declaration, text};
use super::{Place, RawResource, TemplateError};

/// Knows every name that a template may refer to.
pub(super) struct Resolver<'a> {
    pub(super) parameters: &'a BTreeMap<String, String>,
    pub(super) declared: &'a BTreeMap<String, Declaration>,
    /// The resources whose condition holds.
    pub(super) resources: &'a BTreeMap<&'a str, &'a RawResource>,
    pub(super) conditions: &'a Conditions,
    pub(super) place: &'a Place,
}

impl Resolver<'_> {
    /// Replaces every reference in the value. Returns `None` for `AWS::NoValue`, whose property is absent.
    pub(super) fn resolve(&self, value: &Value) -> Result<Option<Value>, TemplateError> {
        match value {
            Value::Object(map) => match only_entry(map) {
                Some(("Ref", Value::String(name))) if name == "AWS::NoValue" => Ok(None),
                Some(("Fn::If", Value::Array(branches))) => match branches.as_slice() {
                    [Value::String(condition), then, otherwise] => {
                        let holds = self.conditions.get(condition.as_str());
                        let holds = holds.ok_or_else(|| unresolved(condition))?;
                        self.resolve(if *holds { then } else { otherwise })
                    }
                    _ => Err(unresolved(&value.to_string())),
                },
                Some(_) | None => self.present(value).map(Some),
            },
            Value::Array(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_) => self.present(value).map(Some),
        }
    }

    /// Replaces every reference in a value that is neither `Fn::If` nor `AWS::NoValue`.
    fn present(&self, value: &Value) -> Result<Value, TemplateError> {
        match value {
            Value::Array(items) => items
                .iter()
                .filter_map(|item| self.resolve(item).transpose())
                .collect(),
            Value::Object(map) => match only_entry(map) {
                Some(("Ref", Value::String(name))) => self.value(name),
                Some(("Fn::GetAtt", Value::Array(path))) => match path.as_slice() {
                    [Value::String(resource), Value::String(attribute)] => {
                        self.attribute(resource, attribute).map(Value::String)
                    }
                    _ => Err(unresolved(&value.to_string())),
                },
                Some(("Fn::Sub", Value::String(pattern))) => {
                    self.substitute(pattern).map(Value::String)
                }
                Some((function, _)) if function.starts_with("Fn::") => {
                    Err(unresolved(&value.to_string()))
                }
                Some(_) | None => self.members(map).map(Value::Object),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(value.clone()),
        }
    }

    /// Replaces every reference in the values of a map, without those that are absent.
    pub(super) fn members<'b>(
        &self,
        map: impl IntoIterator<Item = (&'b String, &'b Value)>,
    ) -> Result<Map<String, Value>, TemplateError> {
        let members = map.into_iter().filter_map(|(key, value)| {
            let value = self.resolve(value).transpose()?;
            Some(value.map(|value| (key.clone(), value)))
        });
        members.collect()
    }

    fn value(&self, name: &str) -> Result<Value, TemplateError> {
        let text = self.reference(name)?;
        Ok(match self.declared.get(name) {
            Some(declaration) => declaration.value(&text),
            None => Value::String(text),
        })
    }

    fn reference(&self, name: &str) -> Result<String, TemplateError> {
        if let Some(value) = self.parameters.get(name) {
            return Ok(value.clone());
        }
        if let Some(resource) = self.resources.get(name) {
            return Ok(match resource.r#type.as_str() {
                "AWS::SQS::Queue" => self.place.queue_url(name),
                _ => self.physical_name(name, resource),
            });
        }
        match name {
            "AWS::Region" => Ok(self.place.region.clone()),
            "AWS::AccountId" => Ok(self.place.account.clone()),
            "AWS::Partition" => Ok("aws".to_owned()),
            "AWS::URLSuffix" => Ok("amazonaws.com".to_owned()),
            "AWS::StackName" => Ok("local".to_owned()),
            _ => Err(unresolved(name)),
        }
    }

    fn attribute(&self, name: &str, attribute: &str) -> Result<String, TemplateError> {
        let resource = self
            .resources
            .get(name)
            .ok_or_else(|| unresolved(&format!("{name}.{attribute}")))?;
        let physical = self.physical_name(name, resource);
        match (resource.r#type.as_str(), attribute) {
            ("AWS::SQS::Queue", "Arn") => Ok(self.place.arn("sqs", &physical)),
            ("AWS::SQS::Queue", "QueueName") => Ok(physical),
            ("AWS::DynamoDB::Table", "Arn") => {
                Ok(self.place.arn("dynamodb", &format!("table/{physical}")))
            }
            ("AWS::Serverless::HttpApi", "ApiEndpoint") => Ok(self.place.api.clone()),
            ("AWS::Serverless::Function", "Arn") => {
                Ok(self.place.arn("lambda", &format!("function:{physical}")))
            }
            ("AWS::Logs::LogGroup", "Arn") => {
                Ok(self.place.arn("logs", &format!("log-group:{physical}:*")))
            }
            ("AWS::IAM::Role", "Arn") => Ok(self.place.arn("iam", &format!("role/{physical}"))),
            _ => Err(unresolved(&format!("{name}.{attribute}"))),
        }
    }

    fn physical_name(&self, name: &str, resource: &RawResource) -> String {
        match resource.r#type.as_str() {
            "AWS::Serverless::Function" => resource
                .properties
                .get("CodeUri")
                .and_then(|uri| uri.as_str()?.rsplit('/').next())
                .unwrap_or(name)
                .to_owned(),
            _ => name.to_owned(),
        }
    }

    /// Replaces `${Name}`, `${Resource.Attribute}` and `${!literal}` in a text.
    fn substitute(&self, pattern: &str) -> Result<String, TemplateError> {
        let mut result = String::with_capacity(pattern.len());
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or_else(|| unresolved(pattern))?;
            result.push_str(before);
            match (name.strip_prefix('!'), name.split_once('.')) {
                (Some(literal), _) => result.push_str(&format!("${{{literal}}}")),
                (None, Some((resource, attribute))) => {
                    result.push_str(&self.attribute(resource, attribute)?);
                }
                (None, None) => result.push_str(&self.reference(name)?),
            }
            rest = after;
        }
        result.push_str(rest);
        Ok(result)
    }

    /// Converts a map of scalars to environment variables.
    pub(super) fn texts(
        &self,
        map: &BTreeMap<String, Value>,
    ) -> Result<BTreeMap<String, String>, TemplateError> {
        let members = self.members(map)?.into_iter();
        Ok(members.map(|(name, value)| (name, text(&value))).collect())
    }
}

fn only_entry(map: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (key, value) = map.iter().next()?;
    (map.len() == 1).then_some((key.as_str(), value))
}

fn unresolved(reference: &str) -> TemplateError {
    TemplateError::Unresolved {
        reference: reference.to_owned(),
    }
}
