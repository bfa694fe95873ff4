//! The log: one line for each event, on the standard error output.

use std::fmt;
use std::io::IsTerminal;

use store::Clock;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use types::DateTime;

use crate::config::{LogFormat, LogLevel, LogTable};

/// Begins to log. Does nothing where somebody did already (tests).
pub(crate) fn init(log: &LogTable) {
    let level = match log.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    // What the libraries below have to say is for those who write servers.
    let filter = EnvFilter::new(format!("{level},rustls=warn,tokio_rustls=warn"));
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).with_target(false);
    let begun = match (log.format, log.time) {
        (LogFormat::Text, true) => lines.with_ansi(std::io::stderr().is_terminal()).with_timer(UtcSeconds).try_init(),
        (LogFormat::Text, false) => lines.with_ansi(std::io::stderr().is_terminal()).without_time().try_init(),
        (LogFormat::Json, true) => lines.json().flatten_event(true).with_timer(UtcSeconds).try_init(),
        (LogFormat::Json, false) => lines.json().flatten_event(true).without_time().try_init(),
    };
    drop(begun);
    log_panics();
}

/// A panic is a mistake of ours: it belongs into the log, and ends one session only.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("a mistake in the server: {panic}");
    }));
}

/// `2026-11-20T10:27:51Z`
struct UtcSeconds;

impl FormatTime for UtcSeconds {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        let now = DateTime::utc(store::SystemClock.now()).civil();
        write!(
            w,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            now.year, now.month, now.day, now.hour, now.minute, now.second
        )
    }
}
