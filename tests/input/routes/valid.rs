//! Valid ids, parameters, headers and bodies, and words that the service knows.

use domain::command::CommandType;
use serde_json::{Value, json};

use crate::scene::{
    CALLER, FIXED, GONE, OPEN, PENDING, RUNNING, SESSION, STRANGERS, command_id, finding_id, user,
};

/// Words with a meaning somewhere.
pub(crate) const WORDS: [&str; 25] = [
    "me",
    "user:auth0|5f7c",
    "user:auth0|elsewhere",
    "dependabot-7-1",
    "dependabot-7-2",
    "dependabot-7-9",
    "dependabot-7-0",
    "dependabot-18446744073709551615-4294967295",
    "01932b3a-5c00-7000-8000-000000000001",
    "01932b3a-5c00-7000-8000-000000000050",
    "octo/app",
    "OCTO/APP",
    "octo/none",
    "sync",
    "start_analysis",
    "reopen_finding",
    "auto_dismiss",
    "fix_started",
    "open",
    "critical",
    "all",
    "selected",
    "completed",
    "ses-2",
    "active",
];

/// Ids that fit this path.
pub(crate) fn ids(path: &str) -> Vec<String> {
    let commands = [0, 2, 4, 9, 10, 50, 99].map(|place| command_id(place).to_string());
    let findings = [OPEN, RUNNING, PENDING, FIXED, STRANGERS, 77];
    let findings = findings.map(|number| finding_id(number).to_string());
    match path {
        path if path.contains("/findings/") => findings.to_vec(),
        path if path.contains("/commands/") => commands.to_vec(),
        _ => [&findings[..], &commands].concat(),
    }
}

/// Accepted values of a query parameter.
pub(crate) fn query(name: &str) -> Vec<String> {
    let command = |place| command_id(place).to_string();
    let ids = [command(0), format!("{},{}", command(1), command(50))];
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    match name {
        "limit" => texts(&["1", "2", "100"]),
        "state" => texts(&["active"]),
        "confirm" => vec![user(CALLER).to_string(), user(GONE).to_string()],
        "status" => texts(&["open", "fixed"]),
        "severity" => texts(&["high", "low"]),
        "repository" => texts(&["octo/app", "octo/none"]),
        "analysis" => texts(&["none", "running"]),
        "ids" => ids.to_vec(),
        _ => texts(&["1"]),
    }
}

/// Accepted values of a header.
pub(crate) fn header(name: &str) -> Vec<String> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    match name.to_ascii_lowercase().as_str() {
        "if-match" => texts(&["1", "\"1\"", "*"]),
        "if-none-match" => texts(&["*", "\"0\"", "W/\"0\""]),
        "idempotency-key" => texts(&["a", "b"]),
        _ => texts(&["1"]),
    }
}

/// Accepted bodies of an operation.
pub(crate) fn bodies(operation: &str) -> Vec<Value> {
    let (open, running) = (finding_id(OPEN), finding_id(RUNNING));
    match operation {
        "admitCommand" => vec![
            json!({"type": "sync"}),
            json!({"type": "sync", "repository": "octo/app", "origin": "dashboard_refresh"}),
            json!({"type": "dismiss_finding", "findingId": open, "reason": "not_used", "comment": "c".repeat(280)}),
            json!({"type": "reopen_finding", "findingId": open}),
            json!({"type": "start_analysis", "findingId": running, "model": "m", "triageModel": "t",
                "analysisModel": "a", "forceSandbox": true, "restartActive": true}),
        ],
        "writeConfig" => vec![
            json!({}),
            json!({"enabled": true, "autoSync": true, "autoAnalysis": {"enabled": true}}),
            json!({"enabled": true, "repositorySelection": "selected", "selectedRepositoryIds": [7, 8],
                "autoSync": false, "analysisMode": "deep", "triageModel": "t", "analysisModel": "a",
                "autoAnalysis": {"enabled": false, "minSeverity": "medium", "includeExisting": true},
                "autoDismiss": {"enabled": true, "minConfidence": "high"},
                "slaDays": {"critical": 1, "high": 365, "medium": 45, "low": 90}, "version": 1}),
        ],
        "callBack" => vec![
            json!({"cloudAgentSessionId": SESSION, "status": "interrupted", "result": null, "error": null}),
            json!({"cloudAgentSessionId": SESSION, "status": "failed", "result": null,
                "error": {"code": "SANDBOX_LOST", "message": "for nobody"}}),
            json!({"cloudAgentSessionId": SESSION, "status": "completed", "error": null, "result": {
                "exploitability": "not_exploitable", "reasoning": "It is not called.",
                "usageLocations": [{"path": "src/a.js", "line": 1}, "src/b.js"], "suggestedFix": "Upgrade.",
                "suggestedAction": "dismiss", "confidence": "high", "summary": "Not used."}}),
        ],
        _ => Vec::new(),
    }
}

#[test]
fn every_command_type_has_an_accepted_body() {
    let bodies = bodies("admitCommand");
    for kind in CommandType::ALL {
        let has_one = bodies.iter().any(|body| body["type"] == kind.as_str());
        assert!(has_one, "no body of {kind}");
    }
}
