//! The template's parameters: their rules, their defaults and what overrides them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::TemplateError;

/// A parameter as the template declares it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Declaration {
    r#type: String,
    default: Option<Value>,
    min_value: Option<f64>,
    max_value: Option<f64>,
    allowed_values: Option<Vec<Value>>,
}

/// The value of every parameter: the overrides over the defaults.
pub(super) fn values(
    declared: &BTreeMap<String, Declaration>,
    overrides: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, TemplateError> {
    if let Some(name) = overrides.keys().find(|name| !declared.contains_key(*name)) {
        let known = declared.keys().map(String::as_str).collect::<Vec<_>>();
        return Err(TemplateError::UnknownParameter {
            name: name.clone(),
            known: known.join(", "),
        });
    }
    declared
        .iter()
        .map(|(name, declaration)| {
            let value = match (overrides.get(name), &declaration.default) {
                (Some(value), _) => value.clone(),
                (None, Some(default)) => text(default),
                (None, None) => return Err(declaration.refused(name, "", "it has no default")),
            };
            declaration.check(name, &value)?;
            Ok((name.clone(), value))
        })
        .collect()
}

impl Declaration {
    fn check(&self, name: &str, value: &str) -> Result<(), TemplateError> {
        if self.r#type == "Number" {
            let Ok(number) = value.parse::<f64>() else {
                return Err(self.refused(name, value, "it must be a number"));
            };
            if let Some(least) = self.min_value.filter(|least| number < *least) {
                return Err(self.refused(name, value, &format!("it must be at least {least}")));
            }
            if let Some(most) = self.max_value.filter(|most| number > *most) {
                return Err(self.refused(name, value, &format!("it must be at most {most}")));
            }
        }
        match &self.allowed_values {
            Some(allowed) if !allowed.iter().any(|one| text(one) == value) => {
                let allowed = allowed.iter().map(text).collect::<Vec<_>>().join(", ");
                Err(self.refused(name, value, &format!("it must be one of {allowed}")))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn refused(&self, name: &str, value: &str, rule: &str) -> TemplateError {
        TemplateError::ParameterValue {
            name: name.to_owned(),
            value: value.to_owned(),
            rule: rule.to_owned(),
        }
    }
}

/// A scalar as CloudFormation passes it on: as text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
