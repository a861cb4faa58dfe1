//! Claims of a verified token, read strictly. API Gateway turns every claim into text, so a claim that is not exactly in
//! an expected form grants nothing: what the issuer meant cannot be recovered from it.

use std::{collections::BTreeSet, time::Duration};

use domain::{Timestamp, owner::Owner};

/// How old a sign-in may be for an action that cannot be undone.
pub const RECENT: Duration = Duration::from_secs(10 * 60);
/// How far the issuer's clock may be ahead.
const AHEAD: Duration = Duration::from_secs(60);

/// Reads `orgs`: a JSON array of strings, or API Gateway's flattened form, `[` entries joined by one space `]`. Each
/// entry is a hyphenated UUID, in either case.
///
/// The flattened form does not quote entries: `["a b"]` and `["a","b"]` are both `[a b]`. So the entries must be ids that
/// the issuer makes, never text that a user chooses.
///
/// `None` if one entry is anything else: that voids the whole claim.
pub fn organisations(claim: &str) -> Option<BTreeSet<Owner>> {
    let listed = || serde_json::from_str::<Vec<String>>(claim).ok();
    let flattened = || {
        let entries = claim.strip_prefix('[')?.strip_suffix(']')?;
        Some(entries.split(' ').map(str::to_owned).collect())
    };
    let entries = listed().or_else(flattened)?;
    let organisation = |id: &String| format!("org:{id}").parse().ok();
    entries.iter().map(organisation).collect()
}

/// When the caller last entered their credentials, as far as the issuer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// The issuer does not say: the token has no `auth_time`.
    Untold,
    /// At this time.
    At(Timestamp),
    /// The claim cannot be read.
    Unreadable,
}

impl SignIn {
    /// Reads `auth_time`: seconds since 1970 (RFC 7519's `NumericDate`, which may have a fraction or an exponent).
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to be in range; the fraction does not matter"
    )]
    pub fn read(claim: Option<&str>) -> Self {
        let seconds = claim.map(str::parse::<f64>);
        match seconds {
            None => Self::Untold,
            Some(Ok(seconds)) if (0.0..=f64::from(u32::MAX)).contains(&seconds) => {
                Self::At(Timestamp::from_seconds(seconds as i64))
            }
            Some(_) => Self::Unreadable,
        }
    }

    /// Returns whether nothing shows that the sign-in is too old. A time in the future is no sign-in.
    pub fn is_recent(self, now: Timestamp) -> bool {
        match self {
            Self::Untold => true,
            Self::At(time) => time <= now + AHEAD && now.since(time) <= RECENT,
            Self::Unreadable => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    const A: &str = "6f1d1d3e-7a52-4c3b-9a55-0d0f3c1f7a10";
    const B: &str = "0b8e4b38-4f0c-4d3e-8a43-2b9a4a8f9a11";

    fn owners(ids: &[&str]) -> Option<BTreeSet<Owner>> {
        let owners = ids.iter().map(|id| format!("org:{id}").parse());
        Some(owners.collect::<Result<_, _>>().expect("organisations"))
    }

    #[test]
    fn organisations_are_read_in_each_form_that_the_gateway_passes_on() {
        for (claim, expected) in [
            (format!(r#"["{A}","{B}"]"#), &[A, B][..]),
            (format!(r#" [ "{A}" , "{B}" ] "#), &[A, B]),
            (format!(r#"["{A}","{A}"]"#), &[A]),
            (format!("[{A} {B}]"), &[A, B]),
            (format!("[{A}]"), &[A]),
            (format!("[{}]", A.to_uppercase()), &[A]),
            ("[]".to_owned(), &[]),
        ] {
            assert_eq!(organisations(&claim), owners(expected), "{claim}");
        }
    }

    #[test]
    fn one_entry_that_is_no_uuid_voids_the_claim() {
        let plain = A.replace('-', "");
        for claim in [
            format!(r#"["Evil {A}"]"#),
            format!(r#"["{A}","Evil"]"#),
            format!(r#"["{A}",5]"#),
            format!(r#"["{A}",null]"#),
            format!(r#"["{A}",["{B}"]]"#),
            format!(r#"["{A} "]"#),
            format!(r#"["org:{A}"]"#),
            format!(r#"["{plain}"]"#),
            format!(r#"["{{{A}}}"]"#),
            format!(r#"["urn:uuid:{A}"]"#),
            format!(r#"[{{"note":"x {A} y"}}]"#),
            format!(r#"{{"{A}":"{A}"}}"#),
            format!("[Evil {A}]"),
            format!("[map[note:x {A} y]]"),
            format!("[{A}  {B}]"),
            format!("[{A}\t{B}]"),
            format!("[{A}\u{a0}{B}]"),
            format!("[{A},{B}]"),
            format!("[{A}, {B}]"),
            format!("[{A} ]"),
            format!("[ {A}]"),
            format!("[[{A}]]"),
            format!("[{A}"),
            format!("[{A}]\n"),
            format!("[{A}] [{B}]"),
            format!("my team {A}"),
            format!("{A} {B}"),
            format!(r#""{A}""#),
            A.to_owned(),
            String::new(),
            "null".to_owned(),
            "*".to_owned(),
            "[*]".to_owned(),
            "[ ]x".to_owned(),
        ] {
            assert_eq!(organisations(&claim), None, "{claim}");
        }
    }

    /// Entries as a hostile issuer's user may choose them.
    fn entry() -> impl Strategy<Value = String> {
        let around = prop_oneof![
            3 => Just(String::new()),
            1 => "[ ,\"\\[\\]a\u{a0}\u{2003}\t]{1,3}",
        ];
        let id = prop_oneof![4 => Just(A.to_owned()), 4 => Just(B.to_owned()), 1 => ".{0,40}"];
        (around.clone(), id, around).prop_map(|(before, id, after)| format!("{before}{id}{after}"))
    }

    proptest! {
        #[test]
        fn a_claim_gives_exactly_its_entries_or_nothing(entries in vec(entry(), 1..5)) {
            let exact = entries.iter().all(|entry| entry == A || entry == B);
            let ids: Vec<&str> = entries.iter().map(String::as_str).collect();
            let expected = if exact { owners(&ids) } else { None };
            let mut flattened = String::from("[");
            for (place, entry) in entries.iter().enumerate() {
                let space = if place == 0 { "" } else { " " };
                write!(flattened, "{space}{entry}").expect("a string takes text");
            }
            flattened.push(']');
            let listed = serde_json::to_string(&entries).expect("JSON");
            prop_assert_eq!(organisations(&listed), expected.clone());
            // `[]` is no entry as well as one empty entry; neither gives anything.
            let granted = organisations(&flattened).unwrap_or_default();
            prop_assert_eq!(granted, expected.unwrap_or_default());
        }
    }

    #[test]
    fn a_sign_in_is_recent_for_ten_minutes_by_any_clock_near_ours() {
        let now = Timestamp::from_seconds(1_795_435_200);
        let recent = |claim| SignIn::read(claim).is_recent(now);
        for claim in [
            None,
            Some("1795435200"),
            Some("1795434600"),
            Some("1795434600.25"),
            Some("1.7954352e+09"),
            Some("1795435260"),
        ] {
            assert!(recent(claim), "{claim:?}");
        }
        for claim in [
            "1795434599",
            "1795435261",
            "0",
            "-1",
            "",
            "null",
            "NaN",
            "inf",
            "1e400",
            // Milliseconds.
            "1795435200000",
            "2026-11-23T12:00:00Z",
            "[1795435200]",
        ] {
            assert!(!recent(Some(claim)), "{claim}");
        }
    }
}
