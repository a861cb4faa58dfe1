//! Shared code of the simulators: the faults that tests register, the refusals of invalid requests to their local
//! endpoints, and the file that keeps their changes.

mod faults;
mod fields;
mod journal;
mod problem;

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes};
use axum::http::Response;

pub use faults::{Calls, Effect, Fault, Faults, Strike, Told};
pub use fields::{FieldError, Fields};
pub use journal::rewrite;
pub use problem::Problem;

/// Makes the server close the connection without an answer: the body fails before the first byte of the answer is
/// sent.
pub fn lose_answer() -> Response<Body> {
    let failure = std::io::Error::other("the answer is lost on purpose");
    Response::new(Body::from_stream(futures::stream::iter([Err::<Bytes, _>(
        failure,
    )])))
}

/// Locks the mutex, ignoring poisoning: the simulators' data is consistent between statements.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
