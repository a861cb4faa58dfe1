//! The received calls, for tests that count them.

use std::collections::VecDeque;
use std::sync::Mutex;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::locked;

/// The number of calls to keep; older ones are dropped.
const KEPT: usize = 500_000;

/// One received call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Received {
    method: String,
    /// Path and query.
    path: String,
    /// Null until the call is answered.
    status: Option<u16>,
    at: String,
    /// The call's `traceparent`; absent if it had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    /// The requested change, if it was made, whatever the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Value>,
}

/// Identifies the call that an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence(u64);

impl Sequence {
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<Log>);

#[derive(Debug, Default)]
struct Log {
    forgotten: u64,
    calls: VecDeque<Received>,
}

impl Requests {
    pub(crate) fn received(
        &self,
        method: &str,
        path: &str,
        traceparent: Option<&str>,
        now: Timestamp,
    ) -> Sequence {
        let mut log = locked(&self.0);
        if log.calls.len() == KEPT {
            log.calls.pop_front();
            log.forgotten += 1;
        }
        log.calls.push_back(Received {
            method: method.to_owned(),
            path: path.to_owned(),
            status: None,
            at: format!("{now:.3}"),
            traceparent: traceparent.map(str::to_owned),
            changed: None,
        });
        Sequence(log.forgotten + log.calls.len() as u64 - 1)
    }

    pub(crate) fn answered(&self, call: Sequence, status: StatusCode) {
        self.amend(call, |call| call.status = Some(status.as_u16()));
    }

    /// Records that the call made this change. Separate from the answer, which a fault may replace or lose.
    pub(crate) fn changed(&self, call: Sequence, change: Value) {
        self.amend(call, |call| call.changed = Some(change));
    }

    fn amend(&self, call: Sequence, amend: impl FnOnce(&mut Received)) {
        let mut log = locked(&self.0);
        let index = call.0.checked_sub(log.forgotten);
        let index = index.and_then(|index| usize::try_from(index).ok());
        if let Some(call) = index.and_then(|index| log.calls.get_mut(index)) {
            amend(call);
        }
    }

    pub(crate) fn list(&self) -> Vec<Received> {
        locked(&self.0).calls.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_calls_are_dropped_and_answers_still_match_their_calls() {
        let requests = Requests::default();
        let now = Timestamp::UNIX_EPOCH;
        let first = requests.received("GET", "/first", None, now);
        let second = requests.received("GET", "/second", None, now);
        for _ in 0..KEPT - 1 {
            requests.received("GET", "/later", None, now);
        }
        requests.answered(first, StatusCode::OK);
        requests.answered(second, StatusCode::NOT_FOUND);

        let listed = requests.list();
        assert_eq!(listed.len(), KEPT);
        assert_eq!(
            (listed[0].path.as_str(), listed[0].status),
            ("/second", Some(404))
        );
        assert!(listed[1..].iter().all(|call| call.status.is_none()));
        assert_eq!(listed[0].at, "1970-01-01T00:00:00.000Z");
    }
}
