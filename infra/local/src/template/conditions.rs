//! Which of the template's conditions hold for these parameters.

use std::collections::BTreeMap;

use serde_json::Value;

use super::TemplateError;
use super::parameters::text;

/// Every condition of the template by name.
pub(super) type Conditions = BTreeMap<String, bool>;

/// Evaluates the conditions, which may refer to parameters and to each other.
pub(super) fn evaluate(
    declared: &BTreeMap<String, Value>,
    parameters: &BTreeMap<String, String>,
) -> Result<Conditions, TemplateError> {
    let evaluation = Evaluation {
        declared,
        parameters,
    };
    let results = declared.iter().map(|(name, condition)| {
        let holds = evaluation.holds(condition, declared.len())?;
        Ok((name.clone(), holds))
    });
    results.collect()
}

struct Evaluation<'a> {
    declared: &'a BTreeMap<String, Value>,
    parameters: &'a BTreeMap<String, String>,
}

impl Evaluation<'_> {
    /// `depth` bounds how many names are followed: more than there are conditions is a cycle.
    fn holds(&self, condition: &Value, depth: usize) -> Result<bool, TemplateError> {
        let unresolved = || TemplateError::Unresolved {
            reference: condition.to_string(),
        };
        let (function, argument) = condition
            .as_object()
            .filter(|map| map.len() == 1)
            .and_then(|map| map.iter().next())
            .ok_or_else(unresolved)?;
        let arguments = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        match (function.as_str(), arguments) {
            ("Fn::Equals", [left, right]) => Ok(self.text(left)? == self.text(right)?),
            ("Fn::Not", [one]) => Ok(!self.holds(one, depth)?),
            ("Fn::And", [_, _, ..]) => self.all(arguments, true, depth),
            ("Fn::Or", [_, _, ..]) => Ok(!self.all(arguments, false, depth)?),
            // `!Condition x` is read as `Fn::Condition`; its long form is `Condition`.
            ("Condition" | "Fn::Condition", []) => {
                let named = argument.as_str().and_then(|name| self.declared.get(name));
                let depth = depth.checked_sub(1).ok_or_else(unresolved)?;
                self.holds(named.ok_or_else(unresolved)?, depth)
            }
            _ => Err(unresolved()),
        }
    }

    fn all(&self, conditions: &[Value], same: bool, depth: usize) -> Result<bool, TemplateError> {
        for condition in conditions {
            if self.holds(condition, depth)? != same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn text(&self, value: &Value) -> Result<String, TemplateError> {
        match value {
            Value::Object(_) | Value::Array(_) => value
                .get("Ref")
                .and_then(|name| self.parameters.get(name.as_str()?))
                .cloned()
                .ok_or_else(|| TemplateError::Unresolved {
                    reference: value.to_string(),
                }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(text(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn evaluated(conditions: Value) -> Result<Conditions, TemplateError> {
        let declared = serde_json::from_value(conditions).expect("a map");
        let parameters = [("Chosen".to_owned(), "yes".to_owned())];
        evaluate(&declared, &parameters.into())
    }

    #[test]
    fn conditions_combine_parameters_and_other_conditions() {
        let chosen = json!({"Fn::Equals": [{"Ref": "Chosen"}, "yes"]});
        let not = |name: &str| json!({"Fn::Not": [{"Condition": name}]});
        let held = evaluated(json!({
            "A": chosen,
            "B": not("A"),
            "Both": {"Fn::And": [{"Fn::Condition": "A"}, {"Condition": "B"}]},
            "Either": {"Fn::Or": [{"Condition": "B"}, {"Condition": "A"}]},
            "Neither": {"Fn::Or": [{"Condition": "B"}, {"Condition": "B"}]},
        }))
        .expect("all are supported");
        let held: Vec<_> = held.into_iter().filter(|(_, holds)| *holds).collect();
        assert_eq!(held, [("A".to_owned(), true), ("Either".to_owned(), true)]);
    }

    #[test]
    fn an_unknown_name_or_a_cycle_is_an_error() {
        for condition in [
            json!({"Fn::Equals": [{"Ref": "Unknown"}, ""]}),
            json!({"Condition": "Unknown"}),
            json!({"Condition": "A"}),
            json!({"Fn::Contains": [["a"], "a"]}),
        ] {
            assert!(evaluated(json!({"A": condition})).is_err(), "{condition}");
        }
    }
}
