//! The simulator's verdict on a finding. Pure and deterministic: depends on the finding's fields and the mode only,
//! reads no code.
//!
//! In mode `auto`, with the risk from [`Finding::risk`]:
//!
//! | scope | risk | patched | exploitability | action | confidence |
//! | --- | --- | --- | --- | --- | --- |
//! | development | slight, moderate | either | not exploitable | dismiss | high |
//! | development | severe | yes | not exploitable | open a pull request | medium |
//! | development | severe | no | not exploitable | monitor | medium |
//! | runtime | severe | yes | exploitable | open a pull request | high |
//! | runtime | severe | no | unknown | manual review | medium |
//! | runtime | moderate | yes | exploitable | open a pull request | medium |
//! | runtime | slight | yes | not exploitable | monitor | medium |
//! | runtime | moderate, slight | no | unknown | manual review | low |
//!
//! An unknown scope counts as runtime, with one step less confidence. `deep` has one step more confidence.
//! `shallow` only triages: it keeps `not exploitable` with high confidence and turns everything else into unknown
//! and manual review, with one step less confidence, without usage and without a fix.

use serde::{Deserialize, Serialize};

use crate::finding::{Finding, Risk, Scope};

/// The depth of an analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    Auto,
    Shallow,
    Deep,
}

impl Mode {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "auto" => Some(Self::Auto),
            "shallow" => Some(Self::Shallow),
            "deep" => Some(Self::Deep),
            _ => None,
        }
    }
}

/// Whether the vulnerability can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exploitability {
    Exploitable,
    NotExploitable,
    Unknown,
}

/// The suggested action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Dismiss,
    OpenPr,
    ManualReview,
    Monitor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Confidence {
    Low,
    Medium,
    High,
}

impl Confidence {
    const fn one_more(self) -> Self {
        match self {
            Self::Low => Self::Medium,
            Self::Medium | Self::High => Self::High,
        }
    }

    const fn one_less(self) -> Self {
        match self {
            Self::High => Self::Medium,
            Self::Medium | Self::Low => Self::Low,
        }
    }
}

/// The result of an analysis, as in the callback's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    pub(crate) exploitability: Exploitability,
    pub(crate) reasoning: String,
    pub(crate) usage_locations: Vec<String>,
    pub(crate) suggested_fix: Option<String>,
    pub(crate) suggested_action: Action,
    pub(crate) confidence: Confidence,
    pub(crate) summary: String,
}

impl Verdict {
    pub(crate) fn of(finding: &Finding, mode: Mode) -> Self {
        let (exploitability, action, confidence) = decide(finding, mode);
        let looked_for_usage = mode != Mode::Shallow;
        let used = looked_for_usage && exploitability != Exploitability::NotExploitable;
        let fixed = looked_for_usage && action != Action::Dismiss;
        Self {
            exploitability,
            reasoning: reasoning(finding, mode),
            usage_locations: finding
                .manifest_path
                .iter()
                .filter(|_| used)
                .cloned()
                .collect(),
            suggested_fix: finding
                .patched_version
                .as_ref()
                .filter(|_| fixed)
                .map(|version| format!("Simulated: upgrade {} to {version}.", package(finding))),
            suggested_action: action,
            confidence,
            summary: summary(finding, exploitability),
        }
    }
}

type Decision = (Exploitability, Action, Confidence);

fn decide(finding: &Finding, mode: Mode) -> Decision {
    let (exploitability, action, confidence) = in_auto_mode(finding);
    match mode {
        Mode::Auto => (exploitability, action, confidence),
        Mode::Deep => (exploitability, action, confidence.one_more()),
        Mode::Shallow => match (exploitability, confidence) {
            (Exploitability::NotExploitable, Confidence::High) => {
                (exploitability, action, confidence.one_less())
            }
            _ => (
                Exploitability::Unknown,
                Action::ManualReview,
                confidence.one_less(),
            ),
        },
    }
}

fn in_auto_mode(finding: &Finding) -> Decision {
    use Action::{Dismiss, ManualReview, Monitor, OpenPr};
    use Confidence::{High, Low, Medium};
    use Exploitability::{Exploitable, NotExploitable, Unknown};

    let is_patched = finding.patched_version.is_some();
    let (exploitability, action, confidence) = match (finding.scope, finding.risk(), is_patched) {
        (Scope::Development, Risk::Slight | Risk::Moderate, _) => (NotExploitable, Dismiss, High),
        (Scope::Development, Risk::Severe, true) => (NotExploitable, OpenPr, Medium),
        (Scope::Development, Risk::Severe, false) => (NotExploitable, Monitor, Medium),
        (_, Risk::Severe, true) => (Exploitable, OpenPr, High),
        (_, Risk::Severe, false) => (Unknown, ManualReview, Medium),
        (_, Risk::Moderate, true) => (Exploitable, OpenPr, Medium),
        (_, Risk::Slight, true) => (NotExploitable, Monitor, Medium),
        (_, Risk::Slight | Risk::Moderate, false) => (Unknown, ManualReview, Low),
    };
    match finding.scope {
        Scope::Unknown => (exploitability, action, confidence.one_less()),
        Scope::Development | Scope::Runtime => (exploitability, action, confidence),
    }
}

fn package(finding: &Finding) -> &str {
    finding.package.as_deref().unwrap_or("the package")
}

fn reasoning(finding: &Finding, mode: Mode) -> String {
    let scope = match finding.scope {
        Scope::Development => "needed for development only",
        Scope::Runtime => "needed at run time",
        Scope::Unknown => "needed for an unknown purpose",
    };
    let risk = match finding.risk() {
        Risk::Severe => "severe",
        Risk::Moderate => "moderate",
        Risk::Slight => "slight",
    };
    let score = finding.score.map_or_else(
        || "no CVSS score".to_owned(),
        |score| format!("CVSS {score:.1}"),
    );
    let severity = finding.severity.as_deref().unwrap_or("unknown");
    let access = if finding.needs_local_access {
        ", local access needed"
    } else {
        ""
    };
    let patch = match &finding.patched_version {
        Some(version) => format!("{version} is the first version without it"),
        None => "no version is without it".to_owned(),
    };
    let depth = match mode {
        Mode::Auto => "An automatic analysis",
        Mode::Shallow => "Triage only",
        Mode::Deep => "A deep analysis",
    };
    format!(
        "Simulated: {} is {scope}. The risk is {risk} (severity {severity}, {score}{access}) and {patch}. \
         {depth} was asked for; no code was read.",
        package(finding)
    )
}

fn summary(finding: &Finding, exploitability: Exploitability) -> String {
    let title = finding.title.as_deref().unwrap_or("The vulnerability");
    let verdict = match exploitability {
        Exploitability::Exploitable => "exploitable",
        Exploitability::NotExploitable => "not exploitable",
        Exploitability::Unknown => "perhaps exploitable",
    };
    format!("Simulated: {title} ({}) is {verdict}.", package(finding))
}

#[cfg(test)]
mod tests;
