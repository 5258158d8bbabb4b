//! What is logged.

use std::io::IsTerminal as _;

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

/// Whether log lines of this origin and level hold no value of a row and no secret.
fn is_safe(target: &str, level: Level) -> bool {
    let own =
        target.split("::").next().is_some_and(|name| name == "tidegate" || name.starts_with("tidegate_"));
    // The AWS libraries warn, in words of Rust, of what becomes an error of ours.
    // sqlx warns of slow statements, which it quotes, and of waits for a connection.
    let capped = target.starts_with("aws_") || target.starts_with("sqlx");
    own || level <= if capped { Level::ERROR } else { Level::WARN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_log_nothing_below_a_warning() {
        for (target, level, safe) in [
            ("tidegate", Level::TRACE, true),
            ("tidegate_engine::pipeline", Level::DEBUG, true),
            ("tidegatekeeper", Level::INFO, false),
            ("tokio_postgres::query", Level::DEBUG, false),
            ("log", Level::INFO, false),
            ("sqlx::query", Level::WARN, false),
            ("sqlx::pool::acquire", Level::WARN, false),
            ("delta_kernel", Level::WARN, true),
            ("aws_config::meta::credentials::chain", Level::WARN, false),
            ("aws_config::meta::credentials::chain", Level::ERROR, true),
        ] {
            assert_eq!(is_safe(target, level), safe, "{target} {level}");
        }
    }
}
