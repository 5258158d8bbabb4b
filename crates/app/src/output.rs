//! Data on stdout, everything else on stderr.

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_model::Error;
use tracing_subscriber::EnvFilter;

use crate::cli::Output;

/// Sends logs to stderr: warnings, more with `-v`, or what `RUST_LOG` asks for.
pub(crate) fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
}

/// Prints an error: the sentence, its causes, the next step.
pub(crate) fn error(error: &Error) {
    eprintln!("error: {}", error.chain());
    eprintln!("  → {}", error.next_step());
}

/// Prints a line of data. A closed pipe (`| head`) is no error.
pub(crate) fn line(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout().lock(), "{}", text.as_ref());
}

/// Prints a value as JSON, or as a table.
pub(crate) fn print<T: Serialize>(output: Output, value: &T, table: impl FnOnce(&T) -> Table) {
    match output {
        Output::Json => json(value),
        Output::Text => line(table(value).to_string()),
    }
}

/// JSON of a row as it is, through no tree, so that numbers keep their digits.
///
/// Half of a UTF-16 pair (`\ud800`) passes as JSON, and strict readers stop at
/// it: such a text becomes a JSON string.
pub(crate) fn raw(json: &str) -> Option<Box<RawValue>> {
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(_) => RawValue::from_string(json.to_owned()).ok(),
        Err(_) => serde_json::value::to_raw_value(json).ok(),
    }
}

/// Prints a value as JSON.
pub(crate) fn json<T: Serialize>(value: &T) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(text),
        Err(cause) => eprintln!("error: the result has no JSON form: {cause}"),
    }
}

/// A table with a head.
pub(crate) fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head.to_vec());
    table
}

/// A time as people read it, to the second.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A number with its thousands set apart.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_set_apart() {
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(super::number(value), text);
        }
    }
}
