//! Data on stdout, everything else on stderr.

pub(crate) mod logging;
pub(crate) mod table;

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_model::Error;

use crate::cli::Output;
use table::{Table, Tone};

/// The word `error:`, as the command line's own errors have it.
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Prints an error for people: the sentence, its causes, the next step. The words of the other
/// side are for a person at the terminal alone: elsewhere stderr is a log.
pub(crate) fn error(error: &Error) {
    match std::io::stderr().is_terminal() {
        true => failure(&error.with_words(), error.next_step()),
        false => failure(&error.chain(), error.next_step()),
    }
}

/// Prints what failed and the next step.
pub(crate) fn failure(message: &str, next_step: &str) {
    note(format!("{ERROR}error:{ERROR:#} {message}"));
    note(format!("  → {next_step}"));
}

/// Prints a line of data. A closed pipe (`| head`) is no error.
pub(crate) fn line(text: impl AsRef<str>) {
    let _ = writeln!(anstream::stdout().lock(), "{}", text.as_ref());
}

/// Prints a line on stderr. A closed pipe is no error.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(anstream::stderr().lock(), "{}", text.as_ref());
}

/// Returns a word in the color of its tone; colors are removed if stdout is not a
/// terminal or `NO_COLOR` is set.
pub(crate) fn toned(word: &str) -> String {
    let style = match Tone::of(word.trim_end()) {
        Some(Tone::Good) => AnsiColor::Green.on_default(),
        Some(Tone::Attention) => AnsiColor::Yellow.on_default(),
        Some(Tone::Bad) => AnsiColor::Red.on_default().bold(),
        Some(Tone::Quiet) => Style::new().dimmed(),
        None => return word.to_owned(),
    };
    format!("{style}{word}{style:#}")
}

/// Prints a table, fitted to the terminal.
pub(crate) fn table(table: &Table) {
    line(table.render(width()));
}

/// Prints each row of a table as a list of its values.
pub(crate) fn records(table: &Table) {
    line(table.render_as_list(width()));
}

/// The columns of the terminal, or those that `COLUMNS` says; `None` in a pipe, for tables
/// with one row a line. A terminal of no columns does not know its width.
fn width() -> Option<u16> {
    let said = || std::env::var("COLUMNS").ok()?.parse().ok();
    comfy_table::Table::new().width().filter(|columns| *columns > 0).or_else(said)
}

/// Prints one JSON document: over several lines for `json`, on one for `jsonl`.
pub(crate) fn document<T: Serialize>(out: Output, value: &T) {
    let text = match out {
        Output::Jsonl => serde_json::to_string(value),
        Output::Json | Output::Text => serde_json::to_string_pretty(value),
    };
    match text {
        Ok(text) => line(text),
        Err(cause) => failure(&format!("the result cannot be written as JSON: {cause}"), "please report it"),
    }
}

/// Prints a document that holds a list: as it is for `json`, one element a line for `jsonl`.
pub(crate) fn listing<T: Serialize, E: Serialize>(out: Output, document: &T, elements: &[E]) {
    match out {
        Output::Jsonl => elements.iter().for_each(|element| self::document(out, element)),
        Output::Json | Output::Text => self::document(out, document),
    }
}

/// JSON of a row as it is, not parsed into a tree, so that numbers keep their digits.
///
/// Half of a UTF-16 pair (`\ud800`) passes as JSON, and strict readers stop at
/// it: such a text becomes a JSON string.
pub(crate) fn raw(json: &str) -> Option<Box<RawValue>> {
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(_) => RawValue::from_string(json.to_owned()).ok(),
        Err(_) => serde_json::value::to_raw_value(json).ok(),
    }
}

/// Returns a time as people read it, to the second.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Returns a number with its thousands separated.
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

/// Returns a number of bytes as people read it.
pub(crate) fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let (kib, mib) = (bytes as f64 / 1024.0, bytes as f64 / 1_048_576.0);
    match bytes {
        0..1_048_576 => format!("{kib:.0} KiB"),
        _ => format!("{mib:.1} MiB"),
    }
}

/// Returns a count with its noun: `1 row`, `2 rows`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_separated() {
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(super::number(value), text);
        }
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(super::counted(1, "row"), "1 row");
        assert_eq!(super::counted(2_000, "row"), "2,000 rows");
    }
}
