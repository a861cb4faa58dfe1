//! CloudWatch's embedded metric format: JSON lines that CloudWatch turns into metrics. The specification is
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Combined, Definition, Dimension, Metric, NAMESPACE};
use domain::Timestamp;

/// The most values of one metric in a document, by the specification.
pub(super) const MOST_VALUES: usize = 100;

/// What was recorded, by dimensions and name.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<Vec<Dimension>, BTreeMap<&'static str, Recorded>>);

#[derive(Debug)]
struct Recorded {
    definition: Definition,
    values: Vec<u64>,
}

impl Tally {
    pub(super) fn add(&mut self, metric: Metric) {
        let (definition, value) = (metric.definition(), metric.value());
        let alike = self.0.entry(metric.dimensions()).or_default();
        let recorded = alike.entry(definition.name).or_insert(Recorded {
            definition,
            values: Vec::new(),
        });
        match (recorded.values.first_mut(), definition.combined) {
            (Some(sum), Combined::Sum) => *sum = sum.saturating_add(value),
            (Some(least), Combined::Least) => *least = value.min(*least),
            (Some(most), Combined::Most) => *most = value.max(*most),
            (_, Combined::Each) | (None, _) => recorded.values.push(value),
        }
    }

    /// One document per set of dimensions, or several if there are too many values. One line each.
    pub(super) fn lines(self, stack: &str, now: Timestamp) -> String {
        let mut lines = String::new();
        for (dimensions, mut alike) in self.0 {
            while !alike.is_empty() {
                lines.push_str(&document(stack, &dimensions, &mut alike, now).to_string());
                lines.push('\n');
            }
        }
        lines
    }
}

/// A document of metrics with these dimensions. Removes the values that it contains from `alike`.
fn document(
    stack: &str,
    dimensions: &[Dimension],
    alike: &mut BTreeMap<&'static str, Recorded>,
    now: Timestamp,
) -> Value {
    let mut names = vec!["Stack"];
    let mut members = Map::from_iter([("Stack".to_owned(), stack.into())]);
    for (name, value) in dimensions {
        names.push(name);
        members.insert((*name).to_owned(), (*value).into());
    }
    let mut definitions = Vec::new();
    alike.retain(|name, recorded| {
        let rest = recorded.values.len().min(MOST_VALUES);
        let rest = recorded.values.split_off(rest);
        let values = std::mem::replace(&mut recorded.values, rest);
        let value = match values[..] {
            [value] => value.into(),
            _ => values.into(),
        };
        members.insert((*name).to_owned(), value);
        definitions.push(json!({"Name": name, "Unit": format!("{:?}", recorded.definition.unit)}));
        !recorded.values.is_empty()
    });
    members.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": now.as_millis(),
            "CloudWatchMetrics": [
                {"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": definitions},
            ],
        }),
    );
    Value::Object(members)
}
