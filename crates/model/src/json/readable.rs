//! Whether every reader can read a document that is well-formed.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::Reason;

/// Checks for what JSON allows and readers of it refuse: half of a surrogate pair, and a
/// number that no double holds. `text` is well-formed JSON.
///
/// # Errors
/// Says which of the two it has, or that it is nested in more than 127 levels.
pub fn check_readable(text: &str) -> Result<(), Reason> {
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
    use super::*;

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
