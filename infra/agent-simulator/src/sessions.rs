//! All sessions and their transitions. A change that a caller requests is on disk before it is in memory.

use std::collections::HashMap;
use std::io;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::callback::CallbackTarget;
use crate::journal::Journal;
use crate::request::Launch;
use crate::session::{Callback, Owed, Session, State};

#[derive(Debug)]
pub(crate) struct Sessions {
    /// Oldest first; sessions are never removed.
    kept: Vec<Kept>,
    by_id: HashMap<Uuid, usize>,
    by_key: HashMap<String, usize>,
    /// The number of launches with each key, including those that a fault stopped.
    requests: HashMap<String, u64>,
    journal: Journal,
}

#[derive(Debug)]
struct Kept {
    session: Session,
    /// Cancels the task that makes the owed callback, if there is one.
    delivery: Option<CancellationToken>,
}

/// The answer to a call; `None` if there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// The number that `calling` returned.
    pub(crate) call: usize,
    pub(crate) answer: Option<u16>,
}

/// The result of an interrupt request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// The session now owes a callback that reports the interruption.
    Interrupted,
    /// The session had already ended or been interrupted.
    TooLate,
    NotFound,
}

impl Sessions {
    pub(crate) fn new(journal: Journal, saved: Vec<Session>) -> Self {
        let mut sessions = Self {
            kept: Vec::new(),
            by_id: HashMap::new(),
            by_key: HashMap::new(),
            requests: HashMap::new(),
            journal,
        };
        for session in saved {
            let key = session.idempotency_key.clone();
            sessions.requests.insert(key, session.requests);
            sessions.add(session);
        }
        sessions
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.kept.iter().map(|kept| &kept.session)
    }

    /// Counts a launch, whatever its outcome.
    pub(crate) fn count(&mut self, key: &str) {
        let requests = self.requests.entry(key.to_owned()).or_default();
        *requests += 1;
        let requests = *requests;
        if let Some(kept) = self.by_key.get(key).and_then(|&at| self.kept.get_mut(at)) {
            kept.session.requests = requests;
        }
    }

    /// Returns the session that an earlier launch with this key created.
    pub(crate) fn replay(&mut self, key: &str) -> io::Result<Option<&Session>> {
        let Some(kept) = self.by_key.get(key).and_then(|&at| self.kept.get(at)) else {
            return Ok(None);
        };
        // `count` has counted it in memory; this write makes the count survive a restart.
        self.journal.append(&kept.session)?;
        Ok(Some(&kept.session))
    }

    /// Creates the session. The key must be unused.
    pub(crate) fn launch(
        &mut self,
        key: &str,
        launch: Launch,
        now: Timestamp,
    ) -> io::Result<&Session> {
        let requests = self.requests.get(key).copied().unwrap_or(1);
        let session = Session::start(key, launch, requests, now);
        self.journal.append(&session)?;
        Ok(self.add(session))
    }

    /// Interrupts the session and cancels its owed callback.
    pub(crate) fn interrupt(&mut self, id: Uuid) -> io::Result<Interruption> {
        match self.find(id).map(|session| session.state) {
            None => Ok(Interruption::NotFound),
            Some(State::Running) => {
                self.change(id, State::Interrupting)?;
                Ok(Interruption::Interrupted)
            }
            Some(State::Interrupting | State::Completed | State::Failed | State::Interrupted) => {
                Ok(Interruption::TooLate)
            }
        }
    }

    /// Cancels the session's own callback if there is an `end`, and records that end. Returns the callback's
    /// target.
    pub(crate) fn take_over(
        &mut self,
        id: Uuid,
        end: Option<State>,
    ) -> io::Result<Option<CallbackTarget>> {
        let Some(session) = self.find(id) else {
            return Ok(None);
        };
        let (state, target) = (session.state, session.callback.clone());
        let after = end.map_or(state, |end| state.ended_as(end));
        if after != state {
            self.change(id, after)?;
        }
        Ok(Some(target))
    }

    /// Returns the owed callback to the one task that will make it, or `None` if another task already has it.
    pub(crate) fn take_owed(
        &mut self,
        id: Uuid,
        stop: &CancellationToken,
    ) -> Option<(Owed, Timestamp, CancellationToken)> {
        let kept = self.by_id.get(&id).and_then(|&at| self.kept.get_mut(at))?;
        if kept.delivery.is_some() {
            return None;
        }
        let owed = kept.session.owed()?;
        let token = stop.child_token();
        kept.delivery = Some(token.clone());
        Some((owed, kept.session.created_at, token))
    }

    /// Records in memory a call that is about to be made. Returns its number, which `answered` and `settle` need.
    pub(crate) fn calling(&mut self, id: Uuid, status: Option<String>, now: Timestamp) -> usize {
        let Some(session) = self.find_mut(id) else {
            return 0;
        };
        session.callbacks.push(Callback {
            status,
            answer: None,
            at: now,
        });
        session.callbacks.len() - 1
    }

    /// Records the answers to calls.
    ///
    /// They stay recorded in memory even if the write fails: the calls have been made.
    pub(crate) fn answered(&mut self, id: Uuid, calls: &[Answered]) -> io::Result<()> {
        let Some(session) = self.find_mut(id) else {
            return Ok(());
        };
        note(session, calls);
        self.write(id)
    }

    /// Records the answers to the last calls, and that the owed callback is over. One line on disk: a kill between
    /// two would repeat the callback.
    ///
    /// A session that has changed state meanwhile owes another callback, and keeps its state.
    pub(crate) fn settle(&mut self, owed: &Owed, calls: &[Answered]) -> io::Result<()> {
        let Some(session) = self.find_mut(owed.session) else {
            return Ok(());
        };
        note(session, calls);
        if session.state == owed.state {
            session.state = owed.state.after_callback();
        }
        self.write(owed.session)
    }

    fn change(&mut self, id: Uuid, state: State) -> io::Result<()> {
        let Some(kept) = self.by_id.get(&id).and_then(|&at| self.kept.get_mut(at)) else {
            return Ok(());
        };
        let changed = Session {
            state,
            ..kept.session.clone()
        };
        self.journal.append(&changed)?;
        kept.session = changed;
        if let Some(delivery) = kept.delivery.take() {
            delivery.cancel();
        }
        Ok(())
    }

    fn write(&mut self, id: Uuid) -> io::Result<()> {
        let kept = self.by_id.get(&id).and_then(|&at| self.kept.get(at));
        kept.map_or(Ok(()), |kept| self.journal.append(&kept.session))
    }

    fn find(&self, id: Uuid) -> Option<&Session> {
        let kept = self.kept.get(*self.by_id.get(&id)?)?;
        Some(&kept.session)
    }

    fn find_mut(&mut self, id: Uuid) -> Option<&mut Session> {
        let kept = self.kept.get_mut(*self.by_id.get(&id)?)?;
        Some(&mut kept.session)
    }

    fn add(&mut self, session: Session) -> &Session {
        let at = self.kept.len();
        self.by_id.insert(session.cloud_agent_session_id, at);
        self.by_key.insert(session.idempotency_key.clone(), at);
        &self
            .kept
            .push_mut(Kept {
                session,
                delivery: None,
            })
            .session
    }
}

fn note(session: &mut Session, calls: &[Answered]) {
    for answered in calls {
        if let Some(callback) = session.callbacks.get_mut(answered.call) {
            callback.answer = answered.answer;
        }
    }
}
