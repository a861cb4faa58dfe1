//! What is alarmed, and what is written about it.

use std::collections::BTreeSet;

use crate::{resources, text};

#[test]
fn the_runbook_tells_of_each_alarm_and_of_no_other() {
    let alarms: BTreeSet<_> = resources("AWS::CloudWatch::Alarm")
        .into_keys()
        .map(|id| id.strip_suffix("Alarm").expect("it is named so").to_owned())
        .collect();
    assert!(alarms.len() > 20, "{alarms:?}");
    let runbook = text("docs/operating/runbook.md");
    let told: BTreeSet<_> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(str::to_owned)
        .collect();
    assert_eq!(told, alarms);
}
