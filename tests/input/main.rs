//! Bad input at every edge does no harm: no panic, no response that blames the service, no unrequested write.
//!
//! Input is generated, mostly by changing valid input. `TEST_CASES` sets the number of cases. A case that breaks a
//! promise is shrunk and printed, so that it can be kept among the known cases.

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
