//! What a save changes, for its audit events: before and after, under the API's names, and nothing that stays the same.

use std::collections::BTreeSet;

use domain::{finding::RepositoryId, settings::Settings};
use serde_json::{Map, Value, json};

/// The most ids of repositories that an event lists on each side. A selection may have a thousand.
const MOST_IDS: usize = 20;

/// The fields that differ, and their values.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Difference {
    pub(super) before: Map<String, Value>,
    pub(super) after: Map<String, Value>,
}

impl Difference {
    /// Compares two configurations.
    pub(super) fn between(before: &Settings, after: &Settings) -> Self {
        let ids = (
            &before.selected_repository_ids,
            &after.selected_repository_ids,
        );
        let [mut before, mut after] = [before, after].map(fields);
        for side in [&mut before, &mut after] {
            side.remove(SELECTED);
        }
        let mut difference = Self::of(before, after);
        if ids.0 != ids.1 {
            let summary = |name: &str, all: &BTreeSet<RepositoryId>, other| {
                let only: Vec<_> = all.difference(other).take(MOST_IDS).collect();
                json!({"count": all.len(), name: only})
            };
            let before = summary("removed", ids.0, ids.1);
            let after = summary("added", ids.1, ids.0);
            difference.put(SELECTED.to_owned(), before, after);
        }
        difference
    }

    /// Takes one field out.
    pub(super) fn take(&mut self, name: &str) -> Option<Self> {
        let (name, before) = self.before.remove_entry(name)?;
        let after = self.after.remove(&name)?;
        let mut taken = Self::default();
        taken.put(name, before, after);
        Some(taken)
    }

    /// Whether nothing differs.
    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty()
    }

    fn of(before: Map<String, Value>, mut after: Map<String, Value>) -> Self {
        let mut difference = Self::default();
        for (name, before) in before {
            match (before, after.remove(&name).unwrap_or_default()) {
                (before, after) if before == after => {}
                (Value::Object(before), Value::Object(after)) => {
                    let nested = Self::of(before, after);
                    difference.put(name, nested.before.into(), nested.after.into());
                }
                (before, after) => difference.put(name, before, after),
            }
        }
        difference
    }

    fn put(&mut self, name: String, before: Value, after: Value) {
        self.before.insert(name.clone(), before);
        self.after.insert(name, after);
    }
}

const SELECTED: &str = "selectedRepositoryIds";

/// A configuration's fields as the API shows them.
fn fields(settings: &Settings) -> Map<String, Value> {
    match json!(settings) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use domain::settings::{AutoDismiss, RepositorySelection};

    use super::*;

    fn selecting(ids: impl IntoIterator<Item = u64>) -> Settings {
        Settings {
            selected_repository_ids: ids.into_iter().map(RepositoryId::new).collect(),
            ..Settings::default()
        }
    }

    #[test]
    fn only_what_differs_is_in_a_difference() {
        let before = Settings::default();
        assert!(Difference::between(&before, &before).is_empty());
        let mut after = Settings {
            repository_selection: RepositorySelection::Selected,
            auto_dismiss: AutoDismiss {
                enabled: true,
                ..AutoDismiss::default()
            },
            triage_model: "small".to_owned(),
            ..selecting([7])
        };
        after.sla_days.low = 80;
        let difference = Difference::between(&before, &after);
        assert_eq!(
            json!([difference.before, difference.after]),
            json!([
                {
                    "repositorySelection": "all", "selectedRepositoryIds": {"count": 0, "removed": []},
                    "triageModel": "auto", "autoDismiss": {"enabled": false}, "slaDays": {"low": 90},
                },
                {
                    "repositorySelection": "selected", "selectedRepositoryIds": {"count": 1, "added": [7]},
                    "triageModel": "small", "autoDismiss": {"enabled": true}, "slaDays": {"low": 80},
                },
            ])
        );
    }

    #[test]
    fn a_difference_is_bounded_whatever_the_selection() {
        let difference = Difference::between(&selecting(0..1000), &selecting(500..1500));
        let sides = [
            (difference.before, "removed", 0),
            (difference.after, "added", 1000),
        ];
        for (side, name, first) in sides {
            let ids: Vec<u64> = (first..).take(MOST_IDS).collect();
            let expected = json!({"count": 1000, name: ids});
            assert_eq!(json!(side), json!({"selectedRepositoryIds": expected}));
        }
        // Every field, as long as it may be.
        let longest = |text: &str, ids: std::ops::Range<u64>| Settings {
            triage_model: text.repeat(128),
            analysis_model: text.repeat(128),
            ..selecting(ids.map(|id| u64::MAX - id))
        };
        let difference = Difference::between(
            &longest("\u{1f980}", 0..1000),
            &longest("\u{1f99e}", 1000..2000),
        );
        let bytes = json!([difference.before, difference.after])
            .to_string()
            .len();
        assert!(bytes < 4096, "{bytes} bytes");
    }
}
