//! Replaces `Ref`, `Fn::GetAtt` and `Fn::Sub` by their values in the local stack.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::parameters::{Declaration, text};
use super::{Place, RawResource, TemplateError};

/// Knows every name that a template may refer to.
pub(super) struct Resolver<'a> {
    pub(super) parameters: &'a BTreeMap<String, String>,
    pub(super) declared: &'a BTreeMap<String, Declaration>,
    pub(super) resources: &'a BTreeMap<String, RawResource>,
    pub(super) place: &'a Place,
}

impl Resolver<'_> {
    /// Replaces every reference in the value.
    pub(super) fn resolve(&self, value: &Value) -> Result<Value, TemplateError> {
        match value {
            Value::Array(items) => items.iter().map(|item| self.resolve(item)).collect(),
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
                Some(_) | None => map
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), self.resolve(value)?)))
                    .collect::<Result<Map<_, _>, _>>()
                    .map(Value::Object),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(value.clone()),
        }
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
        map.iter()
            .map(|(name, value)| Ok((name.clone(), text(&self.resolve(value)?))))
            .collect()
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
