//! Logs: where they go and how they look; and where traces go.

use std::{
    error::Error,
    fmt::{self, Debug},
    io::{self, IsTerminal as _},
    str::FromStr,
};

use serde::Deserialize;
use serde_json::Value;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    subscriber::{SetGlobalDefaultError, set_global_default},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

use crate::admin::in_words;

/// The `[telemetry]` table of a program's configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// How a line looks. JSON unless said otherwise, since machines read most of them.
    pub format: Format,
    /// Which lines are written. `info` unless said otherwise.
    pub filter: Filter,
    /// Where traces are sent, by OTLP over gRPC: `http://HOST:4317`. None are recorded unless it is given.
    pub otlp_endpoint: Option<String>,
    /// The part of all reports whose way is recorded, from 0 to 1; those whose senders ask for it are recorded besides.
    pub sampled: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { format: Format::default(), filter: Filter::default(), otlp_endpoint: None, sampled: 0.01 }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line, an event's fields at its top level.
    #[default]
    Json,
    /// A sentence with its fields and the names of its spans, for people.
    Text,
    /// The same, shorter.
    Compact,
}

/// Which log lines are written, in the syntax of [`EnvFilter`]: `info,collector=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(String);

impl Default for Filter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match EnvFilter::try_new(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(source) => Err(FilterError { text: text.to_owned(), source }),
        }
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::config::parsed(deserializer)
    }
}

/// A filter that is not written in the syntax of [`EnvFilter`].
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a log filter")]
pub struct FilterError {
    text: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Logs to stderr from now on, for the whole process. Stdout stays the program's own.
///
/// # Errors
///
/// When something in this process already receives the logs.
pub fn init(config: &TelemetryConfig) -> Result<(), TelemetryError> {
    let logs = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.filter.0))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match config.format {
        Format::Json => set_global_default(logs.event_format(Line).finish()),
        Format::Text => set_global_default(logs.finish()),
        Format::Compact => set_global_default(logs.compact().finish()),
    }
    .map_err(TelemetryError)
}

/// Logs compactly to the output that the test harness captures, from `info` up. Every test may call it.
pub fn init_for_tests() {
    let logs = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("info")).with_test_writer().compact().finish();
    // An error only says that another test was first.
    let _ = set_global_default(logs);
}

/// An event as one JSON object on a line. The library's own leaves out why an error came about.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut now = String::new();
        SystemTime.format_time(&mut Writer::new(&mut now))?;
        let (level, target) = (event.metadata().level(), event.metadata().target());
        write!(writer, r#"{{"timestamp":"{now}","level":"{level}""#)?;
        let mut members = Members { writer: writer.by_ref(), written: Ok(()) };
        event.record(&mut members);
        members.add("target", &Value::from(target));
        members.written?;
        writeln!(writer, "}}")
    }
}

/// Members of an object, written one after the other.
struct Members<'a> {
    writer: Writer<'a>,
    written: fmt::Result,
}

impl Members<'_> {
    fn add(&mut self, name: &str, value: &Value) {
        let Self { writer, written } = self;
        *written = written.and_then(|()| write!(writer, ",{}:{value}", Value::from(name)));
    }
}

impl Visit for Members<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), &Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), &Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), &Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), &Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), &Value::from(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add(field.name(), &Value::from(in_words(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field.name(), &Value::from(format!("{value:?}")));
    }
}

/// Logs already go somewhere else.
#[derive(Debug, thiserror::Error)]
#[error("telemetry was set up twice")]
pub struct TelemetryError(#[source] SetGlobalDefaultError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_set_up_wins_and_a_second_one_is_told() {
        init_for_tests();
        init_for_tests();
        assert_eq!(init(&TelemetryConfig::default()).unwrap_err().to_string(), "telemetry was set up twice");
    }
}
