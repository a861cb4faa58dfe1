//! Logs: JSON, one line per decision, with the domain's names as dotted fields. No payloads, keys or tokens.
//!
//! The log level is that of this project's crates. The libraries below them log events, requests and responses in full
//! at TRACE, tokens and rows included, so they never log below INFO.
//!
//! A line is flat: it has its own fields and those of its spans, of which the innermost wins. So every line during the
//! work on a message names its command without repeating it in the code.

use std::{error::Error, fmt};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata, Span, Subscriber,
    field::{Empty, Field, Visit, display},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    filter::filter_fn,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{JsonFields, Writer},
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt,
    registry::{LookupSpan, Scope},
    util::SubscriberInitExt,
};

use crate::trace::{TraceId, TraceParent};
use domain::{
    command::{Command, CommandKey},
    owner::Owner,
};

/// The crates that the log level is for: every function and every shared crate, as log lines name them.
const OURS: [&str; 18] = [
    "agent",
    "analyse",
    "api",
    "backoff",
    "connect",
    "dashboard",
    "dead_letter",
    "dismiss",
    "domain",
    "erase",
    "github",
    "outbound",
    "reconcile",
    "record_analysis",
    "runtime",
    "store",
    "sync",
    "telemetry",
];
/// The level of all other crates. Not above INFO: `requestId` is a field of a span that the Lambda runtime opens at INFO.
const OTHERS: Level = Level::INFO;

/// Starts logging at the level of Lambda's logging configuration (`AWS_LAMBDA_LOG_LEVEL`, or INFO).
pub fn init() {
    #[expect(
        clippy::disallowed_methods,
        reason = "logging starts before the configuration is read"
    )]
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").ok();
    let level = level.and_then(|level| level.parse().ok());
    let level = level.unwrap_or(LevelFilter::INFO);
    tracing_subscriber::fmt()
        .with_ansi(false)
        .fmt_fields(JsonFields::new())
        .event_format(FlatLine)
        .with_max_level(LevelFilter::TRACE)
        .finish()
        .with(filter_fn(move |line| is_logged(line, level)))
        .init();
}

/// Returns whether a line or a span is logged if `level` is the log level.
fn is_logged(line: &Metadata<'_>, level: LevelFilter) -> bool {
    let of = line.target().split("::").next();
    if of.is_some_and(|of| OURS.contains(&of)) {
        *line.level() <= level
    } else {
        *line.level() <= OTHERS
    }
}

/// The span of work for an owner: each line in it has these fields. Its level is ERROR, because at a log level above
/// INFO an INFO span would be disabled and error lines would lose its fields.
pub fn work(owner: &Owner, trace: TraceId) -> Span {
    tracing::error_span!(
        "work",
        owner = owner.hashed(),
        trace.id = %trace,
        command.id = Empty,
        command.type_name = Empty,
        command.attempt = Empty,
    )
}

/// Records the command in the current span. Work outside a trace starts the command's trace.
pub fn about(key: &CommandKey) {
    let span = Span::current();
    span.record("command.id", display(key.id));
    span.record("owner", key.owner.hashed());
    if TraceParent::next_of_current().is_none() {
        span.record("trace.id", display(TraceId::from(key.id)));
    }
}

/// Records the type and attempt of the command's row in the current span.
pub fn about_row(command: &Command) {
    let span = Span::current();
    span.record("command.type_name", command.action.type_name());
    span.record("command.attempt", command.state.attempt);
}

/// An error with all its causes, for a log line. `Display` alone shows only the outermost message.
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

/// Formats a line as one flat JSON object. The subscriber's own JSON format nests the fields of spans, and other layers
/// write a name twice if a span and an event share it.
struct FlatLine;

impl<S, N> FormatEvent<S, N> for FlatLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>();
            let fields = fields.and_then(|fields| serde_json::from_str::<Map<_, _>>(fields).ok());
            line.extend(fields.into_iter().flatten());
        }
        event.record(&mut Fields(&mut line));
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let metadata = event.metadata();
        for (name, value) in [
            ("timestamp", timestamp.as_str()),
            ("level", metadata.level().as_str()),
            ("target", metadata.target()),
        ] {
            line.insert(name.to_owned(), value.into());
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// Collects an event's fields.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The crates in a folder of the workspace, as log lines name them.
    fn crates(folder: &str) -> Vec<String> {
        let folder = format!("{}/../../{folder}", env!("CARGO_MANIFEST_DIR"));
        let entries = std::fs::read_dir(folder).expect("a folder of the workspace");
        let names = entries.map(|entry| entry.expect("it can be listed").file_name());
        let names = names.map(|name| name.to_string_lossy().replace('-', "_"));
        names.collect()
    }

    #[test]
    fn the_log_level_is_for_every_crate_that_is_deployed() {
        let mut deployed = [crates("functions"), crates("shared")].concat();
        deployed.sort_unstable();
        assert_eq!(deployed, OURS);
    }

    #[test]
    fn a_log_level_below_info_does_not_reach_other_crates() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_writer(move || writer.clone())
            .finish()
            .with(filter_fn(|line| is_logged(line, LevelFilter::TRACE)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!("our trace");
            tracing::trace!(target: "store::table", "our module's trace");
            tracing::debug!(target: "store_of_others", "a library's line");
            tracing::trace!(target: "lambda_runtime::layers", "a library's line");
            tracing::info!(target: "lambda_runtime::layers", "a library's news");
        });
        let written = written.0.lock().expect("not poisoned").clone();
        let written = String::from_utf8(written).expect("text");
        assert_eq!(written.lines().count(), 3, "{written}");
        assert!(!written.contains("a library's line"), "{written}");
    }

    #[test]
    fn a_line_is_flat_and_has_the_fields_of_its_spans() {
        let written = Written::default();
        let writer = written.clone();
        let owner: Owner = "user:jo".parse().expect("valid");
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(JsonFields::new())
            .event_format(FlatLine)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let outer = tracing::info_span!("outer", request = 7, shared = "outer");
            let _outer = outer.enter();
            let _inner = work(&owner, TraceId::from(1)).entered();
            Span::current().record("command.attempt", 2);
            tracing::warn!(shared = "own", slow = true, "a \"line\"");
        });
        let written = written.0.lock().expect("not poisoned");
        let mut line: Value = serde_json::from_slice(&written).expect("one line");
        assert!(line["timestamp"].take().is_string());
        assert_eq!(
            line,
            json!({
                "timestamp": null,
                "level": "WARN",
                "target": "telemetry::log::tests",
                "message": "a \"line\"",
                "request": 7,
                "owner": owner.hashed(),
                "trace.id": "00000000000000000000000000000001",
                "command.attempt": 2,
                "shared": "own",
                "slow": true,
            })
        );
    }
}
