//! What the simulators of outside parties have in common: the faults that tests register, and how a bad request of their
//! own endpoints is refused.

mod faults;
mod fields;
mod problem;

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes};
use axum::http::Response;

pub use faults::{Calls, Effect, Fault, Faults, Strike, Told};
pub use fields::{FieldError, Fields};
pub use problem::Problem;

/// No answer: the server drops the connection when a body fails before anything of the answer was sent.
pub fn lose_answer() -> Response<Body> {
    let failure = std::io::Error::other("the answer is lost on purpose");
    Response::new(Body::from_stream(futures::stream::iter([Err::<Bytes, _>(
        failure,
    )])))
}

/// The guard, also after a panic: what a simulator keeps behind a lock is whole between statements.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
