//! Which of the agent's calls a fault matches, and the effects that only the agent supports.

use serde_json::Value;
use simulation::{Calls, FieldError, Fields, Told};
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;

/// The operations that faults can match: two that the simulator receives, one that it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    CreateSession,
    InterruptSession,
    Callback,
}

impl Operation {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "create_session" => Some(Self::CreateSession),
            "interrupt_session" => Some(Self::InterruptSession),
            "callback" => Some(Self::Callback),
            _ => None,
        }
    }
}

/// Matches calls of one operation, or of any if `None`.
#[derive(Debug)]
pub(crate) struct Operations(Option<Operation>);

/// The effects of a fault on a callback.
#[derive(Clone, Debug)]
pub(crate) enum Tampering {
    /// The simulator makes the callback twice.
    Duplicate,
    /// The callback waits until the faults are cleared.
    Hold(CancellationToken),
}

impl Calls for Operations {
    type Call<'a> = Operation;
    type Answer = Answer;
    type Own = Tampering;
    const FIELDS: &'static [&'static str] = &["operation"];
    const EFFECTS: &'static str = "must be \"drop_response\", \"duplicate\" or \"hold\"";

    fn read(fields: &Fields<'_>) -> Result<Self, FieldError> {
        let message = "must be one of the agent's operations, or \"*\"";
        let operation = fields.optional("operation", message, |value| match value.as_str()? {
            "*" => Some(None),
            name => Operation::parse(name).map(Some),
        })?;
        Ok(Self(operation.flatten()))
    }

    fn include(&self, call: Operation) -> bool {
        self.0.is_none_or(|wanted| wanted == call)
    }

    fn own(name: &str) -> Option<Tampering> {
        match name {
            "duplicate" => Some(Tampering::Duplicate),
            "hold" => Some(Tampering::Hold(CancellationToken::new())),
            _ => None,
        }
    }

    fn can_have(&self, _: &Tampering) -> Result<(), &'static str> {
        match self.0 {
            Some(Operation::Callback) => Ok(()),
            _ => Err("is supported only for the operation callback"),
        }
    }

    fn answer(told: Told) -> Answer {
        let status = told.status;
        let answer = match told.body {
            None => {
                let reason = status.canonical_reason().unwrap_or("Error");
                Answer::refusal(status, "SIMULATED_FAULT", &format!("Simulated: {reason}."))
            }
            Some(Value::String(text)) => Answer::text(status, "text/html", text),
            Some(body) => Answer::json(status, &body),
        };
        let headers = told.headers.iter();
        headers.fold(answer, |answer, (name, value)| {
            answer.with(name.clone(), value.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use simulation::{Effect, Fault, Faults};

    use super::*;

    #[test]
    fn an_invalid_field_is_named() {
        for (body, pointer) in [
            (json!({"status": 503, "operation": "dance"}), "/operation"),
            (
                json!({"status": 503, "repository": "octo/app"}),
                "/repository",
            ),
            (json!({"effect": "hold"}), "/effect"),
            (json!({"effect": "hold", "operation": "*"}), "/effect"),
            (
                json!({"effect": "duplicate", "operation": "create_session"}),
                "/effect",
            ),
        ] {
            let error = Fault::<Operations>::parse(&body).expect_err("must be refused");
            assert_eq!(error.pointer, pointer, "{body}");
        }
    }

    #[tokio::test]
    async fn a_fault_matches_its_operation_or_all() {
        let faults = Faults::<Operations>::default();
        let register = |body: Value| faults.register(Fault::parse(&body).expect("valid"));
        register(json!({"operation": "create_session", "status": 503}));
        register(json!({"operation": "*", "status": 502}));
        for (operation, expected) in [
            (Operation::InterruptSession, 502),
            (Operation::Callback, 502),
            (Operation::CreateSession, 503),
        ] {
            let effect = simulation::Strike::befall(faults.strike(operation)).await;
            let Effect::AnswerInstead(answer) = effect else {
                panic!("{effect:?}")
            };
            assert_eq!(answer.status.as_u16(), expected);
        }
    }
}
