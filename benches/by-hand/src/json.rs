//! JSON text against serde_json.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tidegate_model::json;

use crate::clock::on_thread;
use crate::table::{Part, Way};

const TEXTS: usize = 100_000;

/// A document whose texts and numbers all are decoded, so that half of a surrogate pair and numbers
/// beyond a double are found.
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
        if number.is_finite() { Ok(Readable) } else { Err(E::custom("too large")) }
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

fn writing(name: &'static str, text: impl Fn(usize) -> String) -> Part {
    let texts: Arc<Vec<String>> = Arc::new((0..TEXTS).map(text).collect());
    let theirs = Arc::clone(&texts);
    let ways = vec![
        Way::new("ours", move || {
            let mut out = Vec::with_capacity(1_024);
            on_thread(|| {
                for text in texts.iter() {
                    out.clear();
                    json::write_bytes(text.as_bytes(), &mut out);
                    black_box(&out);
                }
            })
        }),
        Way::new("serde_json, `to_writer`", move || {
            let mut out = Vec::with_capacity(1_024);
            on_thread(|| {
                for text in theirs.iter() {
                    out.clear();
                    let _ = serde_json::to_writer(&mut out, text);
                    black_box(&out);
                }
            })
        }),
    ];
    Part { name, items: TEXTS, ways }
}

fn checking() -> Part {
    let document = |at: usize| {
        format!(
            r#"{{"id":{at},"at":"2026-11-22T03:45:01Z","total":{}.{:02},"items":["a{at}","b"],"note":"line\nbreak","card":{{"ok":true,"none":null}}}}"#,
            at * 7,
            at % 100
        )
    };
    let documents: Arc<Vec<String>> = Arc::new((0..TEXTS).map(document).collect());
    let theirs = Arc::clone(&documents);
    let ways = vec![
        Way::new("ours after `IgnoredAny`", move || {
            on_thread(|| {
                for text in documents.iter() {
                    let well_formed = serde_json::from_str::<IgnoredAny>(text).is_ok();
                    black_box(well_formed && json::check_readable(text).is_ok());
                }
            })
        }),
        Way::new("serde_json, every value visited", move || {
            on_thread(|| {
                for text in theirs.iter() {
                    black_box(serde_json::from_str::<Readable>(text).is_ok());
                }
            })
        }),
    ];
    Part { name: "check a document of 150 bytes", items: TEXTS, ways }
}

/// Writing texts, checking documents.
pub(crate) fn parts() -> Vec<Part> {
    vec![
        writing("write a text of 12 bytes as JSON", |at| format!("user-{at:07}")),
        writing("write a text of 100 bytes as JSON", |at| format!("{at:0>100}")),
        writing("write a text with a quote and a line break", |at| format!("they said \"{at}\"\nand left")),
        checking(),
    ]
}
