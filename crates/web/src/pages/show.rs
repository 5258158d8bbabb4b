//! Numbers, times and marks as pages show them.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::reader::Reader;

/// Separates groups of three digits: narrow, and never the end of a line.
const THIN: char = '\u{202f}';

/// Returns a number with its digits in groups.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut shown = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(THIN);
        }
        shown.push(digit);
    }
    shown
}

/// Returns "1 row" or "2 rows".
pub(super) fn count(value: u64, one: &str, many: &str) -> String {
    match value {
        1 => format!("1 {one}"),
        _ => format!("{} {many}", number(value)),
    }
}

/// Returns a span in its largest two units.
pub(super) fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Returns how long a run took: below a minute with a tenth of a second.
pub(super) fn took(from: Timestamp, to: Timestamp) -> String {
    let milliseconds = to.as_millisecond() - from.as_millisecond();
    match milliseconds {
        0..100 => "under 0.1 s".to_owned(),
        100..60_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => span(milliseconds / 1_000),
    }
}

/// Returns a time as an element: how long ago it was, with the exact time and its zone; for readers who chose so,
/// the exact time itself.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    if Reader::sees_exact_times() {
        return exact(at);
    }
    let seconds = now.as_second() - at.as_second();
    let words = match seconds {
        i64::MIN..0 => format!("in {}", rough(-seconds)),
        0..5 => "just now".to_owned(),
        _ => format!("{} ago", rough(seconds)),
    };
    element(at, &words)
}

/// Returns the time of a next run as an element: how far away it is, or that it is due.
pub(super) fn next(at: Timestamp, now: Timestamp) -> String {
    match at.as_second() > now.as_second() {
        true => ago(at, now),
        false => element(at, "now"),
    }
}

/// Returns a time as an element that shows the exact time and its zone.
pub(super) fn exact(at: Timestamp) -> String {
    element(at, &zoned(at))
}

fn element(at: Timestamp, words: &str) -> String {
    format!("<time datetime=\"{at:.0}\" title=\"{}\">{words}</time>", zoned(at))
}

/// Returns a time with its zone. Pages show one zone, and always name it.
pub(super) fn zoned(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%-d %b %Y, %H:%M:%S UTC").to_string()
}

/// Returns the hour of a time, for the axis of a chart.
pub(super) fn hour(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%H:00").to_string()
}

fn rough(seconds: i64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Returns a symbol. It is decoration beside a word.
pub(super) fn icon(name: &str) -> String {
    format!("<svg class=\"icon\" aria-hidden=\"true\"><use href=\"#i-{name}\"/></svg>")
}

/// Returns text with what HTML gives a meaning escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(char),
        }
    }
    out
}

/// Returns the sentence of a message as HTML: it begins with a capital letter, and what is
/// between backticks is code.
pub(super) fn prose(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    marked(&format!("{first}{}", letters.as_str()))
}

/// Returns a message as HTML, with its next step on a line of its own.
pub(super) fn with_next(message: &str) -> String {
    match message.split_once(". Next: ") {
        Some((what, next)) => {
            let next = format!("Next: {}.", next.trim_end_matches('.'));
            format!("{}. <span class=\"next\">{}</span>", prose(what), marked(&next))
        }
        None => prose(message),
    }
}

/// Returns a text as HTML: what is between backticks is code.
pub(super) fn marked(text: &str) -> String {
    let text = escaped(text);
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + parts.len() * 8);
    for (at, part) in parts.iter().enumerate() {
        match at % 2 {
            0 => out.push_str(part),
            _ => drop(write!(out, "<code>{part}</code>")),
        }
    }
    out
}

/// Returns a name as HTML that may break after its underscores and dots.
pub(super) fn name(name: &str) -> String {
    escaped(name).replace('_', "_<wbr>").replace('.', ".<wbr>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_read_well() {
        assert_eq!(
            [number(7), number(1_234), number(1_234_567)].join(" "),
            "7 1\u{202f}234 1\u{202f}234\u{202f}567"
        );
        assert_eq!(
            [span(59), span(61), span(7_260), span(90_000)].join(", "),
            "59 s, 1 min 1 s, 2 h 1 min, 1 d 1 h"
        );
        assert_eq!([count(1, "row", "rows"), count(2, "row", "rows")].join(", "), "1 row, 2 rows");
    }

    #[test]
    fn a_time_names_its_zone_and_what_is_to_come_says_so() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a time");
        let soon: Timestamp = "2026-03-01T12:05:00Z".parse().expect("a time");
        assert!(
            ago(now, soon).contains(">5 min ago<") && ago(now, soon).contains("1 Mar 2026, 12:00:00 UTC")
        );
        assert!(ago(soon, now).contains(">in 5 min<"));
        assert!(next(soon, now).contains(">in 5 min<") && next(now, soon).contains(">now<"));
        let reader = Reader { exact_times: true, ..Reader::default() };
        assert!(reader.sees(|| ago(now, soon)).contains(">1 Mar 2026, 12:00:00 UTC<"));
    }

    #[test]
    fn text_of_others_is_text() {
        assert_eq!(escaped("<b a='x'>&\""), "&lt;b a=&#39;x&#39;&gt;&amp;&quot;");
        assert_eq!(prose("no `<x>` here"), "No <code>&lt;x&gt;</code> here");
        assert_eq!(prose("one ` alone"), "One ` alone");
    }

    #[test]
    fn a_next_step_has_a_line_of_its_own() {
        assert_eq!(
            with_next("no catalog `menu`. Next: create it"),
            "No catalog <code>menu</code>. <span class=\"next\">Next: create it.</span>"
        );
        assert_eq!(with_next("all is well."), "All is well.");
    }
}
