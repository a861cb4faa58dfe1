//! Bad input at every edge does no harm: no panic, no answer that blames us, nothing written that was not asked for.
//!
//! What comes in is generated: mostly from what is valid, with something in it changed. `TEST_CASES` sets how much is
//! tried; what breaks a promise is made as small as it can be and printed, so that it can be kept among the known cases.

mod answers;
mod explore;
mod functions;
mod json;
mod messages;
mod queues;
mod routes;
mod scene;
mod secrets;
mod upstream;
