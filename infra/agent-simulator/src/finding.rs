//! The fields that the simulator reads of a finding. Only the id is required; other fields may be missing, and new
//! ones are ignored.

use serde_json::Value;
use simulation::{FieldError, Fields};

/// What the package is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Development,
    Runtime,
    Unknown,
}

/// How much harm the vulnerability could do if it is reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Risk {
    Slight,
    Moderate,
    Severe,
}

impl Risk {
    fn of_severity(word: &str) -> Option<Self> {
        match word {
            "critical" | "high" => Some(Self::Severe),
            "medium" => Some(Self::Moderate),
            "low" => Some(Self::Slight),
            _ => None,
        }
    }

    fn of_score(score: f64) -> Self {
        if score >= 7.0 {
            Self::Severe
        } else if score >= 4.0 {
            Self::Moderate
        } else {
            Self::Slight
        }
    }

    fn one_less(self) -> Self {
        match self {
            Self::Severe => Self::Moderate,
            Self::Moderate | Self::Slight => Self::Slight,
        }
    }
}

/// The part of a finding that a verdict depends on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) id: String,
    pub(crate) title: Option<String>,
    pub(crate) package: Option<String>,
    pub(crate) scope: Scope,
    pub(crate) severity: Option<String>,
    pub(crate) score: Option<f64>,
    /// The attacker needs an account on the machine or physical access to it.
    pub(crate) needs_local_access: bool,
    pub(crate) patched_version: Option<String>,
    pub(crate) manifest_path: Option<String>,
}

impl Finding {
    pub(crate) fn parse(fields: &Fields<'_>) -> Result<Self, FieldError> {
        let id = fields.text("id")?.to_owned();
        let text = |name| text(fields.value(name)?);
        let scope = match text("dependencyScope").as_deref() {
            Some("development") => Scope::Development,
            Some("runtime") => Scope::Runtime,
            _ => Scope::Unknown,
        };
        let vector = text("cvssVector").unwrap_or_default();
        Ok(Self {
            id,
            title: text("title"),
            package: fields
                .value("package")
                .and_then(|package| self::text(package.get("name")?)),
            scope,
            severity: text("severity"),
            score: fields.value("cvssScore").and_then(Value::as_f64),
            needs_local_access: vector
                .split('/')
                .any(|metric| metric == "AV:L" || metric == "AV:P"),
            patched_version: text("patchedVersion"),
            manifest_path: text("manifestPath"),
        })
    }

    /// The higher of severity and CVSS score, one step lower if the attack does not come over the network. Moderate
    /// if neither is known.
    pub(crate) fn risk(&self) -> Risk {
        let by_severity = self.severity.as_deref().and_then(Risk::of_severity);
        let by_score = self.score.map(Risk::of_score);
        let risk = by_severity.max(by_score).unwrap_or(Risk::Moderate);
        if self.needs_local_access {
            risk.one_less()
        } else {
            risk
        }
    }
}

fn text(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| !text.is_empty())?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn finding(value: &Value) -> Finding {
        Finding::parse(&Fields::of(value).expect("an object")).expect("a finding")
    }

    #[test]
    fn only_the_id_is_required() {
        let bare = finding(&json!({"id": "1-2", "cvssScore": "high", "package": 7, "new": {}}));
        assert_eq!((bare.scope, bare.risk()), (Scope::Unknown, Risk::Moderate));
        assert_eq!((bare.package, bare.score), (None, None));

        for (value, pointer) in [(json!({}), "/id"), (json!({"id": ""}), "/id")] {
            let fields = Fields::of(&value).expect("an object");
            let error = Finding::parse(&fields).expect_err("no id");
            assert_eq!(error.pointer, pointer);
        }
    }

    #[test]
    fn risk_is_the_worse_of_severity_and_score_less_if_local() {
        for (value, risk) in [
            (json!({"severity": "critical"}), Risk::Severe),
            (json!({"severity": "high", "cvssScore": 3.1}), Risk::Severe),
            (json!({"severity": "low", "cvssScore": 7.0}), Risk::Severe),
            (json!({"severity": "medium"}), Risk::Moderate),
            (json!({"cvssScore": 4.0}), Risk::Moderate),
            (json!({"severity": "low", "cvssScore": 3.9}), Risk::Slight),
            (
                json!({"severity": "high", "cvssVector": "CVSS:3.1/AV:L/AC:L"}),
                Risk::Moderate,
            ),
            (
                json!({"severity": "high", "cvssVector": "CVSS:3.1/AV:N/AC:L"}),
                Risk::Severe,
            ),
            (
                json!({"severity": "low", "cvssVector": "CVSS:4.0/AV:P"}),
                Risk::Slight,
            ),
        ] {
            let mut value = value;
            value["id"] = json!("1-2");
            assert_eq!(finding(&value).risk(), risk, "{value}");
        }
    }
}
