//! JSON that is checked once and carried as text.

mod readable;

use std::fmt;

use base64::Engine as _;
use serde::{Deserialize, Serialize};

pub use self::readable::check_readable;
use crate::{Reason, Text};

/// One well-formed JSON value as text. No tree is built for what is only passed on.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Json(Text);

impl Json {
    /// Checks that `text` is one JSON value.
    ///
    /// # Errors
    /// Says where the text stops being JSON, without repeating any of it.
    pub fn parse(text: Text) -> Result<Json, Reason> {
        match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            Ok(_) => Ok(Json(text)),
            Err(cause) => Err(Reason::new(
                "invalid_json",
                format!("not valid JSON at line {}, column {}", cause.line(), cause.column()),
            )),
        }
    }

    /// Takes text that its maker guarantees to be one JSON value: a `jsonb`
    /// column, or what this program has just written.
    pub fn trusted(text: impl Into<Text>) -> Json {
        Json(text.into())
    }

    /// `{}`.
    pub fn empty_object() -> Json {
        Json(Text::from_static("{}"))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text, to share.
    pub fn text(&self) -> &Text {
        &self.0
    }

    /// Returns whether the value is an object.
    pub fn is_object(&self) -> bool {
        self.0.trim_ascii_start().as_bytes().first() == Some(&b'{')
    }

    /// Returns whether the value is an object without members.
    pub fn is_empty_object(&self) -> bool {
        // Nearly every object begins with a member, or is this.
        match self.as_str().as_bytes() {
            [b'{', b'}'] => return true,
            [b'{', b'"', ..] => return false,
            _ => {}
        }
        let inner = self.0.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        inner.is_some_and(|inner| inner.trim().is_empty())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.0.len())
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        let text = Text::deserialize(deserializer)?;
        Json::parse(text).map_err(|reason| serde::de::Error::custom(reason.message))
    }
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_string(text: &str, out: &mut String) {
    out.reserve(text.len() + 2);
    out.push('"');
    if needs_escape(text.as_bytes()) {
        let mut written = 0;
        for (at, escape) in escapes(text.as_bytes()) {
            out.push_str(&text[written..at]);
            out.push_str(escape);
            written = at + 1;
        }
        out.push_str(&text[written..]);
    } else {
        out.push_str(text);
    }
    out.push('"');
}

/// Appends bytes as a JSON string, quotes included. If they are no UTF-8, nor
/// is what was appended.
pub fn write_bytes(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    if needs_escape(text) {
        write_escaped(text, out);
    } else {
        out.extend_from_slice(text);
    }
    out.push(b'"');
}

/// Appends JSON with a space in place of each line break, which means the same: a string of JSON
/// holds none. A file of lines and a body of lines have one event a line.
pub fn write_on_one_line(json: &str, out: &mut String) {
    out.reserve(json.len());
    let mut written = 0;
    for at in memchr::memchr2_iter(b'\n', b'\r', json.as_bytes()) {
        out.push_str(&json[written..at]);
        out.push(' ');
        written = at + 1;
    }
    out.push_str(&json[written..]);
}

#[cold]
fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut written = 0;
    for (at, escape) in escapes(text) {
        out.extend_from_slice(&text[written..at]);
        out.extend_from_slice(escape.as_bytes());
        written = at + 1;
    }
    out.extend_from_slice(&text[written..]);
}

/// The bytes that a JSON string cannot hold unescaped: their positions, and the escapes that stand
/// there instead.
fn escapes(text: &[u8]) -> impl Iterator<Item = (usize, &'static str)> {
    text.iter().enumerate().filter_map(|(at, &byte)| Some((at, escape(byte)?)))
}

#[inline]
fn escape(byte: u8) -> Option<&'static str> {
    ESCAPES[usize::from(byte)]
}

/// What stands for each byte that a JSON string cannot hold.
static ESCAPES: [Option<&str>; 256] = {
    const CONTROLS: [&str; 32] = [
        "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007", "\\b", "\\t",
        "\\n", "\\u000b", "\\f", "\\r", "\\u000e", "\\u000f", "\\u0010", "\\u0011", "\\u0012", "\\u0013",
        "\\u0014", "\\u0015", "\\u0016", "\\u0017", "\\u0018", "\\u0019", "\\u001a", "\\u001b", "\\u001c",
        "\\u001d", "\\u001e", "\\u001f",
    ];
    let mut table = [None; 256];
    let mut byte = 0;
    while byte < CONTROLS.len() {
        table[byte] = Some(CONTROLS[byte]);
        byte += 1;
    }
    table[b'"' as usize] = Some("\\\"");
    table[b'\\' as usize] = Some("\\\\");
    table
};

/// Returns whether any byte is a quote, a backslash or a control character: hardly any text has one.
/// Looks at eight bytes at a time.
pub fn needs_escape(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    /// What subtracting borrows from a byte that is zero, or less than `less`.
    fn borrows(word: u64, less: u64) -> u64 {
        word.wrapping_sub(ONES * less) & !word
    }
    let special = |bytes: [u8; 8]| {
        let word = u64::from_le_bytes(bytes);
        let quote = borrows(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = borrows(word ^ (ONES * u64::from(b'\\')), 1);
        (borrows(word, 0x20) | quote | backslash) & HIGHS
    };
    // The last eight bytes include some of those before, which costs less than looking at
    // single ones.
    if let Some(&last) = text.last_chunk() {
        text.as_chunks().0.iter().fold(special(last), |any, &word| any | special(word)) != 0
    } else if let (Some(&[a, b, c, d]), Some(&[e, f, g, h])) = (text.first_chunk(), text.last_chunk()) {
        special([a, b, c, d, e, f, g, h]) != 0
    } else {
        text.iter().any(|&byte| escape(byte).is_some())
    }
}

/// Returns whether `text` is a number as JSON writes numbers.
pub fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.ends_with(|last: char| last.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'))
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Checks that a double can hold a number, which is well-formed or none at all.
///
/// # Errors
/// If it is beyond the largest double.
pub fn check_number(text: &str) -> Result<(), Reason> {
    const PLAIN: usize = 300;
    let may_be = text.len() > PLAIN || text.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    if may_be && text.parse::<f64>().is_ok_and(f64::is_infinite) {
        return Err(Reason::new("number_too_large", "a number beyond 1.8e308, which readers of JSON refuse"));
    }
    Ok(())
}

/// Returns bytes as standard base64 with padding (RFC 4648, section 4).
pub fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_written_as_serde_json_writes_them() {
        for text in
            ["", "plain", "quote \" slash \\ tab \t", "line\nbreak\r", "é 日本 🎈", "\u{1}\u{1f}\u{7f}"]
        {
            let mut out = String::new();
            write_string(text, &mut out);
            assert_eq!(out, serde_json::to_string(text).expect("text"));
        }
    }

    #[test]
    fn each_character_is_escaped_wherever_it_stands() {
        let places =
            [1, 3, 4, 7, 8, 13, 20].into_iter().flat_map(|length| (0..length).map(move |at| (length, at)));
        for (length, at) in places {
            for byte in 0..128_u8 {
                let mut text = "x".repeat(length);
                text.replace_range(at..=at, &char::from(byte).to_string());
                let (mut string, mut bytes) = (String::new(), Vec::new());
                write_string(&text, &mut string);
                write_bytes(text.as_bytes(), &mut bytes);
                let expected = serde_json::to_string(&text).expect("text");
                assert_eq!(string, expected);
                assert_eq!(bytes, expected.as_bytes());
            }
        }
    }

    #[test]
    fn json_of_several_lines_is_the_same_on_one() {
        for (json, line) in [
            ("{\r\n  \"a\\n\": [1,\n2],\r\"é\":3\n}\n", "{    \"a\\n\": [1, 2], \"é\":3 } "),
            ("\n{}", " {}"),
            ("{}", "{}"),
            ("", ""),
        ] {
            let mut out = String::from("before ");
            write_on_one_line(json, &mut out);
            assert_eq!(out, format!("before {line}"));
        }
    }

    #[test]
    fn an_object_without_members_is_told_from_others() {
        for (text, empty) in
            [("{}", true), (" { } ", true), ("{\"a\":1}", false), ("{ \"a\":1}", false), ("[]", false)]
        {
            assert_eq!(Json::trusted(text).is_empty_object(), empty, "{text}");
        }
    }

    #[test]
    fn only_json_numbers_count_as_numbers() {
        for good in ["0", "-1", "12.50", "1e5", "-0.0"] {
            assert!(is_number(good), "{good}");
        }
        for bad in ["", "-", "NaN", "Infinity", "01", "1.", ".5", "1e", "+1", "1 "] {
            assert!(!is_number(bad), "{bad}");
        }
    }

    #[test]
    fn base64_follows_rfc_4648() {
        for (plain, encoded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn invalid_json_is_named_without_its_content() {
        let reason = Json::parse("{\"secret\": }".into()).expect_err("invalid");
        assert_eq!(reason.code, "invalid_json");
        assert!(!reason.message.contains("secret"), "{}", reason.message);
    }
}
