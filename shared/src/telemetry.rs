//! Logs: JSON, one line per decision, with the names of the domain as dotted fields. No payloads, keys or tokens.

use std::error::Error;

/// Starts logging as the Lambda logging configuration says (`AWS_LAMBDA_LOG_LEVEL`; INFO otherwise).
pub fn init() {
    #[expect(
        clippy::disallowed_methods,
        reason = "logging starts before the configuration is read"
    )]
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").unwrap_or_else(|_| "info".to_owned());
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_ansi(false)
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .init();
}

/// An error with all its causes, for a log line: the JSON subscriber prints only the outermost message.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
