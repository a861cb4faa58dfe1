//! The closed sets of words that describe a finding, each with one text for the API and the rows.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::text::words;

/// The severity of a vulnerability. Ordered: `Critical` is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the words explain themselves")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// Its rank, 0 for the most severe: the sort order in keys and the index in counts.
    pub const fn rank(self) -> usize {
        match self {
            Self::Critical => 0,
            Self::High => 1,
            Self::Medium => 2,
            Self::Low => 3,
        }
    }
}

words!(Severity, "a severity", { Critical => "critical", High => "high", Medium => "medium", Low => "low" });

/// The status of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FindingStatus {
    /// Nobody has fixed or dismissed it.
    Open,
    /// The vulnerable version is no longer used.
    Fixed,
    /// Dismissed by a person or a rule.
    Ignored,
    /// GitHub has withdrawn its alert.
    Closed,
}

words!(FindingStatus, "a finding's status", { Open => "open", Fixed => "fixed", Ignored => "ignored", Closed => "closed" });

/// Why a person dismisses a finding, in GitHub's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DismissReason {
    /// A fix is on its way.
    FixStarted,
    /// The alert is wrong.
    Inaccurate,
    /// Nobody has time for it.
    NoBandwidth,
    /// The vulnerable code is not used.
    NotUsed,
    /// The risk is accepted.
    TolerableRisk,
}

words!(DismissReason, "a reason to dismiss", {
    FixStarted => "fix_started",
    Inaccurate => "inaccurate",
    NoBandwidth => "no_bandwidth",
    NotUsed => "not_used",
    TolerableRisk => "tolerable_risk",
});

/// The scope of a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words explain themselves")]
pub enum DependencyScope {
    Development,
    Runtime,
}

words!(DependencyScope, "a dependency scope", { Development => "development", Runtime => "runtime" });

/// Why a finding is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IgnoredReason {
    /// A person dismissed it for this reason.
    Dismissed(DismissReason),
    /// A rule on GitHub dismissed it.
    AutoDismissed,
    /// It was dismissed for a reason that this version does not know.
    Other,
}

impl IgnoredReason {
    /// The word, the same in the API and in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dismissed(reason) => reason.as_str(),
            Self::AutoDismissed => "auto_dismissed",
            Self::Other => "other",
        }
    }

    /// Reads GitHub's reason of a dismissal. GitHub may add reasons at any time.
    pub fn of_dismissal(word: &str) -> Self {
        word.parse().map_or(Self::Other, Self::Dismissed)
    }
}

impl Serialize for IgnoredReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for IgnoredReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "auto_dismissed" => Ok(Self::AutoDismissed),
            "other" => Ok(Self::Other),
            word => word.parse().map(Self::Dismissed).map_err(de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt, str::FromStr};

    use super::*;
    use crate::text::UnknownWord;

    #[test]
    fn severities_are_ordered_and_listed_most_severe_first() {
        assert!(Severity::ALL.is_sorted_by(|worse, better| worse > better));
        assert_eq!(Severity::ALL.len(), 4);
    }

    #[test]
    fn every_word_is_read_back_and_no_other_is() {
        fn round_trip<T>(all: &[T])
        where
            T: Copy
                + fmt::Debug
                + fmt::Display
                + PartialEq
                + FromStr<Err = UnknownWord>
                + Serialize
                + de::DeserializeOwned,
        {
            for word in all {
                assert_eq!(word.to_string().parse(), Ok(*word));
                let json = serde_json::to_value(word).expect("a string");
                assert_eq!(json, word.to_string());
                assert_eq!(serde_json::from_value::<T>(json).ok(), Some(*word));
                assert!(word.to_string().to_uppercase().parse::<T>().is_err());
            }
            assert!("".parse::<T>().is_err());
        }
        round_trip(Severity::ALL);
        round_trip(FindingStatus::ALL);
        round_trip(DismissReason::ALL);
        round_trip(DependencyScope::ALL);
    }

    #[test]
    fn an_unknown_reason_is_stored_as_other() {
        assert_eq!(
            IgnoredReason::of_dismissal("not_used"),
            IgnoredReason::Dismissed(DismissReason::NotUsed)
        );
        assert_eq!(
            IgnoredReason::of_dismissal("astrology"),
            IgnoredReason::Other
        );
        for reason in [
            IgnoredReason::AutoDismissed,
            IgnoredReason::Other,
            IgnoredReason::Dismissed(DismissReason::NotUsed),
        ] {
            let json = serde_json::to_value(reason).expect("a string");
            assert_eq!(
                serde_json::from_value::<IgnoredReason>(json).ok(),
                Some(reason)
            );
        }
    }
}
