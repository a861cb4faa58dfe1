//! The way out: HTTP to one configured host, and the secrets that it takes.

mod http;
pub mod secrets;

pub use http::{BaseUrl, InvalidBaseUrl, body, client, traced};
