//! CVSS base scores.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A CVSS base score: 0.1 to 10.0 in steps of a tenth, stored exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CvssScore {
    tenths: u8,
}

impl CvssScore {
    /// `None` for 0.0, which GitHub sends without a score, and for a number that is not a score.
    pub fn new(score: f64) -> Option<Self> {
        let tenths = (score * 10.0).round();
        if (1.0..=100.0).contains(&tenths) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 100"
            )]
            Some(Self {
                tenths: tenths as u8,
            })
        } else {
            None
        }
    }

    /// The score as a decimal number: 7.5.
    pub fn as_f64(self) -> f64 {
        f64::from(self.tenths) / 10.0
    }

    /// The score in tenths: 75 for 7.5.
    pub const fn tenths(self) -> u8 {
        self.tenths
    }
}

impl Serialize for CvssScore {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for CvssScore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?).ok_or_else(|| de::Error::custom("no CVSS score"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_score_is_written_with_one_decimal_and_read_back() {
        for tenths in 1..=100u8 {
            let text = format!("{}.{}", tenths / 10, tenths % 10);
            let score: CvssScore = serde_json::from_str(&text).expect("a score");
            assert_eq!(
                (
                    score.tenths(),
                    serde_json::to_string(&score).expect("a number")
                ),
                (tenths, text)
            );
        }
    }

    #[test]
    fn a_number_that_is_not_a_score_is_none() {
        for score in [0.0, -0.0, -1.0, 10.1, 75.0, f64::NAN, f64::INFINITY] {
            assert_eq!(CvssScore::new(score), None, "{score}");
        }
    }
}
