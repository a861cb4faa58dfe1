use std::collections::BTreeSet;

use super::*;

#[test]
fn every_type_is_read_back_from_its_name() {
    for &kind in CommandType::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert!("syncs".parse::<CommandType>().is_err());
}

#[test]
fn arguments_have_distinct_names() {
    // What the ledger writes on every command's row.
    let taken = ["pk", "sk", "type", "origin", "actor", "status", "writer"];
    for &kind in CommandType::ALL {
        let names: BTreeSet<_> = kind.fields().iter().map(|field| field.name).collect();
        let stored: BTreeSet<_> = kind.fields().iter().map(|field| field.attribute).collect();
        assert_eq!(names.len(), kind.fields().len(), "{kind}");
        assert_eq!(stored.len(), kind.fields().len(), "{kind}");
        assert!(taken.iter().all(|name| !stored.contains(name)), "{kind}");
        assert!(
            !names.contains("type") && !names.contains("origin"),
            "{kind}"
        );
    }
}

#[test]
fn paused_commands_are_named_and_anything_else_is_refused() {
    let paused: PausedCommands = "sync,start_analysis".parse().expect("two types");
    assert!(paused.contain(CommandType::Sync) && paused.contain(CommandType::StartAnalysis));
    assert!(!paused.contain(CommandType::DismissFinding));
    assert_eq!("".parse(), Ok(PausedCommands::default()));
    assert!("sync, start_analysis".parse::<PausedCommands>().is_err());
}
