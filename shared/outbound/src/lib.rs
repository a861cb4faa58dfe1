//! Outbound calls: HTTP to one configured host, and the secrets for it.

mod http;
pub mod secrets;

pub use http::{BaseUrl, InvalidBaseUrl, body, client, traced};
