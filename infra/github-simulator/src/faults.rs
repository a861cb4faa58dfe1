//! Which of GitHub's calls a fault matches.

use std::convert::Infallible;

use serde_json::Value;
use simulation::{Calls, FieldError, Fields, Told};

use crate::answer::Answer;
use crate::call::Operation;

/// Matches calls of one operation on one repository; `None` matches any.
#[derive(Debug)]
pub(crate) struct Matching {
    /// Lower case.
    repository: Option<String>,
    operation: Option<Operation>,
}

impl Calls for Matching {
    /// The operation, and the repository if the call concerns one.
    type Call<'a> = (Operation, Option<&'a str>);
    type Answer = Answer;
    type Own = Infallible;
    const FIELDS: &'static [&'static str] = &["repository", "operation"];
    const EFFECTS: &'static str = "must be \"drop_response\"";

    fn read(fields: &Fields<'_>) -> Result<Self, FieldError> {
        let message = "must be \"owner/name\" or \"*\"";
        let repository = fields.optional("repository", message, |value| {
            let name = value.as_str()?;
            (name == "*" || name.split('/').count() == 2).then(|| name.to_lowercase())
        })?;
        let message = "must be one of GitHub's operations, or \"*\"";
        let operation = fields.optional("operation", message, |value| match value.as_str()? {
            "*" => Some(None),
            name => {
                let mut all = Operation::ALL.into_iter();
                all.find(|known| known.name() == name).map(Some)
            }
        })?;
        Ok(Self {
            repository: repository.filter(|name| name != "*"),
            operation: operation.flatten(),
        })
    }

    fn include(&self, (operation, repository): Self::Call<'_>) -> bool {
        let same_repository =
            |wanted: &String| repository.is_some_and(|found| found.eq_ignore_ascii_case(wanted));
        self.operation.is_none_or(|wanted| wanted == operation)
            && self.repository.as_ref().is_none_or(same_repository)
    }

    fn own(_: &str) -> Option<Infallible> {
        None
    }

    fn can_have(&self, never: &Infallible) -> Result<(), &'static str> {
        match *never {}
    }

    fn answer(told: Told) -> Answer {
        let status = told.status;
        let answer = match told.body {
            None => Answer::refusal(status, status.canonical_reason().unwrap_or("Error"), ""),
            Some(Value::String(text)) => Answer::text(status, "text/html", text),
            Some(body) => Answer::value(status, &body),
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
    use simulation::Fault;

    use super::*;

    #[test]
    fn an_invalid_field_is_named() {
        for (body, pointer) in [
            (json!({"status": 503, "repository": "app"}), "/repository"),
            (json!({"status": 503, "operation": "dance"}), "/operation"),
            (json!({"effect": "hold"}), "/effect"),
        ] {
            let error = Fault::<Matching>::parse(&body).expect_err("must be refused");
            assert_eq!(error.pointer, pointer, "{body}");
        }
    }

    #[test]
    fn a_fault_matches_its_operation_and_repository_or_all() {
        let include = |fault: Value, operation, repository| {
            let fields = Fields::of(&fault).expect("an object");
            let matching = Matching::read(&fields).expect("valid");
            matching.include((operation, repository))
        };
        let one = || json!({"repository": "Octo/App", "operation": "list_alerts"});
        assert!(include(one(), Operation::ListAlerts, Some("octo/app")));
        assert!(!include(one(), Operation::GetAlert, Some("octo/app")));
        assert!(!include(one(), Operation::ListAlerts, Some("octo/other")));
        assert!(!include(one(), Operation::ListAlerts, None));
        for any in [json!({}), json!({"repository": "*", "operation": "*"})] {
            assert!(include(any.clone(), Operation::GetAlert, Some("octo/app")));
            assert!(include(any, Operation::InstallationToken, None));
        }
    }
}
