//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>) across functions, GitHub and the agent. Only
//! `traceparent`: spans are not recorded, and log lines carry the trace's id.
//!
//! Work on a message continues its sender's trace. Without one, the trace is named after the message's subject, such as
//! the command's id, so a re-sent message stays in a trace that can be found. X-Ray does not depend on this module: the
//! AWS SDK passes its header from the runtime to SQS.

use std::{
    fmt,
    num::{NonZeroU64, NonZeroU128},
    str::FromStr,
};

use domain::command::CommandId;

/// The name of the header and of the message attribute.
pub const TRACEPARENT: &str = "traceparent";

/// A trace, and the step in it that caused this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    id: TraceId,
    parent: NonZeroU64,
    sampled: bool,
}

/// Names a trace: 128 bits, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(NonZeroU128);

/// The text is not a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent")]
pub struct InvalidTraceParent;

impl From<u128> for TraceId {
    fn from(id: u128) -> Self {
        Self(NonZeroU128::new(id).unwrap_or(NonZeroU128::MIN))
    }
}

impl From<CommandId> for TraceId {
    fn from(id: CommandId) -> Self {
        id.as_u128().into()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            parent,
            sampled,
        } = self;
        write!(f, "00-{id}-{parent:016x}-{:02x}", u8::from(*sampled))
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;
    /// Reads any version. The specification lets later versions only add fields after another hyphen.
    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let mut parts = text.splitn(5, '-');
        let mut hex = |digits: usize| {
            let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let part = parts
                .next()
                .filter(|part| part.len() == digits && part.bytes().all(lower));
            part.and_then(|part| u128::from_str_radix(part, 16).ok())
                .ok_or(InvalidTraceParent)
        };
        let (version, id, parent, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let more = parts.next().is_some();
        if version == 0xff || version == 0 && more {
            return Err(InvalidTraceParent);
        }
        let parent = u64::try_from(parent).ok().and_then(NonZeroU64::new);
        Ok(Self {
            id: TraceId(NonZeroU128::new(id).ok_or(InvalidTraceParent)?),
            parent: parent.ok_or(InvalidTraceParent)?,
            sampled: flags & 1 == 1,
        })
    }
}

impl TraceParent {
    /// A trace that starts here.
    pub fn start(id: TraceId) -> Self {
        Self {
            id,
            parent: step(),
            sampled: false,
        }
    }

    /// The next step of the trace.
    #[must_use]
    pub fn next(self) -> Self {
        Self {
            parent: step(),
            ..self
        }
    }

    /// The trace.
    pub const fn id(self) -> TraceId {
        self.id
    }

    /// Runs work as part of the trace.
    pub fn follow<T>(self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        CURRENT.scope(self, work)
    }

    /// The next step of the current trace, if there is one.
    pub fn next_of_current() -> Option<Self> {
        CURRENT.try_with(|current| current.next()).ok()
    }
}

tokio::task_local! {
    static CURRENT: TraceParent;
}

fn step() -> NonZeroU64 {
    NonZeroU64::new(fastrand::u64(1..)).unwrap_or(NonZeroU64::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_written_as_it_is_read() {
        let read: TraceParent = GIVEN.parse().expect("valid");
        assert_eq!(read.to_string(), GIVEN);
        assert_eq!(read.id().to_string(), "0af7651916cd43dd8448eb211c80319c");
    }

    #[test]
    fn the_known_fields_of_a_later_version_are_read() {
        let later = GIVEN.replacen("00", "cc", 1);
        for text in [
            later.clone(),
            format!("{later}-what-the-future-will-be-like"),
        ] {
            assert_eq!(text.parse::<TraceParent>(), GIVEN.parse(), "{text}");
        }
        // Flags that this version does not know are not passed on.
        let flags = GIVEN.replace("-01", "-ff");
        assert_eq!(flags.parse::<TraceParent>(), GIVEN.parse());
    }

    #[test]
    fn an_invalid_traceparent_is_rejected() {
        let bad = [
            String::new(),
            "00".to_owned(),
            GIVEN.to_uppercase(),
            GIVEN.replacen("00", "ff", 1),
            format!("{GIVEN}-more"),
            format!("{GIVEN}-"),
            format!(" {GIVEN}"),
            GIVEN.replace("b7ad6b7169203331", "0000000000000000"),
            GIVEN.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            GIVEN.replace("0af7", "+af7"),
            GIVEN.replace("0af7", "0aé7"),
            GIVEN.replace("-01", "-1"),
            format!("{GIVEN},{GIVEN}"),
        ];
        for text in bad {
            assert_eq!(
                text.parse::<TraceParent>(),
                Err(InvalidTraceParent),
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn the_next_step_has_the_same_trace_and_another_parent() {
        assert_eq!(TraceParent::next_of_current(), None);
        let given: TraceParent = GIVEN.parse().expect("valid");
        let next = given.follow(async { TraceParent::next_of_current() }).await;
        let next = next.expect("there is a trace");
        assert_eq!((next.id, next.sampled), (given.id, given.sampled));
        assert_ne!(next.parent, given.parent);
    }
}
