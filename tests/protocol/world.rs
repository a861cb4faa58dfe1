//! One state of the model: the row, the queue, GitHub, and the actors.

use domain::{
    Timestamp,
    change::{AlertState, Asked},
    lifecycle::{CommandState, IndexSnapshot, Lease, Move, Stage, Token},
    result_code::{Effect, ResultCode},
};

use crate::{promises::Promise, scene::Scene};

/// The whole state at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// The command with its idempotency key's record: one transaction writes both.
    pub(crate) row: Option<Row>,
    /// The queue and its dead-letter queue, unordered. A letter is dead once it has reached the maximum receive count.
    pub(crate) letters: Vec<Letter>,
    /// The alert at GitHub.
    pub(crate) alert: Alert,
    /// How often GitHub has done what the command requests.
    pub(crate) effects: u8,
    pub(crate) apis: [Api; 2],
    pub(crate) workers: [Worker; 2],
    pub(crate) reconcilers: [Reconciler; 2],
    pub(crate) dead_letters: DeadLetters,
    /// How many requests the client may still make with its key.
    pub(crate) requests: u8,
    /// How many faults may still happen.
    pub(crate) faults: u8,
    /// A promise that the last step broke.
    pub(crate) broken: Option<Promise>,
}

/// The command's row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) state: CommandState,
    /// The id of the command, from the request that made it.
    pub(crate) id: Token,
    /// The token of the last write, as long as a writer may ask for it.
    pub(crate) writer: Option<Token>,
    pub(crate) ended: Option<(ResultCode, Effect)>,
    pub(crate) witnessed: Witnessed,
}

/// The row's history, as promises need it. No decision depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Witnessed {
    /// The lease granted last, unless its worker has ended it.
    pub(crate) claim: Option<Lease>,
    /// Since when a message of this stage is due.
    pub(crate) queued: Timestamp,
    /// Whether that message was claimed.
    pub(crate) claimed: bool,
    /// How often it was resent.
    pub(crate) resent: u8,
    /// The last moment of progress.
    pub(crate) progressed: Timestamp,
    /// Whether the queue has confirmed the message of the current admission.
    pub(crate) sent: bool,
}

impl Witnessed {
    /// The history of a message that is due now.
    pub(crate) const fn queued(at: Timestamp) -> Self {
        Self {
            claim: None,
            queued: at,
            claimed: false,
            resent: 0,
            progressed: at,
            sent: false,
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Letter {
    pub(crate) id: u8,
    pub(crate) stage: Stage,
    pub(crate) receives: u8,
}

/// The state of the alert, and who caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Alert {
    Open,
    Ours,
    Anothers,
}

impl Alert {
    pub(crate) const fn state(self) -> AlertState {
        match self {
            Self::Open => AlertState::Open,
            Self::Ours | Self::Anothers => AlertState::Dismissed,
        }
    }
}

/// A write whose response was lost, and which the SDK will retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Try {
    pub(crate) made: Move,
    pub(crate) writer: Token,
}

/// One invocation of the API with the client's request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Api {
    Idle,
    /// The response to the row's first write was lost.
    Admits {
        id: Token,
    },
    /// It has read that the command was never queued.
    Readmits {
        tried: Try,
        lost: bool,
    },
    /// The row is written; the message is not sent.
    Sends {
        admission: Token,
    },
    /// The message could not be sent, as far as it knows.
    Compensates {
        admission: Token,
        again: Option<Try>,
    },
}

/// One delivery, as its worker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Delivery {
    pub(crate) letter: u8,
    pub(crate) stage: Stage,
    pub(crate) receives: u8,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Worker {
    Idle,
    /// The response to its claim was lost.
    Claims {
        delivery: Delivery,
        again: Try,
    },
    /// It holds the lease, or believes so.
    Works {
        delivery: Delivery,
        lease: Lease,
        /// When its last request can reach GitHub.
        reaches: Timestamp,
        doing: Doing,
        /// Whether it may still report progress, which it does before the effect.
        reports: bool,
        again: Option<Try>,
    },
}

/// A worker's next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    /// Read the alert first: an earlier delivery may have requested the dismissal.
    LookFirst,
    /// Request the dismissal.
    Ask { earlier: Asked },
    /// Read the alert after the request.
    Look { asked: Asked, earlier: Asked },
    /// Settle.
    End(ResultCode, Effect),
    /// End the command if no delivery is left; otherwise release it.
    RetryOrExhaust,
    /// Release the command, because the ledger failed.
    Release,
    /// Continue in a later message.
    HandOn,
    /// Send that message.
    SendOn(Stage),
}

/// One reconciler.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reconciler {
    /// Whether it has run in this minute: it runs once.
    pub(crate) looked: bool,
    pub(crate) doing: Reconciling,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reconciling {
    Idle,
    /// It has read the index, and may be slow.
    Nominated {
        seen: IndexSnapshot,
        again: Option<Try>,
    },
    /// It has counted a resend.
    Sends(Stage),
}

/// The dead-letter consumer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DeadLetters {
    Idle,
    /// The response to its write was lost.
    Exhausts {
        letter: u8,
        again: Try,
    },
}

impl World {
    /// The state before the first request.
    pub(crate) fn new(scene: &Scene, alert: Alert) -> Self {
        let reconciler = || Reconciler {
            looked: false,
            doing: Reconciling::Idle,
        };
        Self {
            row: None,
            letters: Vec::new(),
            alert,
            effects: 0,
            apis: [Api::Idle, Api::Idle],
            workers: [Worker::Idle, Worker::Idle],
            reconcilers: [reconciler(), reconciler()],
            dead_letters: DeadLetters::Idle,
            requests: scene.requests,
            faults: scene.faults,
            broken: None,
        }
    }

    /// How the command has ended, if it has.
    pub(crate) fn ended(&self) -> Option<(ResultCode, Effect)> {
        self.row.as_ref().and_then(|row| row.ended)
    }

    /// Adds a message to the queue.
    pub(crate) fn send(&mut self, stage: Stage) {
        // No worker knows it yet.
        let taken = |id: &u8| {
            let mut letters = self.letters.iter();
            letters.any(|letter| letter.id == *id)
        };
        let id = (0..).find(|id| !taken(id)).expect("few letters");
        self.letters.push(Letter {
            id,
            stage,
            receives: 0,
        });
    }

    /// Removes a message, wherever it is now.
    pub(crate) fn acknowledge(&mut self, id: u8) {
        self.letters.retain(|letter| letter.id != id);
    }

    /// A fresh token.
    pub(crate) fn new_token(&self) -> Token {
        let known = self.tokens();
        let fresh = (1..).map(Token).find(|token| !known.contains(token));
        fresh.expect("few tokens")
    }

    /// Every token that may be compared with another.
    fn tokens(&self) -> Vec<Token> {
        let mut known = self.tried().map(|again| again.writer).collect::<Vec<_>>();
        if let Some(row) = &self.row {
            known.extend([row.id, row.state.admission]);
            known.extend(row.writer);
            known.extend(row.state.lease.map(|lease| lease.token));
            known.extend(row.witnessed.claim.map(|lease| lease.token));
        }
        for api in &self.apis {
            match api {
                Api::Idle => {}
                Api::Admits { id: token }
                | Api::Readmits {
                    tried: Try { writer: token, .. },
                    ..
                }
                | Api::Sends { admission: token }
                | Api::Compensates {
                    admission: token, ..
                } => known.push(*token),
            }
        }
        for worker in &self.workers {
            if let Worker::Works { lease, .. } = worker {
                known.push(lease.token);
            }
        }
        known
    }

    /// The writes to be retried.
    pub(crate) fn tried(&self) -> impl Iterator<Item = &Try> {
        let apis = self.apis.iter().filter_map(|api| match api {
            Api::Readmits { tried, lost } => lost.then_some(tried),
            Api::Compensates { again, .. } => again.as_ref(),
            Api::Idle | Api::Admits { .. } | Api::Sends { .. } => None,
        });
        let workers = self.workers.iter().filter_map(|worker| match worker {
            Worker::Idle => None,
            Worker::Claims { again, .. } => Some(again),
            Worker::Works { again, .. } => again.as_ref(),
        });
        let reconcilers = self.reconcilers.iter().filter_map(|one| match &one.doing {
            Reconciling::Nominated { again, .. } => again.as_ref(),
            Reconciling::Idle | Reconciling::Sends(_) => None,
        });
        let dead_letters = match &self.dead_letters {
            DeadLetters::Idle => None,
            DeadLetters::Exhausts { again, .. } => Some(again),
        };
        apis.chain(workers).chain(reconcilers).chain(dead_letters)
    }
}

impl Worker {
    /// The delivery that it has received.
    pub(crate) const fn delivery(&self) -> Option<&Delivery> {
        match self {
            Self::Idle => None,
            Self::Claims { delivery, .. } | Self::Works { delivery, .. } => Some(delivery),
        }
    }
}
