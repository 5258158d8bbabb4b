//! What is logged.

use std::io::IsTerminal as _;

use tidegate_model::log::{LogLimit, limit_of};
use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use crate::cli::LogFormat;

/// Opens the logs of libraries. They hold values of rows, and may hold secrets.
const UNSAFE_LOG: &str = "TIDEGATE_UNSAFE_LOG";

/// Sends logs to stderr: warnings, more with `-v`, or what `RUST_LOG` asks for.
///
/// Of libraries only warnings: at other levels they log what they send and receive.
pub(crate) fn start(verbose: u8, format: LogFormat) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let everything = std::env::var_os(UNSAFE_LOG).is_some_and(|value| value == "1");
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let (text, json) = match format {
        LogFormat::Text => (Some(lines), None),
        LogFormat::Json => (None, Some(fmt::layer().with_writer(std::io::stderr).json().flatten_event(true))),
    };
    tracing_subscriber::registry()
        .with(filter_fn(move |about| everything || is_safe(about.target(), *about.level())))
        .with(filter)
        .with(text)
        .with(json)
        .init();
    if everything {
        tracing::warn!("{UNSAFE_LOG} is set: libraries log values of rows, and may log secrets");
    }
}

/// Returns whether log lines of this origin and level hold no value of a row and no secret.
fn is_safe(target: &str, level: Level) -> bool {
    level
        <= match limit_of(target) {
            LogLimit::Everything => Level::TRACE,
            LogLimit::Warnings => Level::WARN,
            LogLimit::Errors => Level::ERROR,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_may_warn_and_the_program_may_say_all() {
        for (target, level, safe) in [
            ("tidegate", Level::TRACE, true),
            ("delta_kernel", Level::WARN, true),
            ("delta_kernel", Level::DEBUG, false),
            ("sqlx::query", Level::ERROR, true),
            ("sqlx::query", Level::WARN, false),
        ] {
            assert_eq!(is_safe(target, level), safe, "{target} {level}");
        }
    }
}
