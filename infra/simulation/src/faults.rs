//! Faults that tests register: which calls they match, and their effects.

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

/// The calls of one simulator that a fault can match, and the effects that only that simulator supports.
pub trait Calls: Debug + Sized {
    /// A call.
    type Call<'a>: Copy;
    /// An answer.
    type Answer: Clone + Debug;
    /// An effect that only this simulator supports.
    type Own: Clone + Debug;

    /// The names of the fields that select calls.
    const FIELDS: &'static [&'static str];
    /// The valid values of `effect`, for error messages.
    const EFFECTS: &'static str;

    /// Parses the fields that select calls.
    fn read(fields: &Fields<'_>) -> Result<Self, FieldError>;

    /// Reports whether the call is selected.
    fn include(&self, call: Self::Call<'_>) -> bool;

    /// Returns this simulator's own effect of this name, if there is one.
    fn own(name: &str) -> Option<Self::Own>;

    /// Checks that the selected calls support the effect; returns an error message if they do not.
    fn can_have(&self, own: &Self::Own) -> Result<(), &'static str>;

    /// Builds the answer that a fault specifies.
    fn answer(told: Told) -> Self::Answer;
}

/// The answer that a fault specifies.
#[derive(Clone, Debug)]
pub struct Told {
    /// The status code.
    pub status: StatusCode,
    /// Headers that replace the answer's own.
    pub headers: HeaderMap,
    /// The body, if not the default one for the status. A string is sent as plain text.
    pub body: Option<Value>,
}

/// A fault's effect on one call, before its delay.
#[derive(Clone, Debug)]
pub struct Strike<C: Calls> {
    delay: Option<Duration>,
    effect: Effect<C>,
}

/// What happens to a call.
#[derive(Debug)]
pub enum Effect<C: Calls> {
    /// The call proceeds normally.
    LetThrough,
    /// The call is not performed; this is its answer.
    AnswerInstead(C::Answer),
    /// The call is performed, but this is its answer.
    PerformThenAnswer(C::Answer),
    /// The call is performed, and the answer is lost.
    LoseAnswer,
    /// An effect that only this simulator supports.
    Own(C::Own),
}

// `derive` would require `C: Clone`.
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
    /// Waits for the fault's delay and returns its effect.
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

/// A registered fault.
#[derive(Debug)]
pub struct Fault<C: Calls> {
    calls: C,
    /// How many more matching calls pass before the fault takes effect.
    spared: u64,
    /// How many more calls the fault hits; unlimited if `None`.
    remaining: Option<u64>,
    delay: Option<Duration>,
    effect: Effect<C>,
}

/// The faults, in order of registration.
#[derive(Debug)]
pub struct Faults<C: Calls>(Mutex<Vec<Fault<C>>>);

impl<C: Calls> Default for Faults<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C: Calls> Faults<C> {
    /// Registers a fault.
    pub fn register(&self, fault: Fault<C>) {
        locked(&self.0).push(fault);
    }

    /// Removes all faults and returns their effects.
    pub fn clear(&self) -> Vec<Effect<C>> {
        let faults = std::mem::take(&mut *locked(&self.0));
        faults.into_iter().map(|fault| fault.effect).collect()
    }

    /// Returns the effect of the first registered fault that matches this call and is not used up.
    pub fn strike(&self, call: C::Call<'_>) -> Option<Strike<C>> {
        locked(&self.0)
            .iter_mut()
            .filter(|fault| fault.calls.include(call))
            .find_map(Fault::meet)
    }
}

impl<C: Calls> Fault<C> {
    /// Parses a fault.
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
    let status = fields.optional(
        "status",
        "must be an HTTP status from 200 to 599",
        |value| {
            let status = u16::try_from(value.as_u64()?).ok()?;
            (200..600).contains(&status).then_some(())?;
            StatusCode::from_u16(status).ok()
        },
    )?;
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
            return Err(fields.error(name, "requires a status"));
        }
        return match named {
            None if delayed => Ok(Effect::LetThrough),
            None => Err(fields.error(
                "status",
                "is required unless there is a delayMs or an effect",
            )),
            Some(Effect::Own(own)) => match calls.can_have(&own) {
                Ok(()) => Ok(Effect::Own(own)),
                Err(message) => Err(fields.error("effect", message)),
            },
            Some(effect) => Ok(effect),
        };
    };
    if named.is_some() {
        return Err(fields.error("effect", "cannot be combined with a status"));
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

/// Refuses connection headers, which belong to the server: a wrong length would corrupt the answer.
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

    /// A simulator whose calls have numbers. Only a fault for one number can turn a call round.
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
            self.0.map(|_| ()).ok_or("is supported only for one number")
        }

        fn answer(told: Told) -> u16 {
            told.status.as_u16()
        }
    }

    fn fault(body: &Value) -> Fault<Numbered> {
        Fault::parse(body).expect("valid")
    }

    #[test]
    fn an_invalid_field_is_named() {
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
    fn a_fault_has_the_requested_effect() {
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
    fn the_first_matching_fault_that_is_not_used_up_wins() {
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
    async fn a_delay_lasts_as_long_as_requested() {
        let faults = Faults::default();
        faults.register(fault(&json!({"delayMs": 1500})));
        let before = tokio::time::Instant::now();
        let effect = Strike::befall(faults.strike(1)).await;
        assert!(matches!(effect, Effect::LetThrough));
        assert_eq!(before.elapsed(), Duration::from_millis(1500));
    }
}
