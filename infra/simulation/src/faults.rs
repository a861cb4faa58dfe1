//! Faults registered by tests: which calls they meet, and what becomes of those calls.

use std::fmt::Debug;
use std::sync::Mutex;
use std::time::Duration;

use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::{FieldError, Fields, locked};

const LONGEST_DELAY_MS: u64 = 600_000;
/// The fields that every fault may have.
const FIELDS: [&str; 8] = [
    "status", "headers", "body", "delayMs", "times", "after", "effect", "apply",
];

/// Which calls of one simulator a fault meets, and what only that simulator can do to them.
pub trait Calls: Debug + Sized {
    /// A call.
    type Call<'a>: Copy;
    /// An answer.
    type Answer: Clone + Debug;
    /// An effect that no other simulator has.
    type Own: Clone + Debug;

    /// The fields that say which calls are meant.
    const FIELDS: &'static [&'static str];
    /// What `effect` must be, for people.
    const EFFECTS: &'static str;

    /// Reads which calls are meant.
    fn read(fields: &Fields<'_>) -> Result<Self, FieldError>;

    /// Whether this is one of them.
    fn include(&self, call: Self::Call<'_>) -> bool;

    /// The effect of this name, if it is one of this simulator's own.
    fn own(name: &str) -> Option<Self::Own>;

    /// Whether these calls can have an effect of its own; if not, what is wrong.
    fn can_have(&self, own: &Self::Own) -> Result<(), &'static str>;

    /// The answer that a fault tells.
    fn answer(told: Told) -> Self::Answer;
}

/// What a fault answers with.
#[derive(Clone, Debug)]
pub struct Told {
    /// The status.
    pub status: StatusCode,
    /// Headers, in place of the answer's own.
    pub headers: HeaderMap,
    /// The body, if not the usual one for the status. A text is sent as it is.
    pub body: Option<Value>,
}

/// What a fault does to a call it meets.
#[derive(Clone, Debug)]
pub struct Strike<C: Calls> {
    delay: Option<Duration>,
    effect: Effect<C>,
}

/// What becomes of a call.
#[derive(Debug)]
pub enum Effect<C: Calls> {
    /// It goes on as if nothing had happened.
    LetThrough,
    /// It is not performed; this is its answer.
    AnswerInstead(C::Answer),
    /// It is performed, but this is its answer.
    PerformThenAnswer(C::Answer),
    /// It is performed, and never answered.
    LoseAnswer,
    /// What only this simulator can do.
    Own(C::Own),
}

// Derived, it would ask for `C: Clone`.
impl<C: Calls> Clone for Effect<C> {
    fn clone(&self) -> Self {
        match self {
            Self::LetThrough => Self::LetThrough,
            Self::AnswerInstead(answer) => Self::AnswerInstead(answer.clone()),
            Self::PerformThenAnswer(answer) => Self::PerformThenAnswer(answer.clone()),
            Self::LoseAnswer => Self::LoseAnswer,
            Self::Own(own) => Self::Own(own.clone()),
        }
    }
}

impl<C: Calls> Strike<C> {
    /// Waits as long as the fault says, and gives what becomes of the call then.
    pub async fn befall(strike: Option<Self>) -> Effect<C> {
        let Some(Self { delay, effect }) = strike else {
            return Effect::LetThrough;
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        effect
    }
}

/// A fault.
#[derive(Debug)]
pub struct Fault<C: Calls> {
    calls: C,
    /// Calls that it meets still to be let through.
    spared: u64,
    /// Calls still to be met; unlimited when absent.
    remaining: Option<u64>,
    delay: Option<Duration>,
    effect: Effect<C>,
}

/// The faults, in the order they were registered.
#[derive(Debug)]
pub struct Faults<C: Calls>(Mutex<Vec<Fault<C>>>);

impl<C: Calls> Default for Faults<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C: Calls> Faults<C> {
    /// Adds a fault.
    pub fn register(&self, fault: Fault<C>) {
        locked(&self.0).push(fault);
    }

    /// Forgets all, and gives what they did.
    pub fn clear(&self) -> Vec<Effect<C>> {
        let faults = std::mem::take(&mut *locked(&self.0));
        faults.into_iter().map(|fault| fault.effect).collect()
    }

    /// What befalls this call: the first registered fault that meets it and is not exhausted.
    pub fn strike(&self, call: C::Call<'_>) -> Option<Strike<C>> {
        locked(&self.0)
            .iter_mut()
            .filter(|fault| fault.calls.include(call))
            .find_map(Fault::meet)
    }
}

impl<C: Calls> Fault<C> {
    /// Reads a fault.
    pub fn parse(body: &Value) -> Result<Self, FieldError> {
        let fields = Fields::of(body)?;
        fields.only(&[C::FIELDS, &FIELDS].concat())?;
        let calls = C::read(&fields)?;
        let spared = fields.optional("after", "must be a whole number", Value::as_u64)?;
        let remaining = fields.optional("times", "must be a whole number above 0", |value| {
            value.as_u64().filter(|times| *times > 0)
        })?;
        let delay =
            fields.optional("delayMs", "must be milliseconds, at most 600000", |value| {
                value.as_u64().filter(|delay| *delay <= LONGEST_DELAY_MS)
            })?;
        let effect = effect(&fields, &calls, delay.is_some())?;
        Ok(Self {
            calls,
            spared: spared.unwrap_or(0),
            remaining,
            delay: delay.map(Duration::from_millis),
            effect,
        })
    }

    fn meet(&mut self) -> Option<Strike<C>> {
        if self.remaining == Some(0) {
            return None;
        }
        if self.spared > 0 {
            self.spared -= 1;
            return None;
        }
        self.remaining = self.remaining.map(|remaining| remaining - 1);
        Some(Strike {
            delay: self.delay,
            effect: self.effect.clone(),
        })
    }
}

fn effect<C: Calls>(
    fields: &Fields<'_>,
    calls: &C,
    delayed: bool,
) -> Result<Effect<C>, FieldError> {
    let status = fields.optional("status", "must be a status from 200 to 599", |value| {
        let status = u16::try_from(value.as_u64()?).ok()?;
        (200..600).contains(&status).then_some(())?;
        StatusCode::from_u16(status).ok()
    })?;
    let named = fields.optional("effect", C::EFFECTS, |value| match value.as_str()? {
        "drop_response" => Some(Effect::LoseAnswer),
        name => C::own(name).map(Effect::Own),
    })?;
    let apply = fields.optional("apply", "must be true or false", Value::as_bool)?;
    let headers = fields.optional(
        "headers",
        "must be an object of header values",
        parse_headers,
    )?;
    let body = fields.value("body");
    let Some(status) = status else {
        let needs_status = [
            ("apply", apply.is_some()),
            ("headers", headers.is_some()),
            ("body", body.is_some()),
        ];
        if let Some((name, _)) = needs_status.into_iter().find(|(_, there)| *there) {
            return Err(fields.error(name, "needs a status"));
        }
        return match named {
            None if delayed => Ok(Effect::LetThrough),
            None => Err(fields.error("status", "is needed, or delayMs, or effect")),
            Some(Effect::Own(own)) => match calls.can_have(&own) {
                Ok(()) => Ok(Effect::Own(own)),
                Err(message) => Err(fields.error("effect", message)),
            },
            Some(effect) => Ok(effect),
        };
    };
    if named.is_some() {
        return Err(fields.error("effect", "does not go with a status"));
    }
    let answer = C::answer(Told {
        status,
        headers: headers.unwrap_or_default(),
        body: body.cloned(),
    });
    Ok(if apply == Some(true) {
        Effect::PerformThenAnswer(answer)
    } else {
        Effect::AnswerInstead(answer)
    })
}

/// The connection's own headers stay with the server: a wrong length would break the answer itself.
fn parse_headers(value: &Value) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in value.as_object()? {
        let name: HeaderName = name.parse().ok()?;
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(&name) {
            return None;
        }
        headers.insert(name, HeaderValue::try_from(text).ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A simulator whose calls have numbers. It can turn a call round, if it is not just any.
    #[derive(Debug)]
    struct Numbered(Option<u64>);

    #[derive(Clone, Debug)]
    struct TurnedRound;

    impl Calls for Numbered {
        type Call<'a> = u64;
        type Answer = u16;
        type Own = TurnedRound;
        const FIELDS: &'static [&'static str] = &["number"];
        const EFFECTS: &'static str = "must be \"drop_response\" or \"turn_round\"";

        fn read(fields: &Fields<'_>) -> Result<Self, FieldError> {
            let number = fields.optional("number", "must be a number", Value::as_u64);
            number.map(Self)
        }

        fn include(&self, call: u64) -> bool {
            self.0.is_none_or(|number| number == call)
        }

        fn own(name: &str) -> Option<TurnedRound> {
            (name == "turn_round").then_some(TurnedRound)
        }

        fn can_have(&self, TurnedRound: &TurnedRound) -> Result<(), &'static str> {
            self.0.map(|_| ()).ok_or("is for one number")
        }

        fn answer(told: Told) -> u16 {
            told.status.as_u16()
        }
    }

    fn fault(body: &Value) -> Fault<Numbered> {
        Fault::parse(body).expect("valid")
    }

    #[test]
    fn a_bad_field_is_named() {
        for (body, pointer) in [
            (json!([]), ""),
            (json!({}), "/status"),
            (json!({"status": 42}), "/status"),
            (json!({"status": "503"}), "/status"),
            (json!({"status": 503, "number": "one"}), "/number"),
            (json!({"status": 503, "times": 0}), "/times"),
            (json!({"status": 503, "after": -1}), "/after"),
            (json!({"status": 503, "headers": {"a b": "c"}}), "/headers"),
            (
                json!({"status": 503, "headers": {"content-length": "9"}}),
                "/headers",
            ),
            (json!({"status": 503, "effect": "drop_response"}), "/effect"),
            (
                json!({"status": 503, "effect": "turn_round", "number": 1}),
                "/effect",
            ),
            (json!({"effect": "explode"}), "/effect"),
            (json!({"effect": "turn_round"}), "/effect"),
            (json!({"delayMs": 600_001}), "/delayMs"),
            (json!({"delayMs": 1, "apply": true}), "/apply"),
            (json!({"delayMs": 1, "headers": {}}), "/headers"),
            (json!({"delayMs": 1, "body": {}}), "/body"),
            (json!({"status": 503, "time/s": 1}), "/time~1s"),
        ] {
            let error = Fault::<Numbered>::parse(&body).expect_err("must be refused");
            assert_eq!(error.pointer, pointer, "{body}");
        }
    }

    #[test]
    fn a_fault_does_what_it_says() {
        use Effect::{AnswerInstead, LetThrough, LoseAnswer, Own, PerformThenAnswer};
        let effect = |body: Value| fault(&body).effect;
        assert!(matches!(effect(json!({"delayMs": 1})), LetThrough));
        let status = json!({"status": 503});
        assert!(matches!(effect(status), AnswerInstead(503)));
        let not = json!({"status": 503, "apply": false});
        assert!(matches!(effect(not), AnswerInstead(503)));
        let applied = json!({"status": 503, "apply": true});
        assert!(matches!(effect(applied), PerformThenAnswer(503)));
        let lost = json!({"effect": "drop_response"});
        assert!(matches!(effect(lost), LoseAnswer));
        let own = json!({"effect": "turn_round", "number": 1});
        assert!(matches!(effect(own), Own(TurnedRound)));
    }

    #[test]
    fn the_first_registered_fault_that_meets_a_call_and_is_not_exhausted_wins() {
        let faults = Faults::default();
        faults.register(fault(
            &json!({"number": 1, "status": 503, "times": 1, "after": 1}),
        ));
        faults.register(fault(&json!({"status": 502})));
        let status = |call| match faults.strike(call)?.effect {
            Effect::AnswerInstead(status) => Some(status),
            _ => None,
        };
        assert_eq!(status(2), Some(502));
        assert_eq!(status(1), Some(502), "spared by the first");
        assert_eq!(status(1), Some(503));
        assert_eq!(status(1), Some(502), "exhausted");
        assert_eq!(faults.clear().len(), 2);
        assert_eq!(status(1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_lasts_as_long_as_it_says() {
        let faults = Faults::default();
        faults.register(fault(&json!({"delayMs": 1500})));
        let before = tokio::time::Instant::now();
        let effect = Strike::befall(faults.strike(1)).await;
        assert!(matches!(effect, Effect::LetThrough));
        assert_eq!(before.elapsed(), Duration::from_millis(1500));
    }
}
