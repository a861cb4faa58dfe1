use super::*;

const MODES: [Mode; 3] = [Mode::Auto, Mode::Shallow, Mode::Deep];

fn finding(scope: Scope, severity: &str, patched: Option<&str>) -> Finding {
    Finding {
        id: "1-2".to_owned(),
        title: Some("Prototype pollution".to_owned()),
        package: Some("lodash".to_owned()),
        scope,
        severity: Some(severity.to_owned()),
        score: None,
        needs_local_access: false,
        patched_version: patched.map(str::to_owned),
        manifest_path: Some("web/package-lock.json".to_owned()),
    }
}

fn every_finding() -> Vec<Finding> {
    let mut findings = Vec::new();
    for scope in [Scope::Development, Scope::Runtime, Scope::Unknown] {
        for severity in ["critical", "high", "medium", "low", "new"] {
            for patched in [Some("4.17.21"), None] {
                findings.push(finding(scope, severity, patched));
            }
        }
    }
    findings
}

fn every_verdict() -> Vec<(Finding, Mode, Verdict)> {
    let pairs = every_finding()
        .into_iter()
        .flat_map(|finding| MODES.map(|mode| (finding.clone(), mode)));
    pairs
        .map(|(finding, mode)| {
            let verdict = Verdict::of(&finding, mode);
            (finding, mode, verdict)
        })
        .collect()
}

#[test]
fn auto_mode_follows_the_table() {
    use Action::{Dismiss, ManualReview, Monitor, OpenPr};
    use Confidence::{High, Low, Medium};
    use Exploitability::{Exploitable, NotExploitable, Unknown};
    use Scope::{Development, Runtime};

    let patch = Some("4.17.21");
    for (finding, decision) in [
        (
            finding(Development, "low", patch),
            (NotExploitable, Dismiss, High),
        ),
        (
            finding(Development, "medium", None),
            (NotExploitable, Dismiss, High),
        ),
        (
            finding(Development, "high", patch),
            (NotExploitable, OpenPr, Medium),
        ),
        (
            finding(Development, "critical", None),
            (NotExploitable, Monitor, Medium),
        ),
        (
            finding(Runtime, "critical", patch),
            (Exploitable, OpenPr, High),
        ),
        (
            finding(Runtime, "high", None),
            (Unknown, ManualReview, Medium),
        ),
        (
            finding(Runtime, "medium", patch),
            (Exploitable, OpenPr, Medium),
        ),
        (
            finding(Runtime, "low", patch),
            (NotExploitable, Monitor, Medium),
        ),
        (
            finding(Runtime, "medium", None),
            (Unknown, ManualReview, Low),
        ),
        (finding(Runtime, "low", None), (Unknown, ManualReview, Low)),
        (
            finding(Scope::Unknown, "high", patch),
            (Exploitable, OpenPr, Medium),
        ),
    ] {
        assert_eq!(decide(&finding, Mode::Auto), decision, "{finding:?}");
    }
}

#[test]
fn every_value_of_the_contract_occurs() {
    let verdicts = every_verdict();
    let reached =
        |check: &dyn Fn(&Verdict) -> bool| verdicts.iter().any(|(_, _, verdict)| check(verdict));
    for action in [
        Action::Dismiss,
        Action::OpenPr,
        Action::ManualReview,
        Action::Monitor,
    ] {
        assert!(
            reached(&|verdict| verdict.suggested_action == action),
            "{action:?}"
        );
    }
    for exploitability in [
        Exploitability::Exploitable,
        Exploitability::NotExploitable,
        Exploitability::Unknown,
    ] {
        assert!(
            reached(&|verdict| verdict.exploitability == exploitability),
            "{exploitability:?}"
        );
    }
    for confidence in [Confidence::Low, Confidence::Medium, Confidence::High] {
        assert!(
            reached(&|verdict| verdict.confidence == confidence),
            "{confidence:?}"
        );
    }
}

#[test]
fn the_same_finding_gets_the_same_verdict() {
    assert_eq!(every_verdict(), every_verdict());
}

#[test]
fn triage_decides_less_and_deep_is_never_less_confident() {
    for finding in every_finding() {
        let [auto, shallow, deep] = MODES.map(|mode| Verdict::of(&finding, mode));
        assert!(shallow.confidence < auto.confidence || auto.confidence == Confidence::Low);
        assert!(shallow.confidence < Confidence::High);
        assert_ne!(shallow.exploitability, Exploitability::Exploitable);
        assert_eq!(
            (shallow.usage_locations, shallow.suggested_fix),
            (Vec::new(), None)
        );
        assert!(deep.confidence >= auto.confidence);
        assert_eq!(deep.exploitability, auto.exploitability);
        assert_eq!(deep.suggested_action, auto.suggested_action);
    }
}

#[test]
fn fix_and_exploitability_fit_the_suggested_action() {
    for (finding, _, verdict) in every_verdict() {
        if verdict.suggested_action == Action::OpenPr {
            assert!(verdict.suggested_fix.is_some(), "{finding:?}");
        }
        if verdict.suggested_action == Action::Dismiss {
            assert_eq!(verdict.exploitability, Exploitability::NotExploitable);
            assert_eq!(verdict.suggested_fix, None);
        }
        let texts = [
            Some(&verdict.reasoning),
            Some(&verdict.summary),
            verdict.suggested_fix.as_ref(),
        ];
        for text in texts.into_iter().flatten() {
            assert!(text.starts_with("Simulated: "), "{text}");
        }
    }
}

#[test]
fn a_verdict_is_serialized_as_the_contract_says() {
    let finding = finding(Scope::Runtime, "critical", Some("4.17.21"));
    let written = serde_json::to_value(Verdict::of(&finding, Mode::Auto)).expect("JSON");
    assert_eq!(
        written,
        serde_json::json!({
            "exploitability": "exploitable",
            "reasoning": "Simulated: lodash is needed at run time. The risk is severe (severity critical, no CVSS \
                score) and 4.17.21 is the first version without it. An automatic analysis was asked for; no code \
                was read.",
            "usageLocations": ["web/package-lock.json"],
            "suggestedFix": "Simulated: upgrade lodash to 4.17.21.",
            "suggestedAction": "open_pr",
            "confidence": "high",
            "summary": "Simulated: Prototype pollution (lodash) is exploitable.",
        })
    );
}
