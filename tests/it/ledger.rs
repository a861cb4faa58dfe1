//! The ledger: every transition from every state, repeated, raced, and compared with the lifecycle.

mod admission;
mod guards;
mod notes;
mod raced;
mod reading;
mod repeated;
mod throttled;
mod transitions;

use domain::{
    command::Command,
    lifecycle::{IndexSnapshot, Stage, Token},
    result_code::{Effect, ResultCode},
};
use store::ledger::{Candidate, Claim, Claimed, Ending};
use tests::{Holder, NOON, TestTable, noon, states};

/// Claims a new command at noon, with a lease of thirty seconds.
pub(crate) async fn claimed(table: &TestTable) -> (Claim, Command) {
    let (_, accepted) = states(Holder::Another).swap_remove(0);
    let command = table.seed(accepted).await;
    let claimed = table
        .ledger()
        .claim(&command.key, Stage(0), noon(30), NOON)
        .await;
    match claimed.expect("the table answers") {
        Claimed::Held(claim, row) => (claim, *row),
        other => panic!("an accepted command can be claimed: {other:?}"),
    }
}

/// The token of the row's lease.
fn holder(row: &Command) -> Token {
    row.state.lease.expect("the row is claimed").token
}

/// What a current index shows of a row.
fn candidate(row: &Command) -> Candidate {
    Candidate {
        key: row.key.clone(),
        status: row.state.status,
        seen: IndexSnapshot::of(&row.state),
    }
}

pub(crate) fn ending(code: ResultCode) -> Ending {
    Ending {
        code,
        effect: Effect::Applied,
        last_error: None,
        progress: None,
    }
}
