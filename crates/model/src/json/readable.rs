//! Whether every reader can read a document that is well-formed.

use std::fmt;

use memchr::{memchr, memchr2_iter};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::Reason;

/// Checks for what JSON allows and readers of it refuse: half of a surrogate pair, and a
/// number that no double holds. `text` is well-formed JSON.
///
/// # Errors
/// Says which of the two it has, or that it is nested in more than 127 levels.
pub fn check_readable(text: &str) -> Result<(), Reason> {
    if is_plain(text.as_bytes()) {
        return Ok(());
    }
    serde_json::from_str::<Readable>(text).map(drop).map_err(|cause| {
        let said = cause.to_string();
        if said.starts_with(TOO_LARGE) {
            Reason::new("number_too_large", "a number beyond 1.8e308, which readers of JSON refuse")
        } else if said.starts_with("recursion limit exceeded") {
            Reason::new("invalid_json", "nested in more than 127 levels, which readers of JSON refuse")
        } else {
            Reason::new("invalid_json", "a text with half of a surrogate pair")
        }
    })
}

/// Returns whether well-formed JSON certainly has none of it: no escape, no exponent of three digits, no number of
/// hundreds of digits, few containers. Almost all documents are plain, and serde_json takes several times as long.
fn is_plain(text: &[u8]) -> bool {
    const CONTAINERS: usize = 100;
    const DIGITS: usize = 200;
    // With 200 digits before it, an exponent of two digits is within the range of doubles.
    let has_exponent = |at: usize| {
        let after = &text[at + 1..];
        let after = after.strip_prefix(b"+").unwrap_or(after);
        at > 0
            && text[at - 1].is_ascii_digit()
            && after.len() >= 3
            && after[..3].iter().all(u8::is_ascii_digit)
    };
    // Digits that follow each other, as far as they are looked for: every run of this many has one of these bytes.
    let is_long = |at: usize| {
        let digits =
            |bytes: &mut dyn Iterator<Item = &u8>| bytes.take_while(|byte| byte.is_ascii_digit()).count();
        digits(&mut text[at..].iter()) + digits(&mut text[..at].iter().rev()) >= DIGITS
    };
    memchr(b'\\', text).is_none()
        && !memchr2_iter(b'e', b'E', text).any(has_exponent)
        && memchr2_iter(b'[', b'{', text).nth(CONTAINERS).is_none()
        && !(0..text.len()).step_by(DIGITS).any(is_long)
}

/// How serde_json names it.
const TOO_LARGE: &str = "number out of range";

/// A document whose texts and numbers all are decoded. Nothing is built of them.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Readable, D::Error> {
        deserializer.deserialize_any(Readable)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Readable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Readable, E> {
        if number.is_finite() { Ok(Readable) } else { Err(E::custom(TOO_LARGE)) }
    }

    fn visit_str<E>(self, _: &str) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_unit<E>(self) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Readable, A::Error> {
        while items.next_element::<Readable>()?.is_some() {}
        Ok(Readable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Readable, A::Error> {
        while members.next_entry::<Readable, Readable>()?.is_some() {}
        Ok(Readable)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Pieces of documents in every combination: what is plain is readable.
        #[test]
        fn what_counts_as_plain_is_readable(
            pieces in prop::collection::vec(
                prop_oneof![
                    "(0|[1-9][0-9]{0,2})", Just("1e999".to_owned()), Just("-1E+400".to_owned()), Just("12.5e30".to_owned()),
                    "[1-9]{190,320}", "[1-9]{150,250}e[1-9]{1,3}", "\"[a-f0-9e]{0,12}\"",
                    Just("\"\\ud800\"".to_owned()), (1..140_usize).prop_map(|deep| "[".repeat(deep) + &"]".repeat(deep)),
                ],
                0..5,
            ),
        ) {
            let text = format!("{{\"a\":[{}]}}", pieces.join(","));
            if is_plain(text.as_bytes()) {
                prop_assert!(serde_json::from_str::<Readable>(&text).is_ok(), "{}", text);
            }
        }
    }

    #[test]
    fn an_ordinary_document_is_plain() {
        let text = r#"{"page": "/menu/3", "plan": "free", "tags": ["a", 3e5], "total": 12.34, "id": "3e9a"}"#;
        assert!(is_plain(text.as_bytes()));
    }

    #[test]
    fn half_a_surrogate_pair_and_a_number_beyond_a_double_are_found_anywhere() {
        for (bad, code) in [
            (r#"{"t":"\ud800"}"#, "invalid_json"),
            (r#"{"\udc00":1}"#, "invalid_json"),
            (r#"[["a\ud83dx"]]"#, "invalid_json"),
            (r#"{"a":"\ud83d\ud83d"}"#, "invalid_json"),
            (r#"{"a":-1e999}"#, "number_too_large"),
            ("[1E400]", "number_too_large"),
            (&format!("[{}]", "9".repeat(400)), "number_too_large"),
            (&format!("{}1{}", "[".repeat(200), "]".repeat(200)), "invalid_json"),
        ] {
            let reason = check_readable(bad).expect_err(bad);
            assert_eq!(reason.code, code, "{bad}");
            assert_eq!(reason.message.contains("levels"), bad.starts_with("[[["), "{bad}");
        }
        for good in [
            r#"{"t":"\ud83d\ude00"}"#,
            r#"{"t":"\\ud800"}"#,
            r#"{"e1e999":"1e999"}"#,
            "[1e308,-1.7e308,1e-400,12.5,true,null]",
            r#"{"a":"\"","b":"\\"}"#,
        ] {
            assert!(check_readable(good).is_ok(), "{good}");
        }
    }
}
