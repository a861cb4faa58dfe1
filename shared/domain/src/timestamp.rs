//! Points in time, in the two units that the system stores: milliseconds, and seconds for DynamoDB's TTL.
//!
//! Only [`Timestamp::now`] reads a clock, and only `main` may call it.

use std::{fmt, str::FromStr, time::Duration};

/// A point in time, in whole milliseconds since the Unix epoch. Written as RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 time.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not an RFC 3339 time")]
pub struct InvalidTimestamp {
    text: String,
    #[source]
    source: jiff::Error,
}

impl Timestamp {
    /// The wall clock.
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_millisecond())
    }

    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// From seconds since the Unix epoch, as HTTP headers and TTL attributes count.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, length: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, length: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A time outside jiff's range (the years -9999 to 9999) is shown as the nearest time in it.
        let shown = jiff::Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        });
        write!(f, "{shown:.3}")
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        text.parse::<jiff::Timestamp>()
            .map(|parsed| Self(parsed.as_millisecond()))
            .map_err(|source| InvalidTimestamp {
                text: text.chars().take(64).collect(),
                source,
            })
    }
}

crate::text::serde_by_text!(Timestamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds_and_read_back() {
        let noon = Timestamp::from_millis(1_795_435_200_000);
        assert_eq!(noon.to_string(), "2026-11-23T12:00:00.000Z");
        assert_eq!(
            "2026-11-23T13:00:00+01:00"
                .parse::<Timestamp>()
                .expect("valid"),
            noon
        );
        assert_eq!(noon.as_seconds(), 1_795_435_200);
    }

    #[test]
    fn a_time_out_of_range_is_shown_as_the_nearest_one() {
        assert!(
            Timestamp::from_millis(i64::MAX)
                .to_string()
                .starts_with("9999")
        );
    }
}
