//! The functions' metrics, read from their output as CloudWatch would.

use serde_json::Value;

use super::Stack;

impl Stack {
    /// The values of a metric so far, from all functions, with exactly these dimensions beside the stack's.
    pub fn measured(&self, name: &str, dimensions: &[(&str, &str)]) -> Vec<u64> {
        let logs = self.logs();
        let documents = logs
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut values = Vec::new();
        for document in documents {
            for directive in document["_aws"]["CloudWatchMetrics"]
                .as_array()
                .into_iter()
                .flatten()
            {
                assert_eq!(directive["Namespace"], "SecurityAgent");
                let metrics = directive["Metrics"].as_array().into_iter().flatten();
                if metrics.into_iter().any(|metric| metric["Name"] == name)
                    && has(&document, directive, dimensions)
                {
                    match &document[name] {
                        Value::Array(several) => {
                            values.extend(several.iter().filter_map(Value::as_u64));
                        }
                        value => values.extend(value.as_u64()),
                    }
                }
            }
        }
        values
    }

    /// The sum of those values.
    pub fn counted(&self, name: &str, dimensions: &[(&str, &str)]) -> u64 {
        self.measured(name, dimensions).iter().sum()
    }
}

fn has(document: &Value, directive: &Value, dimensions: &[(&str, &str)]) -> bool {
    let all = [("Stack", "local")];
    let all = all.iter().chain(dimensions);
    let names: Vec<_> = all.clone().map(|(name, _)| *name).collect();
    directive["Dimensions"] == serde_json::json!([names])
        && all
            .into_iter()
            .all(|(name, value)| document[name] == *value)
}
