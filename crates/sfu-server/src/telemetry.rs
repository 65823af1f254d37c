//! The log: to standard error, as text or JSON. No personal data goes into it: events carry opaque ids only, and
//! dependencies, which know addresses, speak from `warn` on unless the operator asks for them by name.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{Log, LogFormat};

const OWN_CRATES: [&str; 4] = ["sfu_server", "sfu_core", "focus_control", "focus_signaling"];
/// Warns with user and device ids.
const SILENT_CRATE: &str = "matrix_sdk_crypto";
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What `log.level` means.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
        return EnvFilter::builder().parse(level);
    }
    let others = if matches!(level, "off" | "error") { level } else { "warn" };
    let own = OWN_CRATES.map(|name| format!("{name}={level}")).join(",");
    EnvFilter::builder().parse(format!("{others},{SILENT_CRATE}=off,{own}"))
}

/// Once per process. A second call (tests) changes nothing.
pub(crate) fn init(log: &Log) -> Result<(), ParseError> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(&log.level)?).with_writer(std::io::stderr);
    let _ = match log.format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init().is_ok(),
        LogFormat::Json => builder.json().flatten_event(true).try_init().is_ok(),
    };
    Ok(())
}
