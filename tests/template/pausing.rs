//! `docs/operating/pause.sh` against an `aws` that records its calls.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

use crate::TEMPLATE;

/// Answers as CloudFormation: `status`, `parameters` and `calls` are files beside it.
const AWS: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
printf '%s\n' "$*" >> calls
case $* in
  *"describe-stacks --stack-name security-agent"*StackStatus*) cat status ;;
  *"describe-stacks --stack-name security-agent"*) cat parameters ;;
  *update-stack*)
    while [ "$1" != --parameters ]; do shift; done
    printf '%s' "$2" > changes ;;
esac
"#;

/// A stack with the template's parameters, and the script that changes it.
struct Rehearsal(PathBuf);

impl Rehearsal {
    fn of(status: &str, paused: &str) -> Self {
        let folder = format!("pausing-{status}-{paused}");
        let stack = Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder));
        // What an earlier run left, if anything.
        let _ = fs::remove_dir_all(&stack.0);
        fs::create_dir_all(&stack.0).expect("it is ours");
        fs::write(stack.file("aws"), AWS).expect("it is ours");
        let runnable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(stack.file("aws"), runnable).expect("it is ours");
        fs::write(stack.file("status"), status).expect("it is ours");
        let declared = TEMPLATE.document()["Parameters"].as_object();
        let lines = declared.expect("a map").keys().map(|name| {
            let value = if name == "PausedCommands" {
                paused
            } else {
                "x"
            };
            format!("{name}\t{value}\n")
        });
        fs::write(stack.file("parameters"), lines.collect::<String>()).expect("it is ours");
        stack
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn run(&self, wanted: &[&str]) -> Output {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating/pause.sh");
        let path = format!("{}:/usr/bin:/bin", self.0.display());
        let mut command = Command::new("sh");
        command.arg(script).arg("security-agent").args(wanted);
        let output = command.env("PATH", path).output();
        output.expect("there is a shell")
    }

    /// The calls that change something.
    fn updates(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.file("calls")).unwrap_or_default();
        let updates = calls.lines().filter(|call| !call.contains(" describe-"));
        updates.map(str::to_owned).collect()
    }
}

#[test]
fn pausing_changes_one_parameter_and_neither_template_nor_code() {
    let stack = Rehearsal::of("UPDATE_COMPLETE", "");
    for (wanted, value) in [
        ("sync,dismiss_finding", "sync,dismiss_finding"),
        ("start_analysis", "start_analysis"),
    ] {
        let done = stack.run(&[wanted]);
        assert!(done.status.success(), "{done:?}");
        let changes = fs::read_to_string(stack.file("changes")).expect("it was asked");
        let changes: Vec<Value> = serde_json::from_str(&changes).expect("it is JSON");
        let changes: BTreeMap<_, _> = changes
            .iter()
            .map(|change| (change["ParameterKey"].as_str().expect("a text"), change))
            .collect();
        let declared = TEMPLATE.document()["Parameters"].as_object();
        let declared: Vec<_> = declared.expect("a map").keys().collect();
        assert_eq!(changes.keys().collect::<Vec<_>>(), declared);
        for (name, change) in changes {
            if name == "PausedCommands" {
                assert_eq!(change["ParameterValue"], value);
            } else {
                assert_eq!(change["UsePreviousValue"], true, "{name}");
                assert_eq!(change.get("ParameterValue"), None, "{name}");
            }
        }
    }
    let updates = stack.updates();
    let [update, wait, ..] = &updates[..] else {
        panic!("{updates:?}");
    };
    assert!(update.contains("update-stack --stack-name security-agent --use-previous-template "));
    assert!(update.contains("--capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND"));
    assert_eq!(
        wait,
        "cloudformation wait stack-update-complete --stack-name security-agent"
    );
}

#[test]
fn resuming_empties_the_parameter() {
    let stack = Rehearsal::of("UPDATE_ROLLBACK_COMPLETE", "sync");
    assert!(stack.run(&["none"]).status.success());
    let changes = fs::read_to_string(stack.file("changes")).expect("it was asked");
    let emptied = r#"{"ParameterKey":"PausedCommands","ParameterValue":""}"#;
    assert!(changes.contains(emptied), "{changes}");
}

#[test]
fn a_stack_that_is_being_changed_is_not_paused() {
    for status in [
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "ROLLBACK_COMPLETE",
    ] {
        let stack = Rehearsal::of(status, "sync");
        let refused = stack.run(&["sync,start_analysis"]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(status) && said.contains("(sync)"), "{said}");
        assert_eq!(stack.updates(), [""; 0]);
    }
}

#[test]
fn what_is_paused_already_is_shown_and_not_changed() {
    let stack = Rehearsal::of("UPDATE_IN_PROGRESS", "dismiss_finding");
    for wanted in [&[][..], &["dismiss_finding"]] {
        let shown = stack.run(wanted);
        assert_eq!(shown.stdout, b"paused: dismiss_finding\n", "{shown:?}");
        assert_eq!(stack.updates(), [""; 0]);
    }
    let wrong = stack.run(&["sync", "start_analysis"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}
