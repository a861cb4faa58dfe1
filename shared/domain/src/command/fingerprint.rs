//! The fingerprint of a request: whether two requests with the same idempotency key are the same.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::command::{Action, Origin, Value};

/// The version of the hashed text. A change of the text rejects honest retries across a deployment as reused keys, and
/// needs a new version.
const VERSION: &str = "request/1\n";

#[derive(Serialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Set(bool),
}

/// Returns the fingerprint of a request: equal for equal requests. It does not contain arguments that are left out, so
/// a later version may add some, nor the actor, because the key belongs to the owner.
pub fn fingerprint(action: &Action, origin: Origin) -> String {
    let arguments: BTreeMap<&str, Written> = action
        .values()
        .into_iter()
        .map(|(name, value)| match value {
            Value::Text(text) => (name, Written::Text(text)),
            Value::Set => (name, Written::Set(true)),
        })
        .collect();
    let request = (action.type_name(), origin.as_str(), arguments);
    let text = serde_json::to_string(&request).expect("texts and flags always serialise");
    super::hex(&Sha256::digest(format!("{VERSION}{text}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{CommandType, DismissFinding, ReopenFinding, StartAnalysis, SyncFindings};

    fn of(action: &Action) -> String {
        let whole = fingerprint(action, Origin::Manual);
        whole[..16].to_owned()
    }

    /// The fingerprints of an earlier deployment. Lines may be added; existing ones change only with the version.
    #[test]
    fn a_request_keeps_its_fingerprint_across_deployments() {
        let finding = "dependabot-7-42".parse().expect("an id");
        let dismissal = |comment: Option<&str>| DismissFinding {
            finding,
            reason: crate::finding::DismissReason::NotUsed,
            comment: comment.map(|text| text.parse().expect("a comment")),
        };
        let one = SyncFindings {
            repository: Some("octo/app".parse().expect("a name")),
        };
        let whole = StartAnalysis {
            model: Some("m".parse().expect("a name")),
            triage_model: Some("t".parse().expect("a name")),
            analysis_model: Some("a".parse().expect("a name")),
            force_sandbox: true,
            restart_active: true,
            finding,
        };
        let actions: [Action; 7] = [
            SyncFindings::all().into(),
            one.into(),
            dismissal(None).into(),
            dismissal(Some("Only in a test.")).into(),
            StartAnalysis::of(finding).into(),
            whole.into(),
            ReopenFinding { finding }.into(),
        ];
        assert_eq!(actions.each_ref().map(of), EARLIER);
        for kind in CommandType::ALL {
            let pinned = actions.iter().any(|action| action.command_type() == *kind);
            assert!(pinned, "no fingerprint of {kind} is pinned");
        }
    }

    const EARLIER: [&str; 7] = [
        "dad192a8f6eb2db6",
        "b3f3fa2f80387c45",
        "78538c387d3c70e0",
        "2bfe3bd6c3b0c45a",
        "bb8be9c1416cd1a2",
        "65599c93ad722685",
        "c5f5aa145bb6e6b5",
    ];

    #[test]
    fn the_origin_is_part_of_a_request() {
        let all = Action::from(SyncFindings::all());
        assert_ne!(
            fingerprint(&all, Origin::Manual),
            fingerprint(&all, Origin::DashboardRefresh)
        );
    }
}
