//! The template's parameters: their rules, defaults and overrides.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::TemplateError;

/// A parameter's declaration in the template.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Declaration {
    r#type: String,
    default: Option<Value>,
    min_value: Option<f64>,
    max_value: Option<f64>,
    allowed_values: Option<Vec<Value>>,
    allowed_pattern: Option<String>,
    min_length: Option<usize>,
}

/// Values of the parameters without a default, which each AWS account must choose.
const ON_THIS_MACHINE: [(&str, &str); 7] = [
    ("TokenIssuer", "https://issuer.invalid/"),
    ("GithubAppId", "1"),
    (
        "GithubPrivateKeySecretArn",
        "arn:aws:secretsmanager:us-east-1:000000000000:secret:github-private-key",
    ),
    ("AgentUrl", "https://agent.invalid"),
    (
        "AgentTokenSecretArn",
        "arn:aws:secretsmanager:us-east-1:000000000000:secret:agent-token",
    ),
    (
        "CallbackKeysSecretArn",
        "arn:aws:secretsmanager:us-east-1:000000000000:secret:callback-keys",
    ),
    (
        "CursorKeySecretArn",
        "arn:aws:secretsmanager:us-east-1:000000000000:secret:cursor-key",
    ),
];

/// Timeouts that may be shorter here than the template's `MinValue`, so that testing what happens after them does
/// not take minutes.
const SHORTER_HERE: [&str; 2] = ["AcceptedTimeoutSeconds", "RunningTimeoutSeconds"];

/// Returns the value of every parameter: an override, else the stack's own value, else the default.
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
            let here = ON_THIS_MACHINE.iter().find(|(known, _)| known == name);
            let value = match (overrides.get(name), &declaration.default, here) {
                (Some(value), _, _) => value.clone(),
                (None, Some(default), _) => text(default),
                (None, None, Some((_, here))) => (*here).to_owned(),
                (None, None, None) => {
                    return Err(declaration.refused(name, "", "it has no default"));
                }
            };
            declaration.check(name, &value)?;
            Ok((name.clone(), value))
        })
        .collect()
}

/// Returns a warning for each value that is accepted here and that a deployment would refuse.
pub(super) fn warnings(
    declared: &BTreeMap<String, Declaration>,
    values: &BTreeMap<String, String>,
) -> Vec<String> {
    let shorter = SHORTER_HERE.into_iter().filter_map(|name| {
        let least = declared.get(name)?.min_value?;
        let value = values.get(name)?;
        (value.parse::<f64>().ok()? < least).then(|| {
            format!(
                "warning: parameter {name} is {value}, but a deployment takes no less than {least}: commands may fail that a \
                 later redelivery would complete"
            )
        })
    });
    shorter.collect()
}

impl Declaration {
    /// The value of a reference to the parameter.
    pub(super) fn value(&self, text: &str) -> Value {
        match self.r#type.as_str() {
            "Number" => {
                serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
            }
            _ => Value::String(text.to_owned()),
        }
    }

    fn check(&self, name: &str, value: &str) -> Result<(), TemplateError> {
        if self.r#type == "Number" {
            let Ok(number) = value.parse::<f64>() else {
                return Err(self.refused(name, value, "it must be a number"));
            };
            if let Some(least) = self.min_value.filter(|least| number < *least)
                && !(SHORTER_HERE.contains(&name) && number >= 1.0)
            {
                return Err(self.refused(name, value, &format!("it must be at least {least}")));
            }
            if let Some(most) = self.max_value.filter(|most| number > *most) {
                return Err(self.refused(name, value, &format!("it must be at most {most}")));
            }
        }
        if let Some(least) = self
            .min_length
            .filter(|least| value.chars().count() < *least)
        {
            let rule = format!("it must have at least {least} characters");
            return Err(self.refused(name, value, &rule));
        }
        if let Some(pattern) = &self.allowed_pattern {
            // CloudFormation matches the pattern against the whole value.
            let matches = regex_lite::Regex::new(&format!("^(?:{pattern})$"))
                .map_err(|error| self.refused(name, value, &error.to_string()))?;
            if !matches.is_match(value) {
                return Err(self.refused(name, value, &format!("it must match {pattern}")));
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

/// Converts a scalar to text, as CloudFormation passes it on.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
