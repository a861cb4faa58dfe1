//! What cannot be generated from the list of command types, and has to name each of them all the same.

use domain::{command::CommandType, lifecycle::Terminal, result_code::ResultCode};
use store::audit::AuditAction;

use crate::text;

#[test]
fn the_dashboard_has_words_for_every_command_type_and_every_success() {
    let words = text("functions/dashboard/web/words.js");
    let mut missing = Vec::new();
    for kind in CommandType::ALL {
        for needed in [format!("case \"{kind}\":"), format!("  {kind}: \"")] {
            if !words.contains(&needed) {
                missing.push(needed);
            }
        }
    }
    let successes = ResultCode::ALL
        .iter()
        .filter(|code| code.terminal() == Terminal::Succeeded);
    for code in successes {
        if !words.contains(&format!("  {code}: \"")) {
            missing.push(code.to_string());
        }
    }
    assert!(missing.is_empty(), "words.js lacks {missing:?}");
}

#[test]
fn the_api_document_and_the_operators_pages_name_every_command_type() {
    for page in [
        "docs/openapi.json",
        "docs/operating/runbook.md",
        "docs/operating/tracing.md",
    ] {
        let written = text(page);
        for kind in CommandType::ALL {
            assert!(written.contains(kind.as_str()), "{page} lacks {kind}");
        }
    }
}

/// What each event has is compared wherever the oracle judges.
#[test]
fn the_audit_page_lists_every_action_and_no_other() {
    let documented = tests::oracle::documented_audit();
    let documented: Vec<&str> = documented.into_keys().collect();
    let mut actions: Vec<&str> = AuditAction::ALL
        .iter()
        .map(|action| action.as_str())
        .collect();
    actions.sort_unstable();
    assert_eq!(documented, actions, "docs/operating/audit.md");
}
